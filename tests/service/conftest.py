"""What tests of a service stand on: a real database, tokens, and the server in this process.

async def test_...(database, serve, tokens):
    members = await serve("members", database("members"))
    stub = MembersServiceStub(members.channel)
    await stub.GetMember(request, metadata=tokens.bearer("members.read"))
"""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from services.plumbing.database import engine
from services.plumbing.embedded_postgres import PostgresServer, embedded_postgres
from services.tiering.preview_process import PreviewProcesses
from tests.disk import execute, spare_the_disk
from tests.service import (
    answering,
    forked_previews,
    ledger_history,
    ledger_shop,
    ledger_together,
    rewards_desk,
    servers,
)
from tests.service.answering import Answer, Answering, Serving
from tests.service.databases import Databases
from tests.service.ledger_history import Audit
from tests.service.ledger_shop import Shop
from tests.service.ledger_together import Families
from tests.service.members_calls import Members
from tests.service.rewards_calls import NOWHERE, Rewards
from tests.service.rewards_desk import Desk
from tests.service.servers import Running
from tests.service.tiering_calls import Tiering
from tests.service.tokens import Tokens


class Serve(Protocol):
    async def __call__(self, service: str, database_url: str, **settings: object) -> Running: ...


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One database server for the whole run; a test that stops or kills one starts its own."""
    with embedded_postgres(tmp_path_factory.mktemp("postgres")) as server:
        # Nothing lives long enough here to be vacuumed.
        execute(server.url_of("postgres"), "ALTER SYSTEM SET autovacuum = off")
        spare_the_disk(server.url_of("postgres"))
        yield server


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[PostgresServer]:
    """A database server to stop and start again."""
    with embedded_postgres(tmp_path / "postgres") as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: PostgresServer) -> Databases:
    return Databases(postgres)


@pytest.fixture
def database(databases: Databases) -> Iterator[Callable[[str], str]]:
    """Gives the URL of a service's migrated, empty database for as long as the test runs."""
    created: list[tuple[str, str]] = []

    def create(service: str) -> str:
        url = databases.create(service)
        created.append((service, url))
        return url

    yield create
    for service, url in created:
        databases.give_back(service, url)


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tmp_path_factory.mktemp("issuer"))


@pytest.fixture
async def serve(
    tokens: Tokens,
    database: Callable[[str], str],  # noqa: ARG001 — given back after the services have stopped
) -> AsyncIterator[Serve]:
    """Starts services in this process, which are stopped after the test."""
    running: list[Running] = []

    async def start(service: str, database_url: str, **settings: object) -> Running:
        running.append(await servers.start(service, database_url, tokens.settings, **settings))
        return running[-1]

    yield start
    for each in reversed(running):
        await each.stop()


@pytest.fixture
async def serving(tokens: Tokens) -> AsyncIterator[Serving]:
    """Starts servers that answer as they are told, which are stopped after the test."""
    started: list[Answering] = []

    async def start(answer: Answer) -> Answering:
        started.append(await answering.start(answer, tokens.settings))
        return started[-1]

    yield start
    for each in started:
        await each.stop()


@pytest.fixture
async def members(database: Callable[[str], str], serve: Serve, tokens: Tokens) -> Members:
    """A caller of a members service with nobody in it."""
    url = database("members")
    return Members(await serve("members", url), tokens, url)


@pytest.fixture
async def tiering(
    database: Callable[[str], str],
    serve: Serve,
    tokens: Tokens,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Tiering]:
    """A caller of a tiering service without rules or members, who plays the bus too."""
    monkeypatch.setattr(PreviewProcesses, "_start", forked_previews.start)
    url = database("tiering")
    caller = Tiering(await serve("tiering", url, preview_niceness=0), tokens, url)
    yield caller
    await caller.close()


@pytest.fixture
async def rewards(
    database: Callable[[str], str], serve: Serve, tokens: Tokens, tmp_path: Path
) -> Rewards:
    """A caller of a rewards service with nothing in its catalogue, and no ledger."""
    url = database("rewards")
    settings = rewards_desk.settings(url, tmp_path, tokens, NOWHERE)
    return Rewards(await serve("rewards", **settings), tokens, url)


@pytest.fixture
async def desk(databases: Databases, serve: Serve, tokens: Tokens, tmp_path: Path) -> Desk:
    """Members who redeem, on databases that they share with those of other tests."""
    ledger_url = ledger_shop.common_database(databases)
    ledger = await serve("ledger", ledger_url)
    settings = rewards_desk.settings(
        rewards_desk.common_database(databases), tmp_path, tokens, ledger.address
    )
    rewards = await serve("rewards", **settings)
    return Desk(rewards, settings, ledger, Shop(ledger, tokens, ledger_url), tokens)


@pytest.fixture
async def families(databases: Databases, serve: Serve, tokens: Tokens) -> AsyncIterator[Families]:
    """Members of households who buy and spend, on a database that they share with those of other
    tests.
    """
    url = ledger_together.common_families(databases)
    running = await serve("ledger", url)
    with ledger_together.told_together(url) as told:
        yield Families(Shop(running, tokens, url), running, told)


@pytest.fixture(scope="session")
def ledger_with_history(databases: Databases) -> Iterator[str]:
    """The URL of a ledger with something of everything in it, to be read alone."""
    url = databases.create("ledger")
    ledger_history.make_history(url)
    yield url
    databases.drop(url)


@pytest.fixture
def audit_after(ledger_with_history: str) -> Iterator[Audit]:
    """Audits that ledger as if statements had changed it behind its back."""
    source = engine(ledger_with_history, pool_size=1)
    yield lambda statements: ledger_history.audit_after(source, statements)
    source.dispose()
