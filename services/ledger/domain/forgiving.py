"""What returns forgave, made good by points that come back. Pure.

A return takes back no more than is there: what was spent or set aside of its sale's points is
forgiven, unless the wallet owes it. Were those points to come back in full, buying and returning
would make points out of nothing. So of points that come back, whatever brings them, as much is
taken as the returns had forgiven that were posted since these points had left. It is then as if
they had come back first and the goods after; what was earned since is nobody's to take. Where a
policy has only pending points taken back, spent ones are the member's, also when they come back.

Which lots the points were of does not matter: a return that finds its own spent takes others
instead, and a later return of those finds none. Of several returns the earlier is made good first,
and what is owed is repaid out of what is left then.
"""

from collections.abc import Mapping, Sequence

import msgspec

from services.ledger.domain.documents import (
    Account,
    CapturePoints,
    Command,
    Document,
    Entry,
    ReceivePoints,
    RecordReturn,
    RefundPoints,
    ReleaseHold,
)
from services.ledger.domain.lots import Forgiven, Hold, LotPart, LotUse
from services.ledger.domain.policy import PointKind
from services.ledger.domain.wallet import WalletState

# What an entry is called that takes back what a return had forgiven; it is of no policy version.
MADE_GOOD = "made_good"
GIVING_BACK = frozenset({CapturePoints, ReleaseHold, RefundPoints, RecordReturn, ReceivePoints})


def makes_good(entry: Entry) -> bool:
    return (entry.account, entry.rule, entry.policy_version) == (Account.ISSUANCE, MADE_GOOD, 0)


def gives_back(command: Command, held: Mapping[int, Hold]) -> bool:
    """Whether points may come back to a wallet by a command; a capture of a whole hold brings
    none. Of sales, which are many, it tells at a glance.
    """
    if type(command) not in GIVING_BACK:
        return False
    if isinstance(command, CapturePoints):
        hold = held.get(command.hold_id)
        return command.points != 0 and (hold is None or command.points < hold.points)
    return not isinstance(command, ReceivePoints) or command.left_at is not None


def forgive(document: Document, wallet: WalletState) -> None:
    """Keep what a return forgave, for when spent points come back."""
    wallet.keep_forgiven(
        Forgiven(
            document.document_id,
            document.sequence,
            document.original_id,
            document.points_forgiven,
            document.points_forgiven,
        )
    )


def make_good(
    wallet: WalletState, parts: Sequence[LotPart], *, left_at: int, after: Sequence[Entry] = ()
) -> tuple[list[Entry], list[LotUse]]:
    """Take of points that just came back what was forgiven since they left: an entry for each
    return, after those there are. left_at is the place among the wallet's documents of the one
    that took them. Of lots the returned sale's own come first, then those that expire soonest.
    """
    entries: list[Entry] = []
    uses: list[LotUse] = []
    points = sum(part.points for part in parts)
    lots = wallet.in_burn_order({part.lot: wallet.lots[part.lot] for part in parts}.values())
    for forgiven in wallet.forgiven:
        taken = min(points, forgiven.left)
        if forgiven.sequence <= left_at or not taken:
            continue
        own_first = sorted(lots, key=lambda lot: lot.document_id != forgiven.sale_id)
        ordinal = len(after) + len(entries) + 1
        uses += wallet.make_good(ordinal, taken, [lot.id for lot in own_first])
        entries.append(Entry(ordinal, PointKind.REDEEMABLE, Account.ISSUANCE, -taken, MADE_GOOD))
        wallet.keep_forgiven(msgspec.structs.replace(forgiven, left=forgiven.left - taken))
        points -= taken
    return entries, uses
