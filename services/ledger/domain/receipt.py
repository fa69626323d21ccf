"""What a till prints under a sale or a return."""

from collections.abc import Sequence

from services.ledger.domain.documents import Balance, Entry
from services.ledger.domain.policy import PointKind


def receipt_texts(entries: Sequence[Entry], balance: Balance) -> list[str]:
    """One line for what was earned or taken back, one for the balance."""
    points = sum([e.points for e in entries if e.kind is PointKind.REDEEMABLE])
    if points > 0:
        first = f"You earned {points:,} points."
    elif points < 0:
        first = f"{-points:,} points were taken back."
    else:
        first = "No points this time."
    return [first, f"Your balance: {balance.available:,} points."]
