"""What stands around every call: validation, errors, the log, metrics, health."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from plumbing.v1 import diagnostics_pb2, diagnostics_pb2_grpc
from prometheus_client import REGISTRY

from services.plumbing import grpc_server
from services.plumbing.auth import TokenVerifier
from services.plumbing.database import engine, transaction
from services.plumbing.embedded_postgres import PostgresServer
from services.plumbing.errors import Clash
from services.plumbing.telemetry import JsonLines
from tests.service.answering import (
    ASKED,
    DOMAIN,
    METHOD,
    NAME,
    WRONG,
    Serving,
    at_once,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens
from tests.service.waiting import until

SCOPE = "members.read"


@pytest.fixture
def log_lines() -> Iterator[Callable[[], list[dict[str, object]]]]:
    """What the servers' log has, as it is written."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(level)


def answered(code: str) -> float:
    labels = {"grpc_method": METHOD, "grpc_code": code}
    return REGISTRY.get_sample_value("grpc_server_handled_total", labels) or 0.0


def refused_for(reason: str) -> float:
    labels = {"grpc_method": METHOD, "reason": reason}
    return REGISTRY.get_sample_value("grpc_server_refusals_total", labels) or 0.0


async def test_handler_is_not_reached_without_its_scope_or_with_a_wrong_request(
    serving: Serving, tokens: Tokens
) -> None:
    reached = []

    async def reach() -> None:
        reached.append(True)

    server = await serving(reach)
    assert (
        await refused(server.stub.GetMember(ASKED, metadata=tokens.bearer("sales.write")))
    ).reason == "MISSING_SCOPE"
    refusal = await refused(server.stub.GetMember(WRONG, metadata=tokens.bearer(SCOPE)))
    assert (refusal.code, refusal.reason, refusal.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        ("name",),
    )
    assert reached == []


async def test_unknown_error_is_internal_and_its_text_told_to_nobody(
    serving: Serving, tokens: Tokens, log_lines: Callable[[], list[dict[str, object]]]
) -> None:
    async def fail() -> None:
        raise RuntimeError("ada@example.com")

    server = await serving(fail)
    before = answered("INTERNAL")
    refusal = await refused(server.stub.GetMember(ASKED, metadata=tokens.bearer(SCOPE)))
    assert (refusal.code, refusal.reason, refusal.message, refusal.metadata) == (
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        "internal error",
        {},
    )
    errors = [line for line in log_lines() if line["level"] == "ERROR"]
    assert [(line["message"], line["exception"]) for line in errors] == [
        ("unexpected error", "RuntimeError")
    ]
    assert "ada@example.com" not in json.dumps(log_lines())
    assert answered("INTERNAL") == before + 1


async def test_database_that_is_away_is_unavailable(
    serving: Serving, tokens: Tokens, postgres: PostgresServer
) -> None:
    async def ask() -> None:
        with transaction(engine(postgres.url_of("no_such_database"))):
            pass

    server = await serving(ask)
    refusal = await refused(server.stub.GetMember(ASKED, metadata=tokens.bearer(SCOPE)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_DOWN")
    assert "no_such_database" not in refusal.message


async def test_refusal_keeps_its_reason_metadata_and_domain(
    serving: Serving, tokens: Tokens, log_lines: Callable[[], list[dict[str, object]]]
) -> None:
    async def refuse() -> None:
        raise Clash("taken", reason="IDENTITY_TAKEN", kind="email")

    server = await serving(refuse)
    before = refused_for("IDENTITY_TAKEN")
    metadata = (
        *tokens.bearer(SCOPE),
        ("x-request-id", "6f1c1a52-9f0e-4a53-8f33-0d3a3a0d7a11"),
    )
    refusal = await refused(server.stub.GetMember(ASKED, metadata=metadata))
    assert (refusal.code, refusal.reason, refusal.metadata) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "IDENTITY_TAKEN",
        {"kind": "email"},
    )
    assert refused_for("IDENTITY_TAKEN") == before + 1
    (line,) = (line for line in log_lines() if line["message"] == "call")
    assert (line["method"], line["code"], line["reason"], line["rid"]) == (
        METHOD,
        "ALREADY_EXISTS",
        "IDENTITY_TAKEN",
        "6f1c1a529f0e4a538f330d3a3a0d7a11",
    )


async def test_request_id_that_is_no_uuid_is_not_logged(
    serving: Serving, tokens: Tokens, log_lines: Callable[[], list[dict[str, object]]]
) -> None:
    server = await serving(at_once)
    metadata = (*tokens.bearer("sales.write"), ("x-request-id", "4111111111111111"))
    await refused(server.stub.GetMember(ASKED, metadata=metadata))
    (line,) = (line for line in log_lines() if line["message"] == "call")
    assert len(str(line["rid"])) == 32
    assert "4111111111111111" not in json.dumps(line)


async def test_caller_who_leaves_ends_the_call(serving: Serving, tokens: Tokens) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    server = await serving(wait)
    before = answered("CANCELLED")
    call = server.stub.GetMember(ASKED, metadata=tokens.bearer(SCOPE))
    await started.wait()
    call.cancel()
    async with asyncio.timeout(10):
        await ended.wait()
    await until(lambda: answered("CANCELLED") == before + 1)
    assert ended.is_set()


async def test_answered_calls_are_counted_and_timed(serving: Serving, tokens: Tokens) -> None:
    server = await serving(at_once)
    before = answered("OK")
    for _ in range(3):
        await server.stub.GetMember(ASKED, metadata=tokens.bearer(SCOPE))
    assert answered("OK") == before + 3
    count = REGISTRY.get_sample_value("grpc_server_handling_seconds_count", {"grpc_method": METHOD})
    assert count is not None
    assert count >= 3


async def test_unknown_method_is_unimplemented(serving: Serving, tokens: Tokens) -> None:
    server = await serving(at_once)
    call: Any = server.channel.unary_unary(f"/{NAME}/Unknown")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", metadata=tokens.bearer(SCOPE))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_and_reflection_are_open(serving: Serving) -> None:
    server = await serving(at_once)
    # Their types know only blocking channels.
    channel: Any = server.channel
    health: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", NAME):
        checked = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert checked.status == health_pb2.HealthCheckResponse.SERVING
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = [each async for each in reflection.ServerReflectionInfo(iter([asked]))]
    listed = {service.name for service in answers[0].list_services_response.service}
    assert {NAME, "plumbing.v1.DiagnosticsService", "grpc.health.v1.Health"} <= listed


async def test_ping_goes_through_the_same_door(serving: Serving, tokens: Tokens) -> None:
    server = await serving(at_once)
    stub = diagnostics_pb2_grpc.DiagnosticsServiceStub(server.channel)
    asked = diagnostics_pb2.PingRequest(text="hello")
    answer = await stub.Ping(asked, metadata=tokens.bearer("diagnostics.read"))
    assert answer.text == "hello"
    assert (await refused(stub.Ping(asked))).reason == "TOKEN_MISSING"


async def test_second_server_on_an_address_is_refused(serving: Serving, tokens: Tokens) -> None:
    server = await serving(at_once)
    with pytest.raises(OSError, match="cannot listen"):
        await grpc_server.start(
            f"127.0.0.1:{server.server.port}",
            [],
            verifier=TokenVerifier(tokens.settings),
            domain=DOMAIN,
        )
