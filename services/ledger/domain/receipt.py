"""What a till prints, and what people are told of an entry."""

from collections.abc import Sequence

from services.ledger.domain.basket import money
from services.ledger.domain.documents import Balance, Document, DocumentType, Entry
from services.ledger.domain.policy import PointKind


def receipt_texts(entries: Sequence[Entry], balance: Balance) -> list[str]:
    """One line for what was earned or taken back, one for the balance."""
    points = sum([e.points for e in entries if e.kind is PointKind.REDEEMABLE])
    if points > 0:
        first = f"You earned {counted(points)}."
    elif points < 0:
        first = f"Taken back: {counted(-points)}."
    else:
        first = "No points this time."
    return [first, f"Your balance: {counted(balance.available)}."]


# What is said of documents that no sale is behind.
LIVED = {
    DocumentType.BURN: "{points} spent on {reason}",
    DocumentType.REFUND: "{points} given back: {reason}",
    DocumentType.EXPIRY: "{points} expired: nobody had spent them in time",
}


def counted(points: int) -> str:
    return f"{points:,} point{'' if abs(points) == 1 else 's'}"


def explanation(document: Document, entry: Entry) -> str:
    """Why an entry is there, in one plain sentence."""
    if document.type is DocumentType.ADJUSTMENT:
        return document.reason
    points = counted(abs(entry.points))
    if document.type in LIVED:
        return LIVED[document.type].format(points=points, reason=document.reason)
    if document.type is DocumentType.SALE:
        return f"{points} for {money(entry.basis, document.currency)}: {entry.title}"
    words = "taken back with the return" if entry.points < 0 else "given anew after the return"
    return f"{points} {words}: {entry.title}"
