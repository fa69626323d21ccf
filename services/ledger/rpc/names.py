"""Resource names (AIP-122) and what they stand for."""

import hashlib

from services.ledger.answers import sale_name
from services.ledger.domain.documents import Document, DocumentType
from services.ledger.domain.lots import LotId
from services.ledger.domain.refusals import (
    BurnNotFound,
    EntryNotFound,
    HoldNotFound,
    ProposalNotFound,
    TransferNotFound,
    UnknownSale,
    WalletNotFound,
)
from services.plumbing.errors import Missing
from services.plumbing.pages import WHOLE_NUMBER_MAX


def return_name(document: Document) -> str:
    return f"wallets/{document.wallet_id}/returns/{document.document_id}"


def entry_name(wallet_id: int, document_id: int, ordinal: int) -> str:
    return f"wallets/{wallet_id}/entries/{document_id}-{ordinal}"


def read_wallet_id(digits: str) -> int:
    """Refuses: WalletNotFound, for a number larger than any there can be."""
    wallet_id = int(digits)
    if wallet_id > WHOLE_NUMBER_MAX:
        raise WalletNotFound("there is no such wallet")
    return wallet_id


def read_sale_name(name: str) -> tuple[int, int]:
    """The wallet and the document of wallets/{wallet}/sales/{sale}. Refuses: UnknownSale."""
    missing = UnknownSale("no such sale is recorded for this card")
    wallet_id, sale_id = _read_document_name(name, missing)
    # Zero stands for a sale that is named by its receipt.
    if not sale_id:
        raise missing
    return wallet_id, sale_id


def read_entry_name(name: str) -> tuple[int, int, int]:
    """The wallet, the document and the ordinal of wallets/{wallet}/entries/{document}-{ordinal}.

    Refuses: EntryNotFound.
    """
    _, wallet, _, entry = name.split("/")
    document, ordinal = entry.split("-")
    if max(int(wallet), int(document)) > WHOLE_NUMBER_MAX:
        raise EntryNotFound("there is no such entry")
    return int(wallet), int(document), int(ordinal)


def body_hash(*parts: str) -> str:
    """Sixteen bytes that tell one body from another, in the form of a UUID."""
    digits = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def hold_name(wallet_id: int, hold_id: int) -> str:
    return f"wallets/{wallet_id}/holds/{hold_id}"


def burn_name(wallet_id: int, burn_id: int) -> str:
    return f"wallets/{wallet_id}/burns/{burn_id}"


def lot_name(wallet_id: int, lot: LotId) -> str:
    return f"wallets/{wallet_id}/lots/{lot[0]}-{lot[1]}"


def read_hold_name(name: str) -> tuple[int, int]:
    """The wallet and the document of wallets/{wallet}/holds/{hold}. Refuses: HoldNotFound."""
    return _read_document_name(name, HoldNotFound("the wallet has no such hold"))


def read_burn_name(name: str) -> tuple[int, int]:
    """The wallet and the document of wallets/{wallet}/burns/{burn}. Refuses: BurnNotFound."""
    return _read_document_name(name, BurnNotFound("the wallet has no such burn"))


def member_name(member_id: str | None) -> str:
    """members/{member}; empty for nobody."""
    return f"members/{member_id}" if member_id else ""


SHARED_HOLDS, SHARED_BURNS = "sharedHolds/", "sharedBurns/"


def is_shared(name: str) -> bool:
    """Whether a hold or a burn is one over several wallets."""
    return name.startswith((SHARED_HOLDS, SHARED_BURNS))


def read_shared_name(name: str) -> str:
    """The shared hold of sharedHolds/{hold} or of sharedBurns/{burn}: a burn has its hold's id."""
    return name.split("/")[1]


def _read_document_name(name: str, missing: Missing) -> tuple[int, int]:
    """The numbers of wallets/{wallet}/…/{document}. Refuses: missing, for larger ones than any
    there can be.
    """
    _, wallet, _, document = name.split("/")
    if max(int(wallet), int(document)) > WHOLE_NUMBER_MAX:
        raise missing
    return int(wallet), int(document)


def proposal_name(proposal_id: int) -> str:
    return f"adjustmentProposals/{proposal_id}"


def read_proposal_name(name: str) -> int:
    """The id of adjustmentProposals/{proposal}. Refuses: ProposalNotFound."""
    proposal_id = int(name.split("/")[1])
    if proposal_id > WHOLE_NUMBER_MAX:
        raise ProposalNotFound("there is no such proposal")
    return proposal_id


def transfer_name(transfer_id: int) -> str:
    return f"transfers/{transfer_id}"


def read_transfer_name(name: str) -> int:
    """The id of transfers/{transfer}. Refuses: TransferNotFound."""
    transfer_id = int(name.split("/")[1])
    if transfer_id > WHOLE_NUMBER_MAX:
        raise TransferNotFound("there is no such transfer")
    return transfer_id


def sale_of(document: Document) -> str:
    """The name of the sale a document is or is about; empty for what is about none."""
    if document.type is DocumentType.SALE:
        return sale_name(document.wallet_id, document.document_id)
    if document.type in (DocumentType.RETURN, DocumentType.VOID):
        return sale_name(document.wallet_id, document.original_id)
    return ""
