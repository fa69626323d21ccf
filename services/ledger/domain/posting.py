"""Decides what each command does: a document with its entries, or a refusal.

Pure; time is an argument.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from services.ledger.domain import aging, refusals, spending, transferring
from services.ledger.domain.circumstances import Circumstances, check_time
from services.ledger.domain.documents import (
    Account,
    ActivatePoints,
    AdjustPoints,
    CapturePoints,
    Command,
    Document,
    DocumentType,
    Entry,
    ExpirePoints,
    HoldPoints,
    Original,
    ReceivePoints,
    RecordReturn,
    RecordSale,
    RefundPoints,
    ReleaseHold,
    SendPoints,
)
from services.ledger.domain.lots import Burn, Lot, LotUse
from services.ledger.domain.point_life import term
from services.ledger.domain.policy import PointKind
from services.ledger.domain.returning import record_return
from services.ledger.domain.selling import NO_TIER, record_sale
from services.ledger.domain.wallet import WalletState
from services.plumbing.errors import Refused

QUALIFYING = PointKind.QUALIFYING


def decide(
    command: Command,
    wallet: WalletState,
    circumstances: Circumstances,
    *,
    original: Original | None = None,
    burn: Burn | None = None,
    tiers: Mapping[str, str] = NO_TIER,
    duplicate: bool = False,
) -> Document:
    """The document a command becomes, the wallet changed by it. Refusals become documents too:
    they are remembered.
    """
    try:
        match command:
            case RecordSale():
                return record_sale(command, wallet, circumstances, tiers=tiers, duplicate=duplicate)
            case RecordReturn():
                return record_return(command, wallet, circumstances, original)
            case RefundPoints():
                return spending.refund_points(command, wallet, circumstances, burn)
            case _:
                return DECISIONS[type(command)](command, wallet, circumstances)
    except Refused as refusal:
        return refused(command, wallet, circumstances, refusal)


def adjust_points(
    command: AdjustPoints, wallet: WalletState, circumstances: Circumstances
) -> Document:
    """Refuses: InsufficientPoints, BusinessTimeInFuture, BusinessTimeTooOld."""
    check_time(command.business_time, circumstances)
    life = circumstances.rules.life_at(command.business_time)
    document_id = circumstances.next_id()
    lots: list[Lot] = []
    uses: list[LotUse] = []
    if command.kind is QUALIFYING:
        if command.points < 0 and wallet.qualifying + command.points < 0:
            raise refusals.InsufficientPoints(
                f"{-command.points} qualifying points wanted, {wallet.qualifying} there",
                wanted=str(-command.points),
                available=str(wallet.qualifying),
            )
        wallet.qualifying += command.points
    elif command.points > 0:
        lived = term(life, command.business_time, wallet.enrol_day)
        lot, uses = wallet.credit(
            (document_id, 1),
            command.points,
            earn_time=command.business_time,
            # Whoever gives points by hand means them to be there.
            term=msgspec.structs.replace(lived, available_time=None),
        )
        lots = [lot]
    else:
        uses = wallet.burn(
            1, -command.points, business_time=command.business_time, order=life.burn_order
        )
    entry = Entry(1, command.kind, Account.ADJUSTMENT, command.points)
    return Document(
        document_id,
        command.wallet_id,
        command.request_id,
        command.body_hash,
        DocumentType.ADJUSTMENT,
        command.business_time,
        wallet.balance,
        wallet.next_sequence(),
        receipt_number=command.reference,
        actor=command.actor,
        reason=command.reason,
        entries=[entry],
        lots=lots,
        lot_uses=uses,
    )


# What decides about commands that need no more than their wallet.
DECISIONS: dict[type, Callable[[Any, WalletState, Circumstances], Document]] = {
    AdjustPoints: adjust_points,
    HoldPoints: spending.hold_points,
    CapturePoints: spending.capture_points,
    ReleaseHold: spending.release_hold,
    ActivatePoints: aging.activate_points,
    ExpirePoints: aging.expire_points,
    SendPoints: transferring.send_points,
    ReceivePoints: transferring.receive_points,
}
REFUSED_TYPES = {
    AdjustPoints: DocumentType.ADJUSTMENT,
    HoldPoints: DocumentType.HOLD,
    CapturePoints: DocumentType.BURN,
    ReleaseHold: DocumentType.RELEASE,
    RefundPoints: DocumentType.REFUND,
    ActivatePoints: DocumentType.ACTIVATION,
    ExpirePoints: DocumentType.EXPIRY,
    SendPoints: DocumentType.SEND,
    ReceivePoints: DocumentType.RECEIVE,
}


# What a wallet comes into being by.
MAKING_WALLETS = (RecordSale, AdjustPoints, SendPoints, ReceivePoints)


def makes_wallet(command: Command) -> bool:
    """Whether a wallet comes into being by a command; the others are about one that is there."""
    return isinstance(command, MAKING_WALLETS)


def without_wallet(command: Command) -> Refused:
    """What a command is refused with whose wallet nothing was ever posted to; not remembered, as
    there is no wallet to remember it.
    """
    if isinstance(command, RecordReturn):
        return refusals.UnknownSale("no such sale is recorded for this card")
    if isinstance(command, CapturePoints | ReleaseHold):
        return refusals.HoldNotFound("the wallet has no such hold")
    if isinstance(command, RefundPoints):
        return refusals.BurnNotFound("the wallet has no such burn")
    wanted = str(command.points) if isinstance(command, HoldPoints) else "0"
    return refusals.InsufficientPoints("the wallet is empty", wanted=wanted, available="0")


def refused(
    command: Command, wallet: WalletState, circumstances: Circumstances, refusal: Refused
) -> Document:
    """The refusal as the journal remembers it: it names the reason and changes nothing."""
    place = ("", "", "")
    if isinstance(command, RecordSale):
        kind, business_time = DocumentType.SALE, command.sale.business_time
        place = (command.sale.store, command.sale.terminal, command.sale.receipt_number)
    elif isinstance(command, RecordReturn):
        kind = DocumentType.VOID if command.void else DocumentType.RETURN
        business_time = command.business_time
        place = (command.store, command.terminal, command.receipt_number)
    else:
        kind = REFUSED_TYPES[type(command)]
        # What is asked of a hold has no business time of its own.
        business_time = getattr(command, "business_time", circumstances.now)
    return Document(
        circumstances.next_id(),
        command.wallet_id,
        command.request_id,
        command.body_hash,
        kind,
        business_time,
        wallet.balance,
        0,
        *place,
        refusal=refusals.said(refusal),
    )
