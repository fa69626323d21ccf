"""Refusals: what a caller did that cannot be done, as types that any transport can map.

Refused
├── Invalid            the request itself is wrong
├── Unauthenticated    no token, or one that is not believed
├── Forbidden          the token does not allow it
├── Missing            what it names does not exist
├── Clash              something with that identity is there already
├── Unmet              the state does not allow it
├── Stale              somebody else changed it meanwhile
├── Exhausted          a limit is reached; may be tried again later
└── Unavailable        something needed is down; may be tried again later
    └── DatabaseDown
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    field: str
    description: str


class Refused(Exception):  # noqa: N818 — a refusal is an answer, not an accident
    """Carries a reason in capitals, a sentence, and the values the sentence names."""

    reason = "REFUSED"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        violations: Sequence[FieldViolation] = (),
        **metadata: str,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.metadata = metadata
        self.violations = tuple(violations)


class Invalid(Refused):
    reason = "INVALID_REQUEST"


class Unauthenticated(Refused):
    reason = "UNAUTHENTICATED"


class Forbidden(Refused):
    reason = "FORBIDDEN"


class Missing(Refused):
    reason = "NOT_FOUND"


class Clash(Refused):
    reason = "ALREADY_EXISTS"


class Unmet(Refused):
    reason = "FAILED_PRECONDITION"


class Stale(Refused):
    reason = "STALE"


class Exhausted(Refused):
    reason = "EXHAUSTED"
    retryable = True


class Unavailable(Refused):
    reason = "UNAVAILABLE"
    retryable = True


class DatabaseDown(Unavailable):
    reason = "DATABASE_DOWN"

    def __init__(self) -> None:
        super().__init__("the database does not answer")
