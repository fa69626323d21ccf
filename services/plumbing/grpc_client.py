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

# gRPC's own retries (gRFC A6): only what is known not to have been answered is sent again.
SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "timeout": f"{DEADLINE_SECONDS}s",
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
OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.enable_retries", 1),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata that carries a token."""
    return (("authorization", f"Bearer {token}"),)


def aio_channel(address: str, *options: tuple[str, Any]) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=(*OPTIONS, *options))


def channel(address: str, *options: tuple[str, Any]) -> grpc.Channel:
    return grpc.insecure_channel(address, options=(*OPTIONS, *options))


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
