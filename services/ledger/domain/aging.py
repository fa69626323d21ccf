"""What time does to points, a night's work: pending ones become available, lots expire. Pure.

The night's documents belong to the day that ended, to its last instant; what is due at the first
instant after it is due.
"""

import msgspec

from services.ledger.domain.circumstances import Circumstances
from services.ledger.domain.documents import (
    Account,
    ActivatePoints,
    Document,
    DocumentType,
    Entry,
    ExpirePoints,
)
from services.ledger.domain.lots import LotUse
from services.ledger.domain.policy import PointKind
from services.ledger.domain.wallet import WalletState


def activate_points(
    command: ActivatePoints, wallet: WalletState, circumstances: Circumstances
) -> Document:
    document_id = circumstances.next_id()
    activated, uses = wallet.activate(command.business_time + 1)
    document = _document(command, DocumentType.ACTIVATION, document_id, wallet, [], uses)
    return msgspec.structs.replace(document, lines_json=msgspec.json.encode(activated).decode())


def expire_points(
    command: ExpirePoints, wallet: WalletState, circumstances: Circumstances
) -> Document:
    """What expires goes to the programme as breakage."""
    document_id = circumstances.next_id()
    uses, points = wallet.expire(1, command.business_time + 1)
    entry = Entry(1, PointKind.REDEEMABLE, Account.BREAKAGE, -points)
    entries = [entry] if points else []
    return _document(command, DocumentType.EXPIRY, document_id, wallet, entries, uses)


def _document(
    command: ActivatePoints | ExpirePoints,
    kind: DocumentType,
    document_id: int,
    wallet: WalletState,
    entries: list[Entry],
    uses: list[LotUse],
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
        entries=entries,
        lot_uses=uses,
    )
