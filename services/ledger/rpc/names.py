"""Resource names (AIP-122) and what they stand for."""

import hashlib

from services.ledger.domain.documents import Document, DocumentType
from services.ledger.domain.refusals import EntryNotFound, UnknownSale, WalletNotFound
from services.plumbing.pages import WHOLE_NUMBER_MAX


def sale_name(wallet_id: int, document_id: int) -> str:
    return f"wallets/{wallet_id}/sales/{document_id}"


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
    _, wallet, _, sale = name.split("/")
    if max(int(wallet), int(sale)) > WHOLE_NUMBER_MAX or not int(sale):
        raise UnknownSale("no such sale is recorded for this card")
    return int(wallet), int(sale)


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


def sale_of(document: Document) -> str:
    """The name of the sale a document is or is about; empty for adjustments."""
    if document.type is DocumentType.SALE:
        return sale_name(document.wallet_id, document.document_id)
    if document.original_id:
        return sale_name(document.wallet_id, document.original_id)
    return ""
