"""`loyalty call`: any method of a running platform, JSON in and JSON out."""

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import typer
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from loyalty.ledger.v1 import (
    adjustments_pb2,
    earn_policy_pb2,
    ledger_pb2,
    liability_pb2,
    night_pb2,
    point_of_sale_pb2,
    points_pb2,
    pools_pb2,
    transfers_pb2,
)
from loyalty.members.v1 import households_pb2, members_pb2, merges_pb2
from loyalty.rewards.v1 import catalogue_pb2, redemption_pb2, vouchers_pb2
from loyalty.tiering.v1 import rules_pb2, tiering_pb2
from plumbing.v1 import access_pb2

from services.cli.run_file import NothingRuns, RunningPlatform
from services.cli.tokens import mint
from services.plumbing.grpc_client import bearer, channel, error_info, field_violations

CONTRACTS = {
    "members": (members_pb2, merges_pb2, households_pb2),
    "ledger": (
        point_of_sale_pb2,
        earn_policy_pb2,
        ledger_pb2,
        points_pb2,
        pools_pb2,
        transfers_pb2,
        adjustments_pb2,
        liability_pb2,
        night_pb2,
    ),
    "tiering": (rules_pb2, tiering_pb2),
    "rewards": (catalogue_pb2, vouchers_pb2, redemption_pb2),
}
# Publishing tier rules replays every member.
DEADLINE_SECONDS = 300.0
TOKEN_SECONDS = 60
# Who calls where nobody else is named.
OPERATOR = "operators/command-line"


def methods() -> dict[str, tuple[str, MethodDescriptor]]:
    """Every method by its short name, such as "RecordSale", with the service that answers it."""
    found = {}
    for service, contracts in CONTRACTS.items():
        for contract in contracts:
            for described in contract.DESCRIPTOR.services_by_name.values():
                for method in described.methods:
                    found[method.name] = (service, method)
    return found


def call(data_dir: Path, name: str, body: str, *, subject: str) -> None:
    """Call a method by its short name and print the answer; exits 1 with the refusal.

    A token with just the scope the method states is minted for it; a request_id left out is made.
    """
    known = methods()
    if name not in known:
        raise typer.BadParameter(f"one of {', '.join(sorted(known))}", param_hint="METHOD")
    service, method = known[name]
    try:
        platform = RunningPlatform.load(data_dir)
        request = read_request(method, body or "{}")
    except (NothingRuns, json.JSONDecodeError, json_format.ParseError) as refused:
        typer.echo(f"loyalty call: {refused}", err=True)
        raise typer.Exit(1) from None
    scope = method.GetOptions().Extensions[access_pb2.required_scope]
    token = mint(
        data_dir,
        subject=subject,
        scope=scope,
        stores=["*"],
        lifetime_seconds=TOKEN_SECONDS,
    )
    with channel(platform.grpc_address(service), seconds_max=DEADLINE_SECONDS) as opened:
        try:
            for response in answers(opened, method, request, token):
                typer.echo(
                    json_format.MessageToJson(response, descriptor_pool=descriptor_pool.Default())
                )
        except grpc.RpcError as error:
            say_refusal(error)
            raise typer.Exit(1) from None


def answers(
    opened: grpc.Channel, method: MethodDescriptor, request: Message, token: str
) -> Iterator[Message]:
    """The answer of a method, or each of those that it streams. Refuses: grpc.RpcError."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    read = GetMessageClass(method.output_type).FromString
    metadata = bearer(token)
    if method.server_streaming:
        stream: grpc.UnaryStreamMultiCallable[Message, Message] = opened.unary_stream(
            path, request_serializer=_serialized, response_deserializer=read
        )
        yield from stream(request, metadata=metadata, timeout=DEADLINE_SECONDS)
    else:
        single: grpc.UnaryUnaryMultiCallable[Message, Message] = opened.unary_unary(
            path, request_serializer=_serialized, response_deserializer=read
        )
        yield single(request, metadata=metadata, timeout=DEADLINE_SECONDS)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


def read_request(method: MethodDescriptor, body: str) -> Message:
    """The request in JSON. Refuses: JSONDecodeError, ParseError."""
    request = GetMessageClass(method.input_type)()
    fields = json.loads(sys.stdin.read() if body == "-" else body)
    if "request_id" in method.input_type.fields_by_name and "requestId" not in fields:
        fields.setdefault("request_id", str(uuid.uuid4()))
    json_format.ParseDict(fields, request)
    return request


def say_refusal(error: grpc.RpcError) -> None:
    """Print code, reason and what is wrong with which field."""
    code = error.code().name if isinstance(error, grpc.Call) else "UNKNOWN"
    details = error.details() if isinstance(error, grpc.Call) else str(error)
    info = error_info(error)
    typer.echo(f"{code} {info.reason if info else ''}: {details}", err=True)
    for key, value in sorted(info.metadata.items()) if info else ():
        typer.echo(f"  {key}: {value}", err=True)
    for violation in field_violations(error):
        typer.echo(f"  {violation.field}: {violation.description}", err=True)
