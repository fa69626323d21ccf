"""What a night asks of wallets. Pure; time is an argument."""

import enum
import uuid
from datetime import date

import msgspec

from services.ledger.domain.documents import (
    ActivatePoints,
    Document,
    DocumentType,
    ExpirePoints,
    ReleaseHold,
)
from services.ledger.domain.lots import Hold, LotPart
from services.ledger.domain.point_life import MICROS_PER_DAY, day_number

# The release of an overdue hold is asked for under an id that follows from the hold.
_NAMESPACE = uuid.UUID("6f1a1c52-55d0-4f6e-9a53-3a3a0b7d6f0e")
NIGHT = "night"


class Step(enum.IntEnum):
    """The steps of a night that the ledger does; tiers are decided before and after expiry."""

    ACTIVATE_PENDING = 1
    EXPIRE_LOTS = 2
    RELEASE_HOLDS = 3


def cutoff_of(day: date) -> int:
    """The first instant after a business day, in microseconds since 1970-01-01 UTC."""
    return (day_number(day) + 1) * MICROS_PER_DAY


def activation(wallet_id: int, cutoff: int) -> ActivatePoints:
    return ActivatePoints(wallet_id, *_anew(), cutoff - 1)


def expiry(wallet_id: int, cutoff: int) -> ExpirePoints:
    return ExpirePoints(wallet_id, *_anew(), cutoff - 1)


def _anew() -> tuple[str, str]:
    """A request of its own: done again, it finds nothing that is due."""
    made = str(uuid.uuid4())
    return made, made


def release(wallet_id: int, hold_id: int) -> ReleaseHold:
    """Asks for the release of a hold whose life is over; whoever asks, it happens once."""
    derived = str(uuid.uuid5(_NAMESPACE, f"{wallet_id}/{hold_id}"))
    return ReleaseHold(wallet_id, derived, derived, hold_id, NIGHT)


def points_of(document: Document) -> int:
    """How many points a document of the night made available, expired or no longer holds."""
    if document.type is DocumentType.ACTIVATION:
        parts = msgspec.json.decode(document.lines_json, type=list[LotPart])
        return sum(part.points for part in parts)
    if document.type is DocumentType.RELEASE:
        return msgspec.json.decode(document.lines_json, type=Hold).points
    return -sum(entry.points for entry in document.entries)
