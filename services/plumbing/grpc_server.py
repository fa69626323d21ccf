"""A server with health, reflection, diagnostics, metrics and a graceful end."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from plumbing.v1 import diagnostics_pb2, diagnostics_pb2_grpc

from services.plumbing.auth import TokenVerifier
from services.plumbing.draining import CallsUnderWay
from services.plumbing.grpc_calls import CallInterceptor, Codec

log = logging.getLogger("server")

# 10,000 lines of a sale, or 1,000 sales of 100 lines, fit; more is not asked in one call.
MESSAGE_BYTES_MAX = 32 * 1024 * 1024
CONCURRENT_CALLS_MAX = 4_096
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # A second server on the same port must fail loudly, not share the connections.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)

Register = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Service:
    """A gRPC service to serve: its full name, what adds it to a server, and the codecs of methods
    that have one of their own, by name.
    """

    full_name: str
    register: Register
    codecs: Mapping[str, Codec] = field(default_factory=dict)


@dataclass(slots=True)
class Server:
    """A running server and what must happen when it ends."""

    grpc: grpc.aio.Server
    port: int
    under_way: CallsUnderWay
    health: health.aio.HealthServicer
    names: Sequence[str]
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def stop(self, *, drain_seconds: float) -> None:
        """Say so to load balancers, let calls under way end, then close what they used."""
        deadline = time.monotonic() + drain_seconds
        await self.health.enter_graceful_shutdown()
        await self.under_way.end(seconds_max=drain_seconds)
        await self.grpc.stop(max(deadline - time.monotonic(), 0.0))
        for close in self.closers:
            await close()


class Diagnostics(diagnostics_pb2_grpc.DiagnosticsServiceServicer):
    async def Ping(  # noqa: N802 — the name is the contract's
        self,
        request: diagnostics_pb2.PingRequest,
        context: object,  # noqa: ARG002
    ) -> diagnostics_pb2.PingResponse:
        return diagnostics_pb2.PingResponse(text=request.text)


async def start(
    address: str, services: Sequence[Service], *, verifier: TokenVerifier, domain: str
) -> Server:
    """Serve on address ("host:port", port 0 takes a free one). Refuses: OSError when it is taken.

    domain is the ErrorInfo domain of refusals, such as "ledger.loyalty.example".
    """
    under_way = CallsUnderWay()
    codecs = {
        f"/{service.full_name}/{method}": codec
        for service in services
        for method, codec in service.codecs.items()
    }
    server = grpc.aio.server(
        interceptors=[
            CallInterceptor(verifier=verifier, domain=domain, under_way=under_way, codecs=codecs)
        ],
        options=OPTIONS,
        maximum_concurrent_rpcs=CONCURRENT_CALLS_MAX,
    )
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    diagnostics_pb2_grpc.add_DiagnosticsServiceServicer_to_server(Diagnostics(), server)
    names = [service.full_name for service in services]
    for service in services:
        service.register(server)
    reflection.enable_server_reflection(
        [
            *names,
            diagnostics_pb2.DESCRIPTOR.services_by_name["DiagnosticsService"].full_name,
            health.SERVICE_NAME,
            reflection.SERVICE_NAME,
        ],
        server,
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from None
    await server.start()
    for name in ("", *names):
        await status.set(name, health_pb2.HealthCheckResponse.SERVING)
    log.info("serving", extra={"port": port})
    return Server(grpc=server, port=port, under_way=under_way, health=status, names=names)


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run a server's program to its end, on the event loop that costs a call least."""
    uvloop.run(serving)


async def serve_until_told(server: Server, *, drain_seconds: float) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
    log.info("draining", extra={"seconds": drain_seconds})
    await server.stop(drain_seconds=drain_seconds)
