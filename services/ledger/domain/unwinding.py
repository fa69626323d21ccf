"""What a return does to a wallet: points of its sale are taken back, some are given anew. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.ledger.domain.documents import Account, Entry, Original
from services.ledger.domain.earning import Grant
from services.ledger.domain.forgiving import make_good
from services.ledger.domain.lots import Lot, LotId, LotPart, LotUse
from services.ledger.domain.point_life import Term
from services.ledger.domain.policy import Clawback, PointKind
from services.ledger.domain.restoring import RESTORED, Restored
from services.ledger.domain.selling import issued
from services.ledger.domain.wallet import WalletState

QUALIFYING = PointKind.QUALIFYING
# A kind of points, by how many they change, and the grant that gave or gives them.
Change = tuple[PointKind, int, Grant]


@dataclass(slots=True)
class Posted:
    """What a return posted, and the points that it could not take back."""

    entries: list[Entry]
    lots: list[Lot]
    uses: list[LotUse]
    forgiven: int = 0


def post_changes(
    document_id: int,
    changes: Sequence[Change],
    wallet: WalletState,
    original: Original,
    clawback: Clawback,
    *,
    lived: Term,
    paid: Restored,
) -> Posted:
    """Post what a return changes: a lot where points come, a clawback where some go.

    What comes stands first, after points that the sale was paid with: where one rule gives way to
    another, the points of the one pay for those of the other before anything is forgiven, and what
    is left of them makes good what was forgiven since the sale.
    """
    posted = Posted(paid.entries, paid.lots, paid.uses)
    came: list[LotId] = []
    own = (original.document_id, *original.return_ids, document_id)
    for kind, change, grant in sorted(changes, key=lambda change: change[1] < 0):
        points = change
        if kind is QUALIFYING:
            wallet.qualifying += points
        elif points > 0:
            lot_id = document_id, len(posted.entries) + 1
            lot, repaid = wallet.credit(
                lot_id, points, earn_time=original.business_time, term=lived
            )
            posted.lots.append(lot)
            posted.uses += repaid
            came.append(lot_id)
        else:
            points = -take_back(-points, wallet, posted, own, clawback)
        if points:
            posted.entries.append(issued(len(posted.entries) + 1, kind, points, grant))
    parts = [LotPart(each, wallet.lots[each].free) for each in came if not lived.available_time]
    taken, uses = make_good(wallet, parts, left_at=original.sequence, after=posted.entries)
    posted.entries += taken
    posted.uses += uses
    return posted


def take_back(
    points: int,
    wallet: WalletState,
    posted: Posted,
    documents: Sequence[int],
    clawback: Clawback,
) -> int:
    """Take back points of what a sale and its returns gave, for the next entry. Returns how many
    were not forgiven.
    """
    own = own_lots(wallet, documents)
    if clawback is not Clawback.PENDING_ONLY:
        undone = wallet.undo_expiry(len(posted.entries) + 1, points, own)
        if undone:
            posted.uses += undone
            posted.entries.append(unexpired(len(posted.entries) + 1, undone))
    uses, forgiven = wallet.claw_back(
        len(posted.entries) + 1,
        points,
        own=own,
        into_negative=clawback is Clawback.ALLOW_NEGATIVE,
        pending_only=clawback is Clawback.PENDING_ONLY,
    )
    posted.uses += uses
    posted.forgiven += forgiven
    return points - forgiven


def summed(uses: Iterable[LotUse]) -> list[LotUse]:
    """One use for each entry and lot."""
    found: dict[tuple[int, LotId], int] = {}
    for use in uses:
        key = use.ordinal, use.lot
        found[key] = found.get(key, 0) + use.points
    return [LotUse(*key, points) for key, points in found.items() if points]


def unexpired(ordinal: int, uses: Sequence[LotUse]) -> Entry:
    """The entry of expired points that the programme gives back."""
    points = -sum(use.points for use in uses)
    return Entry(ordinal, PointKind.REDEEMABLE, Account.BREAKAGE, points, RESTORED)


def own_lots(wallet: WalletState, document_ids: Sequence[int]) -> list[LotId]:
    """The lots that a sale opened, and those that returns of it did; in the order of documents."""
    own = [lot_id for lot_id in wallet.lots if lot_id[0] in document_ids]
    return sorted(own, key=lambda lot_id: (document_ids.index(lot_id[0]), lot_id[1]))
