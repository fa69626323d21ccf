"""Requests as they are remembered, so that a retry changes nothing more."""

from hashlib import blake2b
from uuid import UUID

from google.protobuf.message import Message

from services.members.domain.requests import Request

FINGERPRINT_BYTES = 16


def remembered(request_id: str, message: Message) -> Request:
    """A request by its id, which its rules say is a UUID, and all that was asked."""
    asked = message.DESCRIPTOR.full_name.encode() + message.SerializeToString(deterministic=True)
    return Request(UUID(request_id), blake2b(asked, digest_size=FINGERPRINT_BYTES).digest())
