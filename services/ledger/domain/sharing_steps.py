"""The steps of a shared hold, from its preparation to its end. Pure; time is an argument.

It is written down before the first of its parts is held, and every part moves under a request id
that follows from it. So whoever finds it half done goes on with it, as often as it takes, and does
nothing twice.

PREPARING -> OPEN -> CAPTURING -> CAPTURED <-> REFUNDING
PREPARING -> UNDOING -> PREPARING again, or REFUSED
OPEN -> RELEASING -> RELEASED or EXPIRED
CAPTURING -> GIVING_BACK -> EXPIRED or RELEASED, where a part could not be captured
"""

import uuid
from collections.abc import Callable, Iterable, Sequence

import msgspec

from services.ledger.domain import refusals
from services.ledger.domain.basket import MICROS_PER_SECOND
from services.ledger.domain.documents import (
    CapturePoints,
    Command,
    Document,
    HoldPoints,
    RefundPoints,
    ReleaseHold,
)
from services.ledger.domain.shared_holds import (
    UNDER_WAY,
    Move,
    MoveKind,
    Part,
    SharedHold,
    SharedState,
)
from services.plumbing.errors import Refused

# Parts outlive the whole by this, so that what was begun in time can be finished after a crash.
LIFE_SPARE = 600 * MICROS_PER_SECOND
GIVEN_BACK = "the shared hold could not be captured as a whole"

_replace = msgspec.structs.replace


def begin(hold: SharedHold, move: Move, now: int) -> SharedHold:
    """What a request about a hold sets about; a hold with no request under way. Refuses:
    HoldNotFound, HoldCaptured, HoldReleased, HoldExpired, CaptureExceedsHold, BurnNotFound,
    RefundExceedsBurn.
    """
    match move.kind:
        case MoveKind.CAPTURE:
            return _begin_capture(hold, move, now)
        case MoveKind.RELEASE:
            return _begin_release(hold, move)
        case _:
            return _begin_refund(hold, move)


def expire(hold: SharedHold) -> SharedHold:
    """An open hold whose life is over, about to release its parts."""
    return _replace(hold, state=SharedState.RELEASING, move_id=None)


def _begin_capture(hold: SharedHold, move: Move, now: int) -> SharedHold:
    require_uncaptured(hold)
    if hold.state is SharedState.RELEASED:
        raise refusals.HoldReleased("the hold was released")
    if hold.state is SharedState.EXPIRED or hold.expire_time <= now:
        raise refusals.HoldExpired("the life of the hold is over")
    points = move.points or hold.points
    if points > hold.points:
        raise refusals.CaptureExceedsHold(
            f"{points} points wanted, {hold.points} held",
            wanted=str(points),
            held=str(hold.points),
        )
    return _replace(
        hold,
        state=SharedState.CAPTURING,
        move_id=move.request_id,
        parts=moved(hold.parts, points, lambda part: part.points),
    )


def _begin_release(hold: SharedHold, move: Move) -> SharedHold:
    """Releasing what is released already changes nothing."""
    require_uncaptured(hold)
    if hold.state is not SharedState.OPEN:
        return hold
    return _replace(hold, state=SharedState.RELEASING, move_id=move.request_id)


def _begin_refund(hold: SharedHold, move: Move) -> SharedHold:
    """Gives back what was burned last first: of the points of others before one's own."""
    if hold.state is not SharedState.CAPTURED:
        raise refusals.BurnNotFound("there is no such burn")
    left = sum(part.captured - part.refunded for part in hold.parts)
    points = move.points or left
    if points > left or not points:
        raise refusals.RefundExceedsBurn(
            f"{points} points wanted back, {left} of the burn are left",
            wanted=str(points),
            left=str(left),
        )
    backwards = moved(hold.parts[::-1], points, lambda part: part.captured - part.refunded)
    return _replace(
        hold, state=SharedState.REFUNDING, move_id=move.request_id, parts=backwards[::-1]
    )


def require_uncaptured(hold: SharedHold) -> None:
    """Refuses: HoldNotFound, HoldCaptured."""
    if hold.state is SharedState.REFUSED:
        raise refusals.HoldNotFound("there is no such hold")
    if hold.state is SharedState.CAPTURED:
        raise refusals.HoldCaptured("the hold was captured before")


def moved(parts: Sequence[Part], points: int, there: Callable[[Part], int]) -> tuple[Part, ...]:
    """Parts with so many points to move, in their order."""
    found = []
    for part in parts:
        moving = min(there(part), points)
        points -= moving
        found.append(msgspec.structs.replace(part, moving=moving))
    return tuple(found)


def commands(hold: SharedHold, move: Move | None) -> list[tuple[int, Command]]:
    """What the step that a hold is at asks of wallets, in their order, with the parts' ordinals.
    Asked again it is the same.
    """
    parts = sorted(hold.parts, key=lambda part: part.wallet_id)
    asked = [(part.ordinal, _command(hold, part, move)) for part in parts]
    return [(ordinal, command) for ordinal, command in asked if command is not None]


def _command(hold: SharedHold, part: Part, move: Move | None) -> Command | None:
    match hold.state:
        case SharedState.PREPARING:
            return HoldPoints(
                part.wallet_id,
                *_derived(hold, f"{hold.attempt}/hold", part),
                part.points,
                hold.purpose,
                hold.life + LIFE_SPARE,
                hold.actor,
                hold.business_time,
                hold.shared_hold_id,
            )
        case SharedState.CAPTURING if part.moving:
            return CapturePoints(
                part.wallet_id,
                *_derived(hold, f"{hold.move_id}/capture", part),
                part.hold_id,
                part.moving,
                _actor(hold, move),
                hold.shared_hold_id,
            )
        case SharedState.REFUNDING if part.moving:
            return _refund(hold, part, move, part.moving)
        case SharedState.GIVING_BACK if part.captured:
            return _refund(hold, part, move, part.captured)
        case SharedState.REFUNDING | SharedState.OPEN | SharedState.CAPTURED:
            return None
    if hold.state not in UNDER_WAY or not part.hold_id:
        return None
    return ReleaseHold(
        part.wallet_id,
        *_derived(hold, f"{hold.attempt}/release", part),
        part.hold_id,
        _actor(hold, move),
        hold.shared_hold_id,
    )


def _refund(hold: SharedHold, part: Part, move: Move | None, points: int) -> RefundPoints:
    return RefundPoints(
        part.wallet_id,
        *_derived(hold, f"{hold.move_id}/refund", part),
        part.burn_id,
        points,
        (move.reason if move else "") or GIVEN_BACK,
        _actor(hold, move),
        move.business_time if move else hold.business_time,
        hold.shared_hold_id,
    )


def _actor(hold: SharedHold, move: Move | None) -> str:
    return move.actor if move else hold.actor


def _derived(hold: SharedHold, what: str, part: Part) -> tuple[str, str]:
    """The request of a part: it follows from the hold and the step, so its id tells its body."""
    found = uuid.uuid5(uuid.UUID(hold.shared_hold_id), f"{what}/{part.ordinal}")
    return str(found), str(found)


def settled(
    hold: SharedHold, answers: Iterable[tuple[int, Document | Refused]], now: int
) -> SharedHold:
    """A hold after the step it was at, by what its wallets answered."""
    found = dict(answers)
    parts = tuple(_noted(hold.state, part, found.get(part.ordinal)) for part in hold.parts)
    refused = [answer for answer in found.values() if isinstance(answer, Refused)]
    failure = hold.failure or (refusals.said(refused[0]) if refused else "")
    after = _replace(hold, parts=parts, failure=failure, step=hold.step + 1)
    match hold.state:
        case SharedState.PREPARING:
            return _replace(after, state=SharedState.UNDOING if refused else SharedState.OPEN)
        case SharedState.UNDOING:
            return _replace(after, state=SharedState.REFUSED)
        case SharedState.CAPTURING if refused:
            return _replace(after, state=SharedState.GIVING_BACK)
        case SharedState.CAPTURING:
            captured = sum(part.captured for part in parts)
            return _replace(after, state=SharedState.CAPTURED, captured=captured)
        case SharedState.GIVING_BACK | SharedState.RELEASING:
            over = hold.expire_time <= now
            return _replace(after, state=SharedState.EXPIRED if over else SharedState.RELEASED)
        case _:
            # A part that gave nothing back leaves the rest as it is.
            gave = len(refused) < len(found)
            return _replace(
                after, state=SharedState.CAPTURED, failure="" if gave else after.failure
            )


def _noted(state: SharedState, part: Part, answer: Document | Refused | None) -> Part:
    """A part after what its wallet answered."""
    idle = msgspec.structs.replace(part, moving=0)
    if not isinstance(answer, Document):
        return idle
    match state:
        case SharedState.PREPARING:
            return msgspec.structs.replace(idle, hold_id=answer.document_id)
        case SharedState.CAPTURING if part.moving:
            return msgspec.structs.replace(idle, burn_id=answer.document_id, captured=part.moving)
        case SharedState.REFUNDING:
            return msgspec.structs.replace(idle, refunded=part.refunded + part.moving)
        case SharedState.GIVING_BACK if part.captured:
            return msgspec.structs.replace(idle, refunded=part.captured)
        case _:
            return idle
