"""What expires nevertheless: our burn order loses no more than the best there is."""

from functools import cache
from random import Random

from hypothesis import given, settings

from services.ledger.domain.expiry_plan import ExpiryPlan, Loss, PlannedBurn
from services.ledger.domain.expiry_plan import plan as plan_wallet
from services.ledger.domain.lots import Lot, LotPart
from services.ledger.domain.point_life import BurnOrder, Term
from services.ledger.domain.wallet import WalletState
from tests.unit.ledger_chance import CHANCES

SOONEST, OLDEST = BurnOrder.SOONEST_EXPIRY, BurnOrder.OLDEST


def lot(number: int, points: int, expires: int | None, *, available: int | None = None) -> Lot:
    term = Term(available, expires)
    return Lot(number, 1, points, points, number, term, pending=available is not None)


def plan(lots: list[Lot], burns: list[PlannedBurn], order: BurnOrder) -> ExpiryPlan:
    return plan_wallet(WalletState(1, lots={each.id: each for each in lots}), burns, order)


def test_without_a_plan_everything_expires_in_its_time() -> None:
    found = plan([lot(1, 30, 20), lot(2, 10, 10), lot(3, 5, None), lot(4, 1, 20)], [], SOONEST)
    assert found.losses == (Loss(10, 10, 10), Loss(20, 31, 41))
    assert found.lost_points == 41


def test_spending_by_then_loses_nothing() -> None:
    lots = [lot(1, 30, 20), lot(2, 10, 10)]
    found = plan(lots, [PlannedBurn(30, 15), PlannedBurn(10, 5)], SOONEST)
    assert [burn.parts for burn in found.burns] == [
        (LotPart((2, 1), 10),),
        (LotPart((1, 1), 30),),
    ]
    assert found.lost_points == 0


def test_oldest_first_may_lose_points_that_soonest_expiry_first_keeps() -> None:
    lots = [lot(1, 10, None), lot(2, 10, 10)]
    burns = [PlannedBurn(10, 5)]
    assert plan(lots, burns, OLDEST).lost_points == 10
    assert plan(lots, burns, SOONEST).lost_points == 0


def test_a_burn_takes_neither_what_is_over_nor_what_is_not_available_yet() -> None:
    lots = [lot(1, 10, 5), lot(2, 10, 50, available=6)]
    (burn,) = plan(lots, [PlannedBurn(10, 5)], SOONEST).burns
    assert (burn.parts, burn.missing) == ((), 10)


def test_held_points_are_not_planned_with() -> None:
    held = Lot(1, 1, 10, 10, 1, Term(expire_time=10), held=4)
    (burn,) = plan([held], [PlannedBurn(10, 5)], SOONEST).burns
    assert (burn.parts, burn.missing) == ((LotPart((1, 1), 6),), 4)


def fewest_lost(lots: list[Lot], burns: list[PlannedBurn]) -> tuple[int, int]:
    """By trying every way to spend: what burns miss at least, and what is then lost at least."""
    spendable = [
        [
            place
            for place, each in enumerate(lots)
            if (each.term.available_time or 0) <= burn.business_time
            and (each.term.expire_time is None or each.term.expire_time > burn.business_time)
        ]
        for burn in burns
    ]
    points = [number for number, burn in enumerate(burns) for _ in range(burn.points)]

    @cache
    def best(next_point: int, left: tuple[int, ...]) -> tuple[int, int]:
        if next_point == len(points):
            expiring = zip(lots, left, strict=True)
            return 0, sum(rest for each, rest in expiring if each.term.expire_time is not None)
        found = []
        for place in spendable[points[next_point]]:
            if left[place]:
                rest = (*left[:place], left[place] - 1, *left[place + 1 :])
                found.append(best(next_point + 1, rest))
        missed, lost = best(next_point + 1, left)
        return min([*found, (missed + 1, lost)])

    return best(0, tuple(each.remaining for each in lots))


@settings(max_examples=300, deadline=None)
@given(chance=CHANCES)
def test_no_order_of_spending_loses_fewer_points(chance: Random) -> None:
    lots = [
        lot(
            number,
            chance.randint(1, 3),
            chance.choice((None, *range(2, 9))),
            available=chance.choice((None, None, chance.randint(1, 6))),
        )
        for number in range(1, chance.randint(2, 5))
    ]
    burns = sorted(
        (PlannedBurn(chance.randint(1, 3), chance.randint(1, 8)) for _ in range(3)),
        key=lambda burn: burn.business_time,
    )
    found = plan(lots, burns, SOONEST)
    missed = sum(burn.missing for burn in found.burns)
    assert (missed, found.lost_points) == fewest_lost(lots, burns)
