"""Lots of points, and what sets their points aside, burns them and gives them back.

Times are microseconds since 1970-01-01 UTC. Points are whole.
"""

import enum
from collections.abc import Iterable

import msgspec

from services.ledger.domain.point_life import FOREVER, Term

# A lot is named by the entry that opened it: the document's id and the entry's ordinal.
LotId = tuple[int, int]


class Lot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Points of one credit that are still there. Never below zero."""

    document_id: int
    ordinal: int
    points: int
    remaining: int
    earn_time: int
    term: Term = FOREVER
    # Not spendable yet: a night makes it so when its available_time has come.
    pending: bool = False
    # Of the remaining points, those that holds have set aside.
    held: int = 0

    @property
    def id(self) -> LotId:
        return self.document_id, self.ordinal

    @property
    def free(self) -> int:
        return self.remaining - self.held


class LotUse(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Points an entry took from a lot, or gave back to it (negative). Of ordinal zero: what a
    wallet owed, repaid out of points that became available.
    """

    ordinal: int
    lot: LotId
    points: int


class LotPart(msgspec.Struct, frozen=True, array_like=True):
    """Points of a lot."""

    lot: LotId
    points: int


def first_points(parts: Iterable[LotPart], points: int) -> list[LotPart]:
    """So many points of parts, in their order; all of them where there are fewer."""
    found = []
    for part in parts:
        taken = min(part.points, points)
        if taken:
            found.append(LotPart(part.lot, taken))
            points -= taken
    return found


class Tender(msgspec.Struct, frozen=True, array_like=True):
    """Points that a part of a sale was paid with: what they were worth in minor units, and of which
    lots, in the order they were burned.
    """

    points: int
    amount: int
    parts: tuple[LotPart, ...]


class SentPart(msgspec.Struct, frozen=True, array_like=True):
    """Points of a lot on their way to another wallet, with what they take along: when they were
    earned, when they expire, and after how many months without activity.
    """

    lot: LotId
    points: int
    earn_time: int
    expire_time: int | None = None
    inactive_months: int = 0


class HoldState(enum.IntEnum):
    OPEN = 1
    CAPTURED = 2
    RELEASED = 3
    # Released when its life was over.
    EXPIRED = 4


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """Points set aside, named by the document that did it; parts stand in the order they will be
    burned.
    """

    hold_id: int
    points: int
    business_time: int
    # By the clock: after it the points cannot be captured.
    expire_time: int
    purpose: str
    parts: tuple[LotPart, ...]
    state: HoldState = HoldState.OPEN
    captured: int = 0
    burn_id: int = 0
    # The shared hold it is a part of: that alone captures and releases it.
    shared: str = ""
    # The place of its document among the wallet's.
    sequence: int = 0


class Forgiven(msgspec.Struct, frozen=True, array_like=True):
    """What a return could not take back, as it was spent or set aside, and what of it is left: it
    is taken of points that come back and had left before the return, named by its place among the
    wallet's documents.
    """

    return_id: int
    sequence: int
    # The sale that the return is of.
    sale_id: int
    points: int
    left: int


class Refunded(msgspec.Struct, frozen=True, array_like=True):
    """Burned points given back: of which lot, and into which lot."""

    source: LotId
    target: LotId
    points: int
    expire_time: int | None


class Burn(msgspec.Struct, frozen=True):
    """Burned points as a refund sees them: what of each lot was not given back before, in the
    order it was burned.
    """

    burn_id: int
    parts: tuple[LotPart, ...]
    # The shared hold it burned a part of: that alone gives it back.
    shared: str = ""
    # When its points left: the place of the hold's document among the wallet's.
    sequence: int = 0

    @property
    def points(self) -> int:
        return sum(part.points for part in self.parts)
