"""Points that one member sends another: a document in each wallet, and what binds the two. Pure;
time is an argument.

What is sent goes to the programme's account TRANSFER; what is received comes from there. A point
keeps its age and its end on the way.
"""

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.ledger.domain.circumstances import Circumstances
from services.ledger.domain.documents import (
    Account,
    Document,
    DocumentType,
    Entry,
    ReceivePoints,
    SendPoints,
)
from services.ledger.domain.forgiving import make_good
from services.ledger.domain.lots import Lot, LotPart, LotUse, SentPart, first_points
from services.ledger.domain.point_life import Term
from services.ledger.domain.policy import PointKind
from services.ledger.domain.refusals import RequestIdReused, TransferTooLarge, remembered
from services.ledger.domain.wallet import WalletState, require

# Of one wallet; each becomes an entry and a lot of the other.
LOTS_MAX = 1_000
# Wallets of a sender that a transfer takes points from.
SOURCES_MAX = 20
# Where points come from that a wallet receives.
RECEIVED = "received from another member"
RETURNED = "back from a transfer that was not made"
_NAMESPACE = uuid.UUID("4b1c7c7e-0d0e-4d1b-9a0b-8a4b7e5f2c31")


class TransferState(enum.IntEnum):
    # Agreed: its points are sent and received for certain, unless the sender has too few.
    UNDER_WAY = 1
    DONE = 2
    REFUSED = 3


class Source(msgspec.Struct, frozen=True, array_like=True):
    """Points of one of the sender's wallets."""

    wallet_id: int
    points: int


@dataclass(frozen=True, slots=True)
class AskedTransfer:
    """A transfer as it is asked for, from wallets of a member to one of another member. body_hash
    tells another body under the same request_id.
    """

    request_id: str
    body_hash: str
    wallets: tuple[int, ...]
    sender: str
    target: int
    receiver: str
    points: int
    message: str
    actor: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer as it was agreed or refused; refusal is what was said then."""

    transfer_id: int
    request_id: str
    body_hash: str
    target: int
    points: int
    message: str
    actor: str
    create_time: int
    state: TransferState
    refusal: str
    sources: tuple[Source, ...]


def agreed(transfer: Transfer, body_hash: str) -> Transfer:
    """The transfer that a request asks for. Refuses: RequestIdReused, and what was refused when it
    was first sent.
    """
    if transfer.body_hash != body_hash:
        raise RequestIdReused("the request_id was used for another transfer before")
    if transfer.state is TransferState.REFUSED:
        raise remembered(transfer.refusal)
    return transfer


def sources_of(wallets: Sequence[int], available: Mapping[int, int], points: int) -> list[Source]:
    """Which wallets give how many points: the first that has all of them, else several in their
    order. Refuses: InsufficientPoints.
    """
    enough = next((w for w in wallets if available.get(w, 0) >= points), None)
    if enough is not None:
        return [Source(enough, points)]
    sources: list[Source] = []
    left = points
    for wallet_id in wallets:
        taken = min(max(available.get(wallet_id, 0), 0), left)
        if taken and len(sources) < SOURCES_MAX:
            sources.append(Source(wallet_id, taken))
            left -= taken
    require(points, available=points - left)
    return sources


def sending(transfer: Transfer) -> list[SendPoints]:
    """What a transfer asks of the sender's wallets; whoever asks, it happens once."""
    return [
        SendPoints(
            source.wallet_id,
            *_derived(transfer, f"send/{source.wallet_id}"),
            transfer.transfer_id,
            source.points,
            transfer.actor,
            transfer.create_time,
        )
        for source in transfer.sources
    ]


def receiving(transfer: Transfer, sent: Sequence[Document]) -> ReceivePoints:
    """What a transfer asks of the receiver's wallet, once all its points were sent."""
    parts = tuple(part for document in sent for part in sent_parts(document))
    return _putting(transfer, transfer.target, parts, "receive", RECEIVED)


def returning(transfer: Transfer, sent: Sequence[Document]) -> list[ReceivePoints]:
    """What a transfer that cannot be made asks of the wallets that sent points already."""
    return [
        _putting(
            transfer,
            each.wallet_id,
            sent_parts(each),
            f"return/{each.wallet_id}",
            RETURNED,
            left_at=each.sequence,
        )
        for each in sent
    ]


def _putting(
    transfer: Transfer,
    wallet_id: int,
    parts: tuple[SentPart, ...],
    step: str,
    reason: str,
    *,
    left_at: int | None = None,
) -> ReceivePoints:
    return ReceivePoints(
        wallet_id,
        *_derived(transfer, step),
        transfer.transfer_id,
        parts,
        transfer.actor,
        transfer.create_time,
        reason,
        left_at,
    )


def _derived(transfer: Transfer, step: str) -> tuple[str, str]:
    name = f"{transfer.sources[0].wallet_id}/{transfer.request_id}/{step}"
    derived = str(uuid.uuid5(_NAMESPACE, name))
    return derived, derived


def sent_parts(document: Document) -> tuple[SentPart, ...]:
    return msgspec.json.decode(document.lines_json, type=tuple[SentPart, ...])


def send_points(command: SendPoints, wallet: WalletState, circumstances: Circumstances) -> Document:
    """Lots leave in the order they are burned. Its time is that of the agreement, so it is not
    checked again. Refuses: MemberBlocked, InsufficientPoints, TransferTooLarge (for the lots that
    it would take).
    """
    wallet.require_spending()
    order = circumstances.rules.life_at(command.business_time).burn_order
    lots = wallet.spendable(command.business_time, order)
    require(command.points, available=sum(lot.free for lot in lots))
    parts = first_points([LotPart(lot.id, lot.free) for lot in lots], command.points)
    if len(parts) > LOTS_MAX:
        most = sum(part.points for part in parts[:LOTS_MAX])
        raise TransferTooLarge(
            f"{command.points} points lie in too many lots; {most} can go at once",
            points_max=str(most),
        )
    sent = [_with_terms(wallet, part) for part in parts]
    document_id = circumstances.next_id()
    uses = wallet.take(1, parts)
    entry = Entry(1, PointKind.REDEEMABLE, Account.TRANSFER, -command.points)
    return _document(command, DocumentType.SEND, document_id, wallet, [entry], sent, uses=uses)


def receive_points(
    command: ReceivePoints, wallet: WalletState, circumstances: Circumstances
) -> Document:
    """A lot for each that was sent, on the same terms; what the wallet owes is repaid out of
    them. Of what comes back as it could not be sent, what returns forgave since is taken first.
    """
    document_id = circumstances.next_id()
    lots: list[Lot] = []
    entries: list[Entry] = []
    for ordinal, part in enumerate(command.parts, 1):
        term = Term(expire_time=part.expire_time, inactive_months=part.inactive_months)
        lot_id = document_id, ordinal
        lots.append(wallet.open_lot(lot_id, part.points, earn_time=part.earn_time, term=term))
        entries.append(Entry(ordinal, PointKind.REDEEMABLE, Account.TRANSFER, part.points))
    uses: list[LotUse] = []
    if command.left_at is not None:
        back = [LotPart(lot.id, lot.points) for lot in lots]
        taken, uses = make_good(wallet, back, left_at=command.left_at, after=entries)
        entries += taken
    uses += wallet.repay()
    return _document(
        command,
        DocumentType.RECEIVE,
        document_id,
        wallet,
        entries,
        command.parts,
        lots=lots,
        uses=uses,
    )


def _with_terms(wallet: WalletState, part: LotPart) -> SentPart:
    """A lot that activity prolongs ends as it would now: the other member's prolongs it from
    there.
    """
    lot = wallet.lots[part.lot]
    months = lot.term.inactive_months
    return SentPart(part.lot, part.points, lot.earn_time, wallet.expire_time(lot), months)


def _document(
    command: SendPoints | ReceivePoints,
    kind: DocumentType,
    document_id: int,
    wallet: WalletState,
    entries: list[Entry],
    parts: list[SentPart] | tuple[SentPart, ...],
    *,
    uses: list[LotUse],
    lots: tuple[Lot, ...] | list[Lot] = (),
) -> Document:
    return Document(
        document_id,
        command.wallet_id,
        command.request_id,
        command.body_hash,
        kind,
        command.business_time,
        wallet.balance,
        wallet.next_sequence(),
        receipt_number=str(command.transfer_id),
        actor=command.actor,
        reason=command.reason if isinstance(command, ReceivePoints) else "",
        lines_json=msgspec.json.encode(parts).decode(),
        entries=entries,
        lots=lots,
        lot_uses=uses,
    )
