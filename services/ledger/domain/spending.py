"""Points that are set aside, burned, made available again, and given back. Pure; time is an
argument.
"""

from collections.abc import Sequence

import msgspec

from services.ledger.domain import refusals
from services.ledger.domain.circumstances import Circumstances, check_time
from services.ledger.domain.documents import (
    Account,
    Burn,
    CapturePoints,
    Document,
    DocumentType,
    Entry,
    Hold,
    HoldPoints,
    HoldState,
    Lot,
    LotPart,
    LotUse,
    Refunded,
    RefundPoints,
    ReleaseHold,
)
from services.ledger.domain.point_life import MICROS_PER_DAY, PointLife, Shortfall, Term
from services.ledger.domain.policy import PointKind
from services.ledger.domain.wallet import WalletState

REDEEMABLE = PointKind.REDEEMABLE
# What an entry of a refund is called: points back in their lots, or in a lot with days of grace.
RESTORED = "restored"
GRACE = "grace"


def hold_points(command: HoldPoints, wallet: WalletState, circumstances: Circumstances) -> Document:
    """Refuses: InsufficientPoints, BusinessTimeInFuture, BusinessTimeTooOld."""
    check_time(command.business_time, circumstances)
    life = circumstances.rules.life_at(command.business_time)
    points = command.points
    if life.shortfall is Shortfall.CLAMP:
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
    )
    wallet.keep_hold(hold)
    return _document(
        command, DocumentType.HOLD, document_id, command.business_time, wallet, hold=hold
    )


def capture_points(
    command: CapturePoints, wallet: WalletState, circumstances: Circumstances
) -> Document:
    """Refuses: HoldNotFound, HoldCaptured, HoldReleased, HoldExpired, CaptureExceedsHold."""
    hold = found_hold(wallet, command.hold_id)
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
    uses = wallet.take(1, first_points(hold.parts, points))
    uses += wallet.repay()
    hold = msgspec.structs.replace(
        hold, state=HoldState.CAPTURED, captured=points, burn_id=document_id
    )
    wallet.keep_hold(hold)
    entry = Entry(1, REDEEMABLE, Account.REDEMPTION, -points)
    return _document(
        command,
        DocumentType.BURN,
        document_id,
        hold.business_time,
        wallet,
        hold=hold,
        entries=[entry],
        uses=uses,
    )


def release_hold(
    command: ReleaseHold, wallet: WalletState, circumstances: Circumstances
) -> Document:
    """Releasing what is released already changes nothing. Refuses: HoldNotFound, HoldCaptured."""
    hold = found_hold(wallet, command.hold_id)
    if hold.state is HoldState.CAPTURED:
        raise refusals.HoldCaptured("the hold was captured before")
    document_id = circumstances.next_id()
    uses: list[LotUse] = []
    if hold.state is HoldState.OPEN:
        wallet.unhold(hold.parts)
        uses = wallet.repay()
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
        uses=uses,
    )


def found_hold(wallet: WalletState, hold_id: int) -> Hold:
    """Refuses: HoldNotFound."""
    hold = wallet.holds.get(hold_id)
    if hold is None:
        raise refusals.HoldNotFound("the wallet has no such hold")
    return hold


def first_points(parts: Sequence[LotPart], points: int) -> list[LotPart]:
    """So many points of parts, in their order."""
    found = []
    for part in parts:
        taken = min(part.points, points)
        if taken:
            found.append(LotPart(part.lot, taken))
            points -= taken
    return found


def refund_points(
    command: RefundPoints,
    wallet: WalletState,
    circumstances: Circumstances,
    burn: Burn | None,
) -> Document:
    """Gives back what was burned last first, so that the rest stands as if it alone had been
    burned. Refuses: BurnNotFound, RefundExceedsBurn, BusinessTimeInFuture, BusinessTimeTooOld.
    """
    check_time(command.business_time, circumstances)
    if burn is None:
        raise refusals.BurnNotFound("the wallet has no such burn")
    points = command.points or burn.points
    if points > burn.points or not points:
        raise refusals.RefundExceedsBurn(
            f"{points} points wanted back, {burn.points} of the burn are left",
            wanted=str(points),
            left=str(burn.points),
        )
    document_id = circumstances.next_id()
    parts = first_points(tuple(reversed(burn.parts)), points)
    over = [p for p in parts if wallet.is_over(wallet.lots[p.lot], command.business_time)]
    restored = [part for part in parts if part not in over]
    life = circumstances.rules.life_at(command.business_time)
    entries: list[Entry] = []
    lots: list[Lot] = []
    uses: list[LotUse] = []
    refunded: list[Refunded] = []
    if restored:
        entries.append(_given_back(1, restored, RESTORED))
        uses += wallet.give_back(1, restored)
        refunded += [_refunded(wallet, part, part.lot) for part in restored]
    if over:
        ordinal = len(entries) + 1
        entries.append(_given_back(ordinal, over, GRACE))
        grace = _grace_lot(wallet, (document_id, ordinal), over, command.business_time, life)
        lots.append(grace)
        refunded += [_refunded(wallet, part, grace.id) for part in over]
    uses += wallet.repay()
    return msgspec.structs.replace(
        _document(
            command,
            DocumentType.REFUND,
            document_id,
            command.business_time,
            wallet,
            entries=entries,
            uses=uses,
        ),
        reason=command.reason,
        lines_json=msgspec.json.encode(refunded).decode(),
        lots=lots,
    )


def burned_by(document: Document) -> Burn:
    """A burn as a refund sees it when nothing was given back yet."""
    uses = [use for use in document.lot_uses if use.ordinal]
    return Burn(document.document_id, tuple(LotPart(use.lot, use.points) for use in uses))


def refunded_by(burn: Burn, document: Document) -> Burn:
    """What a refund left of a burn."""
    left = {part.lot: part.points for part in burn.parts}
    for refunded in msgspec.json.decode(document.lines_json, type=list[Refunded]):
        left[refunded.source] -= refunded.points
    return Burn(burn.burn_id, tuple(LotPart(lot, points) for lot, points in left.items() if points))


def _given_back(ordinal: int, parts: Sequence[LotPart], rule: str) -> Entry:
    points = sum(part.points for part in parts)
    return Entry(ordinal, REDEEMABLE, Account.REDEMPTION, points, rule)


def _refunded(wallet: WalletState, part: LotPart, target: tuple[int, int]) -> Refunded:
    return Refunded(part.lot, target, part.points, wallet.expire_time(wallet.lots[target]))


def _grace_lot(
    wallet: WalletState,
    lot_id: tuple[int, int],
    parts: Sequence[LotPart],
    business_time: int,
    life: PointLife,
) -> Lot:
    """A lot for points whose own are gone by, as old as the oldest of them."""
    earn_time = min(wallet.lots[part.lot].earn_time for part in parts)
    term = Term(expire_time=business_time + life.refund_grace_days * MICROS_PER_DAY)
    points = sum(part.points for part in parts)
    return wallet.open_lot(lot_id, points, earn_time=earn_time, term=term)


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
