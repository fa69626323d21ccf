"""What a till prints, and what people are told of an entry."""

from collections.abc import Sequence
from functools import lru_cache

from services.ledger.domain.basket import money
from services.ledger.domain.documents import Account, Balance, Document, DocumentType, Entry
from services.ledger.domain.forgiving import makes_good
from services.ledger.domain.policy import PointKind

REDEMPTION = Account.REDEMPTION
REDEEMABLE = PointKind.REDEEMABLE
SALE = DocumentType.SALE


def receipt_texts(entries: Sequence[Entry], balance: Balance) -> list[str]:
    """One line for points that paid or came back where any did, one for what was earned or taken
    back, one for the balance.
    """
    points = paid = 0
    for entry in entries:
        if entry.account is REDEMPTION:
            paid -= entry.points
        elif entry.kind is REDEEMABLE:
            points += entry.points
    texts = []
    if paid:
        texts.append(
            f"Paid with {counted(paid)}." if paid > 0 else f"Given back: {counted(-paid)}."
        )
    if points > 0:
        texts.append(f"You earned {counted(points)}.")
    elif points < 0:
        texts.append(f"Taken back: {counted(-points)}.")
    else:
        texts.append("No points this time.")
    texts.append(f"Your balance: {counted(balance.available)}.")
    return texts


# What is said of documents that no sale is behind.
LIVED = {
    DocumentType.BURN: "{points} spent on {reason}",
    DocumentType.REFUND: "{points} given back: {reason}",
    DocumentType.EXPIRY: "{points} expired: nobody had spent them in time",
    DocumentType.SEND: "{points} sent to another member",
    DocumentType.RECEIVE: "{points} {reason}",
}


def tender_explanation(document: Document, entry: Entry) -> str:
    """Why points left with a sale that they paid for, or came back with a return of it."""
    points = counted(abs(entry.points))
    if entry.points > 0:
        return f"{points} given back that the basket was paid with"
    worth = document.tender.amount if document.tender is not None else 0
    return f"{points} spent on {money(worth, document.currency)} of the basket"


@lru_cache(maxsize=4_096)
def counted(points: int) -> str:
    return f"{points:,} point{'' if abs(points) == 1 else 's'}"


def explanation(document: Document, entry: Entry) -> str:
    """Why an entry is there, in one plain sentence."""
    points = counted(abs(entry.points))
    if document.type is SALE and entry.account is not REDEMPTION:
        return f"{points} for {money(entry.basis, document.currency)}: {entry.title}"
    if document.type is DocumentType.ADJUSTMENT:
        return document.reason
    if makes_good(entry):
        return f"{points} taken back: the goods they came with were returned while they were spent"
    if document.type in LIVED:
        return LIVED[document.type].format(points=points, reason=document.reason)
    if entry.account is REDEMPTION:
        return tender_explanation(document, entry)
    words = "taken back with the return" if entry.points < 0 else "given anew after the return"
    return f"{points} {words}: {entry.title}"
