"""Points that are set aside, burned, made available again, and given back. Pure; time is an
argument.
"""

from collections.abc import Sequence

import msgspec

from services.ledger.domain import refusals
from services.ledger.domain.circumstances import Circumstances, check_time
from services.ledger.domain.documents import (
    Account,
    CapturePoints,
    Document,
    DocumentType,
    Entry,
    HoldPoints,
    RefundPoints,
    ReleaseHold,
)
from services.ledger.domain.forgiving import make_good
from services.ledger.domain.lots import (
    Burn,
    Hold,
    HoldState,
    LotPart,
    LotUse,
    Refunded,
    first_points,
)
from services.ledger.domain.point_life import Shortfall
from services.ledger.domain.policy import PointKind
from services.ledger.domain.restoring import last_burned, restore
from services.ledger.domain.wallet import WalletState

REDEEMABLE = PointKind.REDEEMABLE


def hold_points(command: HoldPoints, wallet: WalletState, circumstances: Circumstances) -> Document:
    """Refuses: InsufficientPoints, MemberBlocked, BusinessTimeInFuture, BusinessTimeTooOld."""
    check_time(command.business_time, circumstances)
    wallet.require_spending()
    life = circumstances.rules.life_at(command.business_time)
    points = command.points
    if life.shortfall is Shortfall.CLAMP and not command.shared:
        lots = wallet.spendable(command.business_time, life.burn_order)
        # Nothing at all is still refused.
        points = min(points, sum(lot.free for lot in lots)) or points
    parts = wallet.hold(points, business_time=command.business_time, order=life.burn_order)
    wallet.note_activity(command.business_time)
    document_id = circumstances.next_id()
    hold = Hold(
        document_id,
        points,
        command.business_time,
        circumstances.now + command.life,
        command.purpose,
        parts,
        shared=command.shared,
        sequence=wallet.sequence + 1,
    )
    wallet.keep_hold(hold)
    return _document(
        command, DocumentType.HOLD, document_id, command.business_time, wallet, hold=hold
    )


def capture_points(
    command: CapturePoints, wallet: WalletState, circumstances: Circumstances
) -> Document:
    """Refuses: HoldNotFound, HoldIsShared, HoldCaptured, HoldReleased, HoldExpired,
    CaptureExceedsHold.
    """
    hold = found_hold(wallet, command.hold_id)
    require_same(hold.shared, command.shared)
    if hold.state is HoldState.CAPTURED:
        raise refusals.HoldCaptured("the hold was captured before")
    if hold.state is HoldState.RELEASED:
        raise refusals.HoldReleased("the hold was released")
    if hold.state is HoldState.EXPIRED or hold.expire_time <= circumstances.now:
        raise refusals.HoldExpired("the life of the hold is over")
    points = command.points or hold.points
    if points > hold.points:
        raise refusals.CaptureExceedsHold(
            f"{points} points wanted, {hold.points} held",
            wanted=str(points),
            held=str(hold.points),
        )
    document_id = circumstances.next_id()
    wallet.unhold(hold.parts)
    hold = msgspec.structs.replace(
        hold, state=HoldState.CAPTURED, captured=points, burn_id=document_id
    )
    uses = wallet.take(1, captured_parts(hold))
    wallet.keep_hold(hold)
    entry = Entry(1, REDEEMABLE, Account.REDEMPTION, -points)
    taken, more = make_good(wallet, released_parts(hold), left_at=hold.sequence, after=[entry])
    uses += more + wallet.repay()
    return _document(
        command,
        DocumentType.BURN,
        document_id,
        hold.business_time,
        wallet,
        hold=hold,
        entries=[entry, *taken],
        uses=uses,
    )


def release_hold(
    command: ReleaseHold, wallet: WalletState, circumstances: Circumstances
) -> Document:
    """Releasing what is released already changes nothing. Refuses: HoldNotFound,
    HoldIsShared, HoldCaptured.
    """
    hold = found_hold(wallet, command.hold_id)
    # The life of a part ends by itself, whatever became of the rest.
    if hold.expire_time > circumstances.now:
        require_same(hold.shared, command.shared)
    if hold.state is HoldState.CAPTURED:
        raise refusals.HoldCaptured("the hold was captured before")
    document_id = circumstances.next_id()
    entries: list[Entry] = []
    uses: list[LotUse] = []
    if hold.state is HoldState.OPEN:
        wallet.unhold(hold.parts)
        entries, uses = make_good(wallet, hold.parts, left_at=hold.sequence)
        uses += wallet.repay()
        over = hold.expire_time <= circumstances.now
        state = HoldState.EXPIRED if over else HoldState.RELEASED
        hold = msgspec.structs.replace(hold, state=state)
        wallet.keep_hold(hold)
    return _document(
        command,
        DocumentType.RELEASE,
        document_id,
        hold.business_time,
        wallet,
        hold=hold,
        entries=entries,
        uses=uses,
    )


def found_hold(wallet: WalletState, hold_id: int) -> Hold:
    """Refuses: HoldNotFound."""
    hold = wallet.holds.get(hold_id)
    if hold is None:
        raise refusals.HoldNotFound("the wallet has no such hold")
    return hold


def require_same(shared: str, asked: str) -> None:
    """What is a part of a shared hold moves with it alone. Refuses: HoldIsShared."""
    if shared != asked:
        raise refusals.HoldIsShared("it is a part of a shared hold", hold=f"sharedHolds/{shared}")


def captured_parts(hold: Hold) -> list[LotPart]:
    """The points of a captured hold that were burned, in the order they were."""
    return first_points(hold.parts, hold.captured)


def released_parts(hold: Hold) -> list[LotPart]:
    """The points of a captured hold that were not burned."""
    return first_points(tuple(reversed(hold.parts)), hold.points - hold.captured)


def refund_points(
    command: RefundPoints,
    wallet: WalletState,
    circumstances: Circumstances,
    burn: Burn | None,
) -> Document:
    """Gives back what was burned last first, so that the rest stands as if it alone had been
    burned. Refuses: BurnNotFound, HoldIsShared, RefundExceedsBurn, BusinessTimeInFuture,
    BusinessTimeTooOld.
    """
    check_time(command.business_time, circumstances)
    if burn is None:
        raise refusals.BurnNotFound("the wallet has no such burn")
    require_same(burn.shared, command.shared)
    points = command.points or burn.points
    if points > burn.points or not points:
        raise refusals.RefundExceedsBurn(
            f"{points} points wanted back, {burn.points} of the burn are left",
            wanted=str(points),
            left=str(burn.points),
        )
    document_id = circumstances.next_id()
    done = restore(
        wallet,
        document_id,
        last_burned(burn.parts, points),
        left_at=burn.sequence,
        business_time=command.business_time,
        life=circumstances.rules.life_at(command.business_time),
    )
    return msgspec.structs.replace(
        _document(
            command,
            DocumentType.REFUND,
            document_id,
            command.business_time,
            wallet,
            entries=done.entries,
            uses=done.uses,
        ),
        reason=command.reason,
        lines_json=msgspec.json.encode(done.refunded).decode(),
        lots=done.lots,
    )


def burned_by(document: Document) -> Burn:
    """A burn as a refund sees it when nothing was given back yet."""
    hold = msgspec.json.decode(document.lines_json, type=Hold)
    return Burn(document.document_id, tuple(captured_parts(hold)), hold.shared, hold.sequence)


def refunded_by(burn: Burn, document: Document) -> Burn:
    """What a refund left of a burn."""
    left = {part.lot: part.points for part in burn.parts}
    for refunded in msgspec.json.decode(document.lines_json, type=list[Refunded]):
        left[refunded.source] -= refunded.points
    parts = tuple(LotPart(lot, points) for lot, points in left.items() if points)
    return msgspec.structs.replace(burn, parts=parts)


def _document(
    command: HoldPoints | CapturePoints | ReleaseHold | RefundPoints,
    kind: DocumentType,
    document_id: int,
    business_time: int,
    wallet: WalletState,
    *,
    hold: Hold | None = None,
    entries: Sequence[Entry] = (),
    uses: Sequence[LotUse] = (),
) -> Document:
    original = 0 if isinstance(command, HoldPoints) else _about(command)
    return Document(
        document_id,
        command.wallet_id,
        command.request_id,
        command.body_hash,
        kind,
        business_time,
        wallet.balance,
        wallet.next_sequence(),
        original_id=original,
        actor=command.actor,
        reason=hold.purpose if hold else "",
        lines_json=msgspec.json.encode(hold).decode() if hold else "[]",
        entries=entries,
        lot_uses=uses,
    )


def _about(command: CapturePoints | ReleaseHold | RefundPoints) -> int:
    """The hold or the burn that a command is about."""
    return command.burn_id if isinstance(command, RefundPoints) else command.hold_id
