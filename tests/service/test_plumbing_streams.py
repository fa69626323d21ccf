"""Methods that answer with a stream have the same around them as those that answer once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from loyalty.tiering.v1 import rules_pb2, rules_pb2_grpc
from prometheus_client import REGISTRY

from services.plumbing import grpc_server
from services.plumbing.auth import TokenVerifier
from services.plumbing.errors import Unmet
from services.plumbing.grpc_client import aio_channel
from tests.service.refusals import refused
from tests.service.servers import PATIENCE_SECONDS
from tests.service.tokens import Tokens
from tests.service.waiting import until

NAME = "loyalty.tiering.v1.RuleSetService"
METHOD = f"/{NAME}/PreviewRules"
ASKED = rules_pb2.PreviewRulesRequest(resumed_preview=f"previews/{0:032x}")
SCOPE = "rules.read"


@dataclass(slots=True)
class Counting:
    """Counts aloud until somebody leaves or an error comes."""

    counts: int = 3
    error: Exception | None = None
    ended: list[str] = field(default_factory=list)

    async def preview_rules(
        self, _request: rules_pb2.PreviewRulesRequest, _context: object
    ) -> AsyncIterator[rules_pb2.PreviewRulesResponse]:
        try:
            for number in range(self.counts):
                progress = rules_pb2.PreviewProgress(members_done=number)
                yield rules_pb2.PreviewRulesResponse(progress=progress)
                await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
        finally:
            self.ended.append("ended")


@pytest.fixture
async def started(tokens: Tokens) -> AsyncIterator[tuple[Counting, Any]]:
    """What counts, and a caller's stub."""
    counting = Counting()

    def register(server: Any) -> None:
        method = grpc.unary_stream_rpc_method_handler(
            counting.preview_rules,
            request_deserializer=rules_pb2.PreviewRulesRequest.FromString,
            response_serializer=rules_pb2.PreviewRulesResponse.SerializeToString,
        )
        handler = grpc.method_handlers_generic_handler(NAME, {"PreviewRules": method})
        server.add_generic_rpc_handlers([handler])

    server = await grpc_server.start(
        "127.0.0.1:0",
        [grpc_server.Service(NAME, register)],
        verifier=TokenVerifier(tokens.settings),
        domain="test.loyalty.example",
    )
    channel = aio_channel(f"127.0.0.1:{server.port}", seconds_max=PATIENCE_SECONDS)
    yield counting, rules_pb2_grpc.RuleSetServiceStub(channel)
    await channel.close()
    await server.stop(drain_seconds=0)


def handled(code: str) -> float:
    labels = {"grpc_method": METHOD, "grpc_code": code}
    return REGISTRY.get_sample_value("grpc_server_handled_total", labels) or 0.0


async def test_every_answer_comes_in_order_and_the_call_counts_once(
    started: tuple[Counting, Any], tokens: Tokens
) -> None:
    _, stub = started
    before = handled("OK")
    answers = [each async for each in stub.PreviewRules(ASKED, metadata=tokens.bearer(SCOPE))]
    assert [each.progress.members_done for each in answers] == [0, 1, 2]
    assert handled("OK") == before + 1


async def test_nothing_begins_without_its_scope_or_with_a_wrong_request(
    started: tuple[Counting, Any], tokens: Tokens
) -> None:
    counting, stub = started
    foreign = tokens.bearer("sales.write")
    assert (await refused(stub.PreviewRules(ASKED).read())).reason == "TOKEN_MISSING"
    assert (await refused(stub.PreviewRules(ASKED, metadata=foreign).read())).reason == (
        "MISSING_SCOPE"
    )
    wrong = stub.PreviewRules(rules_pb2.PreviewRulesRequest(), metadata=tokens.bearer(SCOPE))
    assert (await refused(wrong.read())).reason == "INVALID_REQUEST"
    assert counting.ended == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (Unmet("no", reason="WHY"), "FAILED_PRECONDITION", "WHY"),
        (RuntimeError("ada@example.com"), "INTERNAL", "INTERNAL"),
    ],
)
async def test_an_error_ends_the_stream_as_it_ends_a_call(
    started: tuple[Counting, Any], tokens: Tokens, error: Exception, code: str, reason: str
) -> None:
    counting, stub = started
    counting.error = error
    before = handled(code)
    call = stub.PreviewRules(ASKED, metadata=tokens.bearer(SCOPE))
    for _ in range(counting.counts):
        await call.read()
    refusal = await refused(call.read())
    assert (refusal.code.name, refusal.reason) == (code, reason)
    assert "ada" not in refusal.message
    assert handled(code) == before + 1


async def test_a_caller_who_leaves_ends_what_was_done_for_them(
    started: tuple[Counting, Any], tokens: Tokens
) -> None:
    counting, stub = started
    counting.counts = 10**9
    call = stub.PreviewRules(ASKED, metadata=tokens.bearer(SCOPE))
    await call.read()
    assert counting.ended == []
    call.cancel()
    await until(lambda: counting.ended == ["ended"])
    assert await call.code() is grpc.StatusCode.CANCELLED
