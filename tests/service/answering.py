"""A server whose GetMember does what a test says; everything around the call is the real thing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
from loyalty.members.v1 import members_pb2, members_pb2_grpc

from services.plumbing import grpc_server
from services.plumbing.auth import TokenVerifier
from services.plumbing.config import AuthSettings
from services.plumbing.grpc_client import aio_channel
from services.plumbing.grpc_server import Server, Service
from tests.service.servers import PATIENCE_SECONDS

DOMAIN = "test.loyalty.example"
NAME = "loyalty.members.v1.MembersService"
METHOD = f"/{NAME}/GetMember"
ASKED = members_pb2.GetMemberRequest(name="members/00000000-0000-4000-8000-000000000000")
WRONG = members_pb2.GetMemberRequest(name="nobody")

Answer = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """Nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Answering:
    server: Server
    channel: grpc.aio.Channel

    @property
    def stub(self) -> "members_pb2_grpc.MembersServiceAsyncStub":
        return members_pb2_grpc.MembersServiceStub(self.channel)

    async def stop(self) -> None:
        await self.channel.close()
        await self.server.stop(drain_seconds=0)


Serving = Callable[[Answer], Awaitable[Answering]]


async def start(answer: Answer, auth: AuthSettings) -> Answering:
    """A server that is to be stopped by who started it."""

    async def get_member(
        request: members_pb2.GetMemberRequest, _context: object
    ) -> members_pb2.GetMemberResponse:
        await answer()
        return members_pb2.GetMemberResponse(member=members_pb2.Member(name=request.name))

    def register(server: grpc.aio.Server) -> None:
        method = grpc.unary_unary_rpc_method_handler(
            get_member,
            request_deserializer=members_pb2.GetMemberRequest.FromString,
            response_serializer=members_pb2.GetMemberResponse.SerializeToString,
        )
        handler = grpc.method_handlers_generic_handler(NAME, {"GetMember": method})
        server.add_generic_rpc_handlers([handler])

    server = await grpc_server.start(
        "127.0.0.1:0", [Service(NAME, register)], verifier=TokenVerifier(auth), domain=DOMAIN
    )
    channel = aio_channel(f"127.0.0.1:{server.port}", seconds_max=PATIENCE_SECONDS)
    return Answering(server, channel)
