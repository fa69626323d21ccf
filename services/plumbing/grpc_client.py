"""Channels to a service: deadlines on every call, retries of UNAVAILABLE only, a bearer token."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.plumbing.grpc_server import MESSAGE_BYTES_MAX

DEADLINE_SECONDS = 5.0
Detail = TypeVar("Detail", bound=Message)

OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.enable_retries", 1),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
)


def service_config(seconds_max: float) -> str:
    """What channels do of themselves: a deadline, and gRPC's own retries (gRFC A6).

    Only what is known not to have been answered is sent again.
    """
    return json.dumps(
        {
            "methodConfig": [
                {
                    "name": [{}],
                    "timeout": f"{seconds_max}s",
                    "retryPolicy": {
                        "maxAttempts": 4,
                        "initialBackoff": "0.1s",
                        "maxBackoff": "2s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ]
        }
    )


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata that carries a token."""
    return (("authorization", f"Bearer {token}"),)


def aio_channel(
    address: str, *options: tuple[str, Any], seconds_max: float = DEADLINE_SECONDS
) -> grpc.aio.Channel:
    """A channel whose calls end after so many seconds, whatever longer deadline they have."""
    return grpc.aio.insecure_channel(address, options=(*_options(seconds_max), *options))


def channel(
    address: str, *options: tuple[str, Any], seconds_max: float = DEADLINE_SECONDS
) -> grpc.Channel:
    """The same for callers that block."""
    return grpc.insecure_channel(address, options=(*_options(seconds_max), *options))


def _options(seconds_max: float) -> tuple[tuple[str, Any], ...]:
    return (("grpc.service_config", service_config(seconds_max)), *OPTIONS)


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo of a refusal; None where the error did not come from our servers."""
    return _detail(error, error_details_pb2.ErrorInfo)


def field_violations(
    error: grpc.RpcError,
) -> Sequence[error_details_pb2.BadRequest.FieldViolation]:
    found = _detail(error, error_details_pb2.BadRequest)
    return found.field_violations if found is not None else ()


def _detail(error: grpc.RpcError, kind: type[Detail]) -> Detail | None:
    # Both kinds of error, of the blocking and of the asyncio API, have the trailing metadata.
    trailing: Any = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    for key, value in trailing or ():
        if key == "grpc-status-details-bin":
            for packed in status_pb2.Status.FromString(value).details:
                unpacked = kind()
                if packed.Unpack(unpacked):
                    return unpacked
    return None
