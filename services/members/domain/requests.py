"""What was asked under a request_id."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Request:
    id: UUID
    # The same for the same body, and for no other.
    fingerprint: bytes
