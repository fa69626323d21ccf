"""What a member loses to expiry, and how planned spending changes that. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from services.ledger.domain.lots import Lot, LotId, LotPart, first_points
from services.ledger.domain.point_life import BurnOrder
from services.ledger.domain.wallet import WalletState


@dataclass(frozen=True, slots=True)
class PlannedBurn:
    """Points a member means to spend at a time (microseconds since 1970-01-01 UTC)."""

    points: int
    business_time: int


@dataclass(frozen=True, slots=True)
class BurnPlan:
    """Of which lots a planned burn takes; missing are points that are not there at its time."""

    burn: PlannedBurn
    parts: tuple[LotPart, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class Loss:
    """Points that expire at a time, all those up to then included in the sum."""

    expire_time: int
    points: int
    points_until_then: int


@dataclass(frozen=True, slots=True)
class ExpiryPlan:
    """burns stand in the order of their times, losses by expiry."""

    burns: tuple[BurnPlan, ...]
    losses: tuple[Loss, ...]

    @property
    def lost_points(self) -> int:
        return sum(loss.points for loss in self.losses)


def plan(wallet: WalletState, burns: Sequence[PlannedBurn], order: BurnOrder) -> ExpiryPlan:
    """How planned burns take points of a wallet's lots in an order, and what expires nevertheless.

    Soonest expiry first loses the fewest points there can be: of two lots that a burn may take,
    every later burn that could take the one that expires sooner can take the other. It is the
    earliest-deadline rule of scheduling (Jackson, 1955).
    """
    left = {lot.id: lot.free for lot in wallet.lots.values()}
    ordered = wallet.in_burn_order(wallet.lots.values(), order)
    planned = tuple(
        _take(wallet, ordered, left, burn)
        for burn in sorted(burns, key=lambda burn: burn.business_time)
    )
    return ExpiryPlan(planned, _losses(wallet, left))


def losses_of(plans: Sequence[ExpiryPlan]) -> tuple[Loss, ...]:
    """The losses of several wallets together."""
    expiring: Counter[int] = Counter()
    for each in plans:
        for loss in each.losses:
            expiring[loss.expire_time] += loss.points
    return _in_time(expiring)


def _take(
    wallet: WalletState, ordered: Sequence[Lot], left: dict[LotId, int], burn: PlannedBurn
) -> BurnPlan:
    spendable = [
        LotPart(lot.id, left[lot.id])
        for lot in ordered
        if not (lot.pending and (lot.term.available_time or 0) > burn.business_time)
        and not wallet.is_over(lot, burn.business_time)
    ]
    parts = tuple(first_points(spendable, burn.points))
    for part in parts:
        left[part.lot] -= part.points
    return BurnPlan(burn, parts, burn.points - sum(part.points for part in parts))


def _losses(wallet: WalletState, left: Mapping[LotId, int]) -> tuple[Loss, ...]:
    expiring: Counter[int] = Counter()
    for lot in wallet.lots.values():
        time = wallet.expire_time(lot)
        if time is not None:
            expiring[time] += left[lot.id]
    return _in_time(expiring)


def _in_time(expiring: Mapping[int, int]) -> tuple[Loss, ...]:
    times = sorted(time for time, points in expiring.items() if points)
    until_then = accumulate(expiring[time] for time in times)
    return tuple(
        Loss(time, expiring[time], so_far) for time, so_far in zip(times, until_then, strict=True)
    )
