"""A server that is told to end lets the calls under way end first."""

import asyncio

import grpc
import pytest
from plumbing.v1 import diagnostics_pb2, diagnostics_pb2_grpc

from tests.service import answering
from tests.service.answering import ASKED, Answering
from tests.service.refusals import refused
from tests.service.tokens import Tokens

SCOPE = "members.read"


async def refuses_new_calls(server: Answering, tokens: Tokens) -> bool:
    stub = diagnostics_pb2_grpc.DiagnosticsServiceStub(server.channel)
    token = tokens.bearer("diagnostics.read")
    try:
        await stub.Ping(diagnostics_pb2.PingRequest(), metadata=token, timeout=0.2)
    except grpc.aio.AioRpcError:
        return True
    return False


async def test_stopping_lets_the_call_under_way_end(tokens: Tokens) -> None:
    started, released, closed = asyncio.Event(), asyncio.Event(), []

    async def wait() -> None:
        started.set()
        await released.wait()

    async def close() -> None:
        closed.append(released.is_set())

    server = await answering.start(wait, tokens.settings)
    server.server.closers.append(close)
    call = server.stub.GetMember(ASKED, metadata=tokens.bearer(SCOPE))
    await started.wait()
    stopping = asyncio.create_task(server.server.stop(drain_seconds=30))
    async with asyncio.timeout(10):
        while not await refuses_new_calls(server, tokens):
            assert not stopping.done()
    assert not stopping.done()
    released.set()
    assert (await call).member.name == ASKED.name
    await stopping
    assert closed == [True]
    await server.channel.close()


async def test_stopping_does_not_wait_for_ever(tokens: Tokens) -> None:
    started = asyncio.Event()

    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    server = await answering.start(wait, tokens.settings)
    call = server.stub.GetMember(ASKED, metadata=tokens.bearer(SCOPE))
    await started.wait()
    async with asyncio.timeout(10):
        await server.server.stop(drain_seconds=0.2)
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    await server.channel.close()


async def test_a_call_that_comes_late_is_told_to_ask_again(tokens: Tokens) -> None:
    started, released = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        await released.wait()

    server = await answering.start(wait, tokens.settings)
    call = server.stub.GetMember(ASKED, metadata=tokens.bearer(SCOPE))
    await started.wait()
    stopping = asyncio.create_task(server.server.stop(drain_seconds=30))
    # Without the retries of our own clients, which would not show it.
    options = [("grpc.enable_retries", 0)]
    address = f"127.0.0.1:{server.server.port}"
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = diagnostics_pb2_grpc.DiagnosticsServiceStub(channel)
        token = tokens.bearer("diagnostics.read")
        await asyncio.sleep(0)
        late = await refused(stub.Ping(diagnostics_pb2.PingRequest(), metadata=token))
    assert (late.code, late.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
    released.set()
    assert (await call).member.name == ASKED.name
    await stopping
    await server.channel.close()
