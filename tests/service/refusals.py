"""What a caller sees when a server refuses."""

from collections.abc import Awaitable
from dataclasses import dataclass

import grpc
import pytest

from services.plumbing.grpc_client import error_info, field_violations


@dataclass(frozen=True, slots=True)
class Refusal:
    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str]
    # The fields a BadRequest names.
    fields: tuple[str, ...]


async def refused(call: Awaitable[object]) -> Refusal:
    """The refusal a call ends with; a call that is answered fails the test."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    info = error_info(error)
    assert info is not None, f"no ErrorInfo: {error}"
    return Refusal(
        code=error.code(),
        reason=info.reason,
        message=error.details() or "",
        metadata=dict(info.metadata),
        fields=tuple(violation.field for violation in field_violations(error)),
    )
