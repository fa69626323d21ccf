"""The programme's books as plain text accounting tools keep books: who owes how many points.

A wallet is a liability: points owed to a member. What credits it stands against what the programme
spent (issuance, adjustments), what debits it against what the points were used for. As in these
tools, what is owed is negative. Two commodities: PTS are redeemable points, QPTS qualifying ones.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from services.ledger.domain.basket import MICROS_PER_SECOND
from services.ledger.domain.documents import Account, Document, DocumentType
from services.ledger.domain.policy import PointKind

TITLE = "Loyalty programme"
COMMODITIES = {PointKind.REDEEMABLE: "PTS", PointKind.QUALIFYING: "QPTS"}
ACCOUNTS = {
    Account.ISSUANCE: "Expenses:Issuance",
    Account.ADJUSTMENT: "Expenses:Adjustment",
    Account.REDEMPTION: "Income:Redemption",
    Account.BREAKAGE: "Income:Breakage",
    Account.TRANSFER: "Equity:Transfer",
}


@dataclass(frozen=True, slots=True)
class Posting:
    """Points into an account, out of it when negative; or what an account holds."""

    account: str
    points: int
    kind: PointKind
    rule: str = ""

    @property
    def amount(self) -> str:
        return f"{self.points} {COMMODITIES[self.kind]}"


class Notation(Protocol):
    """How a tool writes books down; every text ends its last line."""

    def opening(self, day: date) -> str:
        """How the books begin: the commodities there are from a day on."""

    def account(self, name: str, day: date) -> str:
        """An account there is from a day on."""

    def transaction(self, shard: int, document: Document) -> str:
        """What a document did to a wallet and the programme's accounts."""

    def assertion(self, holding: Posting, day: date) -> str:
        """What an account holds when a day begins."""


def wallet_account(wallet_id: int) -> str:
    return f"Liabilities:Wallets:W{wallet_id}"


def day_of(micros: int) -> date:
    return datetime.fromtimestamp(micros // MICROS_PER_SECOND, UTC).date()


def postings(document: Document) -> list[Posting]:
    """Both sides of a document: the wallet by entry, the programme's accounts summed."""
    wallet = wallet_account(document.wallet_id)
    sums: dict[tuple[Account, PointKind], int] = {}
    for entry in document.entries:
        key = entry.account, entry.kind
        sums[key] = sums.get(key, 0) + entry.points
    return [
        *(Posting(wallet, -entry.points, entry.kind, entry.rule) for entry in document.entries),
        *(Posting(ACCOUNTS[account], points, kind) for (account, kind), points in sums.items()),
    ]


def code(shard: int, document_id: int) -> str:
    """A document's name over all shards, which number theirs each from 1."""
    return f"{shard:02d}-{document_id}"


def narration(document: Document) -> str:
    """What happened, in one line."""
    what = document.type.name.lower()
    if document.type is DocumentType.ADJUSTMENT:
        return f"{what}: {one_line(document.reason)}"
    if not document.store:
        return f"{what}, transfer {document.receipt_number}" if document.receipt_number else what
    receipt = f", receipt {document.receipt_number}" if document.receipt_number else ""
    return f"{what} at store {document.store}, terminal {document.terminal}{receipt}"


def one_line(text: str) -> str:
    """Any text, with single spaces for white space and whatever cannot be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
