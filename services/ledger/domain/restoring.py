"""Burned points that come back: into the very lots they were of, where these still live. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.ledger.domain.documents import Account, Entry
from services.ledger.domain.forgiving import make_good
from services.ledger.domain.lots import Lot, LotId, LotPart, LotUse, Refunded, first_points
from services.ledger.domain.point_life import MICROS_PER_DAY, PointLife, Term
from services.ledger.domain.policy import PointKind
from services.ledger.domain.wallet import WalletState

# What an entry is called that puts points back into their lots, or into a lot with days of grace.
RESTORED = "restored"
GRACE = "grace"


@dataclass(slots=True)
class Restored:
    """What giving points back did to a wallet."""

    entries: list[Entry] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)
    uses: list[LotUse] = field(default_factory=list)
    refunded: list[Refunded] = field(default_factory=list)


def restore(
    wallet: WalletState,
    document_id: int,
    parts: Sequence[LotPart],
    *,
    left_at: int,
    business_time: int,
    life: PointLife,
) -> Restored:
    """Give points of lots back, as the first entries of a document; those of lots whose time is
    over get the policy's days of grace. left_at is the place of the document that took them: what
    returns forgave since is taken of them.
    """
    over = [part for part in parts if wallet.is_over(wallet.lots[part.lot], business_time)]
    own = [part for part in parts if part not in over]
    done = Restored()
    if own:
        done.entries.append(_entry(1, own, RESTORED))
        done.uses += wallet.give_back(1, own)
        done.refunded += [_refunded(wallet, part, part.lot) for part in own]
    if over:
        ordinal = len(done.entries) + 1
        done.entries.append(_entry(ordinal, over, GRACE))
        lot = _grace_lot(wallet, (document_id, ordinal), over, business_time, life)
        done.lots.append(lot)
        done.refunded += [_refunded(wallet, part, lot.id) for part in over]
    back = [LotPart(each.target, each.points) for each in done.refunded]
    taken, uses = make_good(wallet, back, left_at=left_at, after=done.entries)
    done.entries += taken
    done.uses += uses + wallet.repay()
    return done


def last_burned(parts: Sequence[LotPart], points: int) -> list[LotPart]:
    """So many of burned points, the last burned first: the rest stands as if it alone had been
    burned.
    """
    return first_points(tuple(reversed(parts)), points)


def _entry(ordinal: int, parts: Sequence[LotPart], rule: str) -> Entry:
    points = sum(part.points for part in parts)
    return Entry(ordinal, PointKind.REDEEMABLE, Account.REDEMPTION, points, rule)


def _refunded(wallet: WalletState, part: LotPart, target: LotId) -> Refunded:
    return Refunded(part.lot, target, part.points, wallet.expire_time(wallet.lots[target]))


def _grace_lot(
    wallet: WalletState,
    lot_id: LotId,
    parts: Sequence[LotPart],
    business_time: int,
    life: PointLife,
) -> Lot:
    """A lot for points whose own are gone by, as old as the oldest of them."""
    earn_time = min(wallet.lots[part.lot].earn_time for part in parts)
    last_day = business_time // MICROS_PER_DAY + life.refund_grace_days
    term = Term(expire_time=(last_day + 1) * MICROS_PER_DAY)
    points = sum(part.points for part in parts)
    return wallet.open_lot(lot_id, points, earn_time=earn_time, term=term)
