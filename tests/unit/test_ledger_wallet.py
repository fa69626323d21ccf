"""A wallet's lots: what is spent first, what is taken back, what is owed."""

from random import Random

import pytest
from hypothesis import given, settings

from services.ledger.domain.documents import LotId, LotUse
from services.ledger.domain.refusals import InsufficientPoints
from services.ledger.domain.wallet import WalletState, soonest_expiry_first
from tests.unit.ledger_chance import CHANCES


def wallet_of(*lots: tuple[int, int, int | None]) -> WalletState:
    """A wallet with a lot of one document each: points, earned, expiring."""
    wallet = WalletState(1)
    for number, (points, earn_time, expire_time) in enumerate(lots, 1):
        wallet.credit((number, 1), points, earn_time=earn_time, expire_time=expire_time)
    return wallet


def remaining(wallet: WalletState) -> list[int]:
    return [lot.remaining for lot in wallet.lots.values()]


def test_a_credit_opens_a_lot_and_counts_for_life() -> None:
    wallet = wallet_of((10, 100, None))
    [lot] = wallet.lots.values()
    assert (lot.id, lot.points, lot.remaining, lot.earn_time) == ((1, 1), 10, 10, 100)
    assert (wallet.available, wallet.lifetime, wallet.overdrawn) == (10, 10, 0)


def test_burn_takes_the_lot_that_expires_soonest_first() -> None:
    wallet = wallet_of((10, 1, 900), (10, 2, 500), (10, 3, 700))
    uses = wallet.burn(1, 15)
    assert remaining(wallet) == [10, 0, 5]
    assert uses == [LotUse(1, (2, 1), 10), LotUse(1, (3, 1), 5)]


def test_burn_takes_lots_that_never_expire_last() -> None:
    wallet = wallet_of((10, 1, None), (10, 2, 500))
    wallet.burn(1, 12)
    assert remaining(wallet) == [8, 0]


def test_burn_takes_the_oldest_lot_first_among_those_that_expire_together() -> None:
    wallet = wallet_of((10, 30, 500), (10, 20, 500), (10, 10, None), (10, 5, None))
    order = [lot.id[0] for lot in soonest_expiry_first(wallet.lots.values())]
    assert order == [2, 1, 4, 3]


def test_burn_does_not_touch_what_was_earned_for_life() -> None:
    wallet = wallet_of((10, 1, None))
    wallet.burn(1, 4)
    assert (wallet.available, wallet.lifetime) == (6, 10)


def test_burn_of_more_than_there_is_changes_nothing() -> None:
    wallet = wallet_of((10, 1, None))
    with pytest.raises(InsufficientPoints) as caught:
        wallet.burn(1, 11)
    assert caught.value.metadata == {"wanted": "11", "available": "10"}
    assert (remaining(wallet), wallet.available, wallet.touched) == ([10], 10, set())


def test_clawback_takes_the_sales_own_lot_before_older_ones() -> None:
    wallet = wallet_of((10, 1, 500), (10, 2, None))
    uses, forgiven = wallet.claw_back(1, 10, own=[(2, 1)], into_negative=False)
    assert (remaining(wallet), forgiven) == ([10, 0], 0)
    assert uses == [LotUse(1, (2, 1), 10)]
    assert (wallet.available, wallet.lifetime) == (10, 10)


def test_clawback_of_what_was_spent_takes_what_expires_soonest() -> None:
    wallet = wallet_of((10, 1, None), (10, 2, 900), (10, 3, 500))
    wallet.burn(1, 10)
    wallet.claw_back(1, 10, own=[(3, 1)], into_negative=False)
    assert remaining(wallet) == [10, 0, 0]


def test_clawback_within_the_balance_forgives_the_rest() -> None:
    wallet = wallet_of((10, 1, None))
    wallet.burn(1, 7)
    uses, forgiven = wallet.claw_back(1, 10, own=[(1, 1)], into_negative=False)
    assert (forgiven, [use.points for use in uses]) == (7, [3])
    assert (wallet.available, wallet.lifetime, wallet.overdrawn) == (0, 7, 0)


def test_clawback_into_the_negative_owes_the_rest() -> None:
    wallet = wallet_of((10, 1, None))
    wallet.burn(1, 7)
    _, forgiven = wallet.claw_back(1, 10, own=[(1, 1)], into_negative=True)
    assert forgiven == 0
    assert (wallet.available, wallet.lifetime, wallet.overdrawn) == (-7, 0, 7)


def test_what_is_owed_is_repaid_before_a_lot_holds_anything() -> None:
    wallet = wallet_of((10, 1, None))
    wallet.burn(1, 10)
    wallet.claw_back(1, 10, own=[(1, 1)], into_negative=True)
    lot, repaid = wallet.credit((2, 1), 4, earn_time=5)
    assert (lot.points, lot.remaining, repaid) == (4, 0, [LotUse(1, (2, 1), 4)])
    assert (wallet.available, wallet.overdrawn) == (-6, 6)
    lot, repaid = wallet.credit((3, 1), 8, earn_time=6)
    assert (lot.points, lot.remaining, repaid) == (8, 2, [LotUse(1, (3, 1), 6)])
    assert (wallet.available, wallet.overdrawn) == (2, 0)


def test_nothing_can_be_burnt_of_a_wallet_that_owes() -> None:
    wallet = wallet_of((10, 1, None))
    wallet.burn(1, 10)
    wallet.claw_back(1, 10, own=[], into_negative=True)
    with pytest.raises(InsufficientPoints, match="1 points wanted, 0 available"):
        wallet.burn(1, 1)


def owned(wallet: WalletState, chance: Random) -> list[LotId]:
    return chance.sample(list(wallet.lots), min(len(wallet.lots), chance.randint(0, 2)))


def do_something(wallet: WalletState, number: int, chance: Random) -> None:
    points = chance.randint(1, 20)
    match chance.choice(("credit", "burn", "claw back")):
        case "credit":
            expire_time = chance.choice((None, chance.randint(1, 5)))
            wallet.credit(
                (number, 1), points, earn_time=chance.randint(1, 5), expire_time=expire_time
            )
        case "burn" if points <= wallet.available:
            assert sum(use.points for use in wallet.burn(1, points)) == points
        case "claw back":
            before = wallet.available
            uses, forgiven = wallet.claw_back(
                1, points, own=owned(wallet, chance), into_negative=chance.random() < 0.5
            )
            assert before - wallet.available == points - forgiven
            assert sum(use.points for use in uses) <= points
            assert len({use.lot for use in uses}) == len(uses)


@settings(max_examples=500, deadline=None)
@given(chance=CHANCES)
def test_the_balance_is_what_lots_hold_less_what_is_owed_whatever_happens(chance: Random) -> None:
    wallet = WalletState(1)
    for number in range(1, 25):
        held_before = {lot.id: lot.remaining for lot in wallet.lots.values()}
        do_something(wallet, number, chance)
        held = {lot.id: lot.remaining for lot in wallet.lots.values()}
        assert wallet.available == sum(held.values()) - wallet.overdrawn
        assert all(0 <= lot.remaining <= lot.points for lot in wallet.lots.values())
        assert wallet.overdrawn == 0 or not any(held.values())
        changed = {lot_id for lot_id, rest in held_before.items() if held[lot_id] != rest}
        assert changed <= wallet.touched
