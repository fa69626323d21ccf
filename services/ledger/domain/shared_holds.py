"""Holds over several wallets: what they are, and which wallet gives how much. Pure; time is an
argument.

Times are microseconds since 1970-01-01 UTC. Points are whole.
"""

import enum
import uuid
from collections.abc import Iterable

import msgspec

from services.ledger.domain import refusals
from services.ledger.domain.documents import Balance, Document
from services.ledger.domain.lots import Hold, HoldState, Refunded

# Others may have taken what was planned: it is planned anew once.
ATTEMPTS_MAX = 2


class SharedState(enum.IntEnum):
    # Its parts are being held.
    PREPARING = 1
    # A part was refused; the others are being released.
    UNDOING = 2
    OPEN = 3
    CAPTURING = 4
    # A part could not be captured; what was is being given back.
    GIVING_BACK = 5
    CAPTURED = 6
    RELEASING = 7
    RELEASED = 8
    EXPIRED = 9
    REFUNDING = 10
    REFUSED = 11


UNDER_WAY = (
    SharedState.PREPARING,
    SharedState.UNDOING,
    SharedState.CAPTURING,
    SharedState.GIVING_BACK,
    SharedState.RELEASING,
    SharedState.REFUNDING,
)
# As its holder sees it.
HOLD_STATES = {
    SharedState.CAPTURED: HoldState.CAPTURED,
    SharedState.REFUNDING: HoldState.CAPTURED,
    SharedState.RELEASED: HoldState.RELEASED,
    SharedState.EXPIRED: HoldState.EXPIRED,
}


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What one wallet gives. pooled: its owner is another member of the household than who spends.
    moving is what the request under way burns or gives back of it.
    """

    ordinal: int
    wallet_id: int
    owner_id: str
    pooled: bool
    points: int
    hold_id: int = 0
    burn_id: int = 0
    captured: int = 0
    refunded: int = 0
    moving: int = 0


class SharedHold(msgspec.Struct, frozen=True):
    """Points of several wallets set aside together, in the order of its parts they are burned."""

    shared_hold_id: str
    request_id: str
    member_id: str
    household_id: str | None
    points: int
    own_points_only: bool
    life: int
    purpose: str
    actor: str
    business_time: int
    create_time: int
    expire_time: int
    state: SharedState
    parts: tuple[Part, ...]
    captured: int = 0
    step: int = 0
    attempt: int = 1
    # The request under way.
    move_id: str | None = None
    # The refusal that ends it.
    failure: str = ""


class MoveKind(enum.IntEnum):
    HOLD = 1
    CAPTURE = 2
    RELEASE = 3
    REFUND = 4


class Move(msgspec.Struct, frozen=True):
    """A request about a shared hold. answer and refusal are empty while it is under way."""

    request_id: str
    body_hash: str
    shared_hold_id: str | None
    kind: MoveKind
    points: int
    reason: str
    actor: str
    business_time: int
    create_time: int
    answer: str = ""
    refusal: str = ""

    @property
    def done(self) -> bool:
        return bool(self.answer or self.refusal)


class AskedHold(msgspec.Struct, frozen=True):
    """Asks to set points aside in whatever wallets a member may spend of. life in microseconds of
    the clock.
    """

    request_id: str
    body_hash: str
    member_id: str
    points: int
    purpose: str
    life: int
    own_points_only: bool
    actor: str
    business_time: int


class GivenBack(msgspec.Struct, frozen=True, array_like=True):
    """Points that went back into a lot of a wallet."""

    wallet_id: int
    refunded: Refunded


class Answer(msgspec.Struct, frozen=True):
    """What a request was answered: the hold as it left it, and what the member's own wallets held
    then.
    """

    hold: SharedHold
    balance: Balance
    given_back: tuple[GivenBack, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """A wallet that points may come from, and how many can be spent of it."""

    wallet_id: int
    owner_id: str
    spendable: int


class Lender(msgspec.Struct, frozen=True):
    """A member of a household, what of their points the others may still spend, and where these
    are.
    """

    member_id: str
    left: int
    sources: tuple[Source, ...]

    @property
    def lends(self) -> int:
        return max(0, min(self.left, sum(source.spendable for source in self.sources)))


def share_out(
    points: int, own: Iterable[Source], lenders: Iterable[Lender], *, clamp: bool = False
) -> tuple[Part, ...]:
    """Which wallet gives how much: the member's own in their order as far as they go, then those of
    each lender within what that one allows. With clamp what there is. Refuses: InsufficientPoints.
    """
    parts: list[Part] = []

    def take(sources: Iterable[Source], wanted: int, *, pooled: bool) -> int:
        taken = 0
        for source in sources:
            given = min(source.spendable, wanted - taken)
            if given > 0:
                parts.append(Part(len(parts) + 1, source.wallet_id, source.owner_id, pooled, given))
                taken += given
        return taken

    missing = points - take(own, points, pooled=False)
    for lender in lenders:
        missing -= take(lender.sources, min(missing, lender.left), pooled=True)
    if missing and not (clamp and parts):
        raise short_of(points, points - missing)
    return tuple(parts)


def short_of(points: int, available: int) -> refusals.InsufficientPoints:
    return refusals.InsufficientPoints(
        f"{points} points wanted, {available} available",
        wanted=str(points),
        available=str(available),
    )


def prepared(
    asked: AskedHold, parts: tuple[Part, ...], household_id: str | None, *, now: int
) -> SharedHold:
    """A shared hold none of whose parts is held yet."""
    return SharedHold(
        str(uuid.uuid4()),
        asked.request_id,
        asked.member_id,
        household_id,
        sum(part.points for part in parts),
        asked.own_points_only,
        asked.life,
        asked.purpose,
        asked.actor,
        asked.business_time,
        now,
        now + asked.life,
        SharedState.PREPARING,
        parts,
        move_id=asked.request_id,
    )


def planned_anew(hold: SharedHold) -> bool:
    """Whether a hold that was just undone is worth another plan: somebody else was faster."""
    if hold.state is not SharedState.REFUSED or hold.attempt >= ATTEMPTS_MAX:
        return False
    reason = refusals.remembered(hold.failure).reason
    return reason in (refusals.InsufficientPoints.reason, refusals.MemberBlocked.reason)


def replanned(hold: SharedHold, parts: tuple[Part, ...]) -> SharedHold:
    """The next attempt at a hold."""
    return msgspec.structs.replace(
        hold,
        state=SharedState.PREPARING,
        attempt=hold.attempt + 1,
        points=sum(part.points for part in parts),
        parts=parts,
        failure="",
    )


def given_back(documents: Iterable[Document]) -> tuple[GivenBack, ...]:
    """Where the points went that wallets were given back."""
    return tuple(
        GivenBack(document.wallet_id, refunded)
        for document in documents
        for refunded in msgspec.json.decode(document.lines_json, type=list[Refunded])
    )


def as_hold(hold: SharedHold) -> HoldState:
    return HOLD_STATES.get(hold.state, HoldState.OPEN)


def shared_hold_of(document: Document) -> str:
    """The shared hold that a burn took a part of; empty for any other."""
    return msgspec.json.decode(document.lines_json, type=Hold).shared
