"""The members service as processes: their start, their end, and a database that goes away."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import grpc
import pytest
from loyalty.members.v1 import members_pb2, members_pb2_grpc

from services.members.main import MIGRATIONS
from services.plumbing.database import engine, transaction
from services.plumbing.embedded_postgres import PostgresServer
from services.plumbing.migrations import migrate
from services.plumbing.outbox import lock_subject
from tests.service.contents import contents
from tests.service.databases import Databases
from tests.service.members_calls import Members
from tests.service.refusals import refused
from tests.service.servers import start
from tests.service.tokens import Tokens
from tests.service.waiting import until, waits_for_a_lock

PATIENCE_SECONDS = 60


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def environment(tokens: Tokens, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMBERS_")}
    auth = {"AUTH_JWKS_URL": tokens.settings.jwks_url, "AUTH_ISSUER": tokens.settings.issuer}
    return {**kept, **auth, **variables}


def run(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.members", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@contextmanager
def serving(env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.members", "server"],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("command", ["server", "worker", "migrate"])
def test_start_without_a_database_names_the_variable(tokens: Tokens, command: str) -> None:
    ended = run(command, env=environment(tokens))
    assert ended.returncode == 1
    assert ended.stderr.strip() == "configuration: MEMBERS_DATABASE_URL: Field required"


def test_a_worker_without_rabbitmq_names_the_variable(tokens: Tokens) -> None:
    url = "postgresql+psycopg2://nobody@127.0.0.1:1/members"
    ended = run("worker", env=environment(tokens, MEMBERS_DATABASE_URL=url))
    assert ended.returncode == 1
    assert ended.stderr.strip() == "configuration: AMQP_URL: Field required"


def test_unknown_command_is_told_the_usage(tokens: Tokens) -> None:
    ended = run("server", "migrate", env=environment(tokens))
    assert (ended.returncode, ended.stderr.strip()) == (
        1,
        "usage: python -m services.members server|worker|migrate",
    )


def test_migrate_makes_the_tables_and_again_changes_nothing(
    tokens: Tokens, databases: Databases
) -> None:
    url = databases.create_empty()
    env = environment(tokens, MEMBERS_DATABASE_URL=url)
    assert run("migrate", env=env).returncode == 0
    before = contents(url)
    assert {"public.members", "public.identities", "public.outbox", "public.inbox"} <= set(before)
    assert run("migrate", env=env).returncode == 0
    assert contents(url) == before
    databases.drop(url)


async def test_server_that_is_told_to_end_answers_the_call_under_way(
    tokens: Tokens, database: Callable[[str], str]
) -> None:
    url = database("members")
    address, metrics_port = f"127.0.0.1:{free_port()}", free_port()
    env = environment(
        tokens,
        MEMBERS_DATABASE_URL=url,
        MEMBERS_GRPC_ADDRESS=address,
        MEMBERS_METRICS_PORT=str(metrics_port),
    )
    with serving(env) as process:
        # Without the usual deadline: the process has yet to start.
        async with grpc.aio.insecure_channel(address) as channel:
            stub = members_pb2_grpc.MembersServiceStub(channel)
            token = tokens.bearer("members.write")
            request = members_pb2.EnrolMemberRequest(request_id=str(uuid.uuid4()))
            enrolled = await stub.EnrolMember(
                request, metadata=token, wait_for_ready=True, timeout=PATIENCE_SECONDS
            )
            metrics = await asyncio.to_thread(metrics_of, metrics_port)
            assert 'grpc_code="OK",grpc_method="/loyalty.members.v1.MembersService' in metrics
            issue = members_pb2.IssueCardRequest(member=enrolled.member.name, card_token="card-1")
            locking = engine(url)
            with transaction(locking) as connection:
                lock_subject(connection, enrolled.member.name)
                call = stub.IssueCard(issue, metadata=token, timeout=PATIENCE_SECONDS)
                await until(lambda: waits_for_a_lock(url))
                process.send_signal(signal.SIGTERM)
                await until_stopping(stub)
                assert process.poll() is None
            locking.dispose()
            answered = await call
            assert [card.card_token for card in answered.member.cards] == ["card-1"]
        assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0


def metrics_of(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


async def until_stopping(stub: "members_pb2_grpc.MembersServiceAsyncStub") -> None:
    """Come back when the server tells new callers to go elsewhere."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            refusal = await refused(stub.ListMembers(members_pb2.ListMembersRequest()))
            if refusal.reason == "SERVER_STOPPING":
                return
            assert refusal.reason == "TOKEN_MISSING"


async def test_a_retry_after_the_database_was_away_enrols_one_member(
    tokens: Tokens, own_postgres: PostgresServer
) -> None:
    own_postgres.create_database("members")
    url = own_postgres.url_of("members")
    await asyncio.to_thread(migrate, url, MIGRATIONS)
    running = await start("members", url, tokens.settings)
    members = Members(running, tokens, url)
    first = str(uuid.uuid4())
    enrolled = await members.enrol(request_id=first, given_name="Ada")
    await asyncio.to_thread(own_postgres.stop)
    with pytest.raises(grpc.aio.AioRpcError) as away:
        await members.enrol(request_id=str(uuid.uuid4()))
    assert away.value.code() is grpc.StatusCode.UNAVAILABLE
    await asyncio.to_thread(own_postgres.start)
    # The pool's connections are all broken, which no caller is to notice.
    assert await members.enrol(request_id=first, given_name="Ada") == enrolled
    assert list((await members.list_members()).members) == [enrolled]
    await running.stop()
