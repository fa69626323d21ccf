"""A wallet's lots: what is spent first, what is taken back, what is owed."""

from random import Random

import pytest
from hypothesis import given, settings

from services.ledger.domain.lots import LotId, LotPart, LotUse
from services.ledger.domain.point_life import BurnOrder, Term
from services.ledger.domain.refusals import InsufficientPoints
from services.ledger.domain.wallet import REPAID, WalletState
from tests.unit.ledger_chance import CHANCES


def wallet_of(*lots: tuple[int, int, int | None]) -> WalletState:
    """A wallet with a lot of one document each: points, earned, expiring."""
    wallet = WalletState(1)
    for number, (points, earn_time, expire_time) in enumerate(lots, 1):
        term = Term(expire_time=expire_time)
        wallet.credit((number, 1), points, earn_time=earn_time, term=term)
    return wallet


def pending_wallet(*lots: tuple[int, int]) -> WalletState:
    """A wallet with a pending lot of one document each: points, and when they become available."""
    wallet = WalletState(1)
    for number, (points, available_time) in enumerate(lots, 1):
        term = Term(available_time=available_time)
        wallet.credit((number, 1), points, earn_time=1, term=term)
    return wallet


def burn(wallet: WalletState, points: int, *, at: int = 0) -> list[LotUse]:
    return wallet.burn(1, points, business_time=at, order=BurnOrder.SOONEST_EXPIRY)


def hold(wallet: WalletState, points: int, *, at: int = 0) -> tuple[LotPart, ...]:
    return wallet.hold(points, business_time=at, order=BurnOrder.SOONEST_EXPIRY)


def remaining(wallet: WalletState) -> list[int]:
    return [lot.remaining for lot in wallet.lots.values()]


def test_a_credit_opens_a_lot_and_counts_for_life() -> None:
    wallet = wallet_of((10, 100, None))
    [lot] = wallet.lots.values()
    assert (lot.id, lot.points, lot.remaining, lot.earn_time) == ((1, 1), 10, 10, 100)
    assert (wallet.available, wallet.lifetime, wallet.overdrawn) == (10, 10, 0)


def test_burn_takes_the_lot_that_expires_soonest_first() -> None:
    wallet = wallet_of((10, 1, 900), (10, 2, 500), (10, 3, 700))
    uses = burn(wallet, 15)
    assert remaining(wallet) == [10, 0, 5]
    assert uses == [LotUse(1, (2, 1), 10), LotUse(1, (3, 1), 5)]


def test_burn_takes_lots_that_never_expire_last() -> None:
    wallet = wallet_of((10, 1, None), (10, 2, 500))
    burn(wallet, 12)
    assert remaining(wallet) == [8, 0]


def test_burn_takes_the_oldest_lot_first_among_those_that_expire_together() -> None:
    wallet = wallet_of((10, 30, 500), (10, 20, 500), (10, 10, None), (10, 5, None))
    order = [lot.id[0] for lot in wallet.in_burn_order(wallet.lots.values())]
    assert order == [2, 1, 4, 3]


def test_burn_does_not_touch_what_was_earned_for_life() -> None:
    wallet = wallet_of((10, 1, None))
    burn(wallet, 4)
    assert (wallet.available, wallet.lifetime) == (6, 10)


def test_burn_of_more_than_there_is_changes_nothing() -> None:
    wallet = wallet_of((10, 1, None))
    with pytest.raises(InsufficientPoints) as caught:
        burn(wallet, 11)
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
    burn(wallet, 10)
    wallet.claw_back(1, 10, own=[(3, 1)], into_negative=False)
    assert remaining(wallet) == [10, 0, 0]


def test_clawback_within_the_balance_forgives_the_rest() -> None:
    wallet = wallet_of((10, 1, None))
    burn(wallet, 7)
    uses, forgiven = wallet.claw_back(1, 10, own=[(1, 1)], into_negative=False)
    assert (forgiven, [use.points for use in uses]) == (7, [3])
    assert (wallet.available, wallet.lifetime, wallet.overdrawn) == (0, 7, 0)


def test_clawback_into_the_negative_owes_the_rest() -> None:
    wallet = wallet_of((10, 1, None))
    burn(wallet, 7)
    _, forgiven = wallet.claw_back(1, 10, own=[(1, 1)], into_negative=True)
    assert forgiven == 0
    assert (wallet.available, wallet.lifetime, wallet.overdrawn) == (-7, 0, 7)


def test_what_is_owed_is_repaid_before_a_lot_holds_anything() -> None:
    wallet = wallet_of((10, 1, None))
    burn(wallet, 10)
    wallet.claw_back(1, 10, own=[(1, 1)], into_negative=True)
    lot, repaid = wallet.credit((2, 1), 4, earn_time=5)
    assert (lot.points, lot.remaining, repaid) == (4, 0, [LotUse(1, (2, 1), 4)])
    assert (wallet.available, wallet.overdrawn) == (-6, 6)
    lot, repaid = wallet.credit((3, 1), 8, earn_time=6)
    assert (lot.points, lot.remaining, repaid) == (8, 2, [LotUse(1, (3, 1), 6)])
    assert (wallet.available, wallet.overdrawn) == (2, 0)


def test_nothing_can_be_burnt_of_a_wallet_that_owes() -> None:
    wallet = wallet_of((10, 1, None))
    burn(wallet, 10)
    wallet.claw_back(1, 10, own=[], into_negative=True)
    with pytest.raises(InsufficientPoints, match="1 points wanted, 0 available"):
        burn(wallet, 1)


def test_a_lot_whose_time_is_over_cannot_be_spent() -> None:
    wallet = wallet_of((10, 1, 500), (10, 1, 501))
    with pytest.raises(InsufficientPoints, match="11 points wanted, 10 available"):
        burn(wallet, 11, at=500)
    burn(wallet, 10, at=500)
    assert remaining(wallet) == [10, 0]


def test_the_oldest_lot_is_burned_first_where_the_policy_says_so() -> None:
    wallet = wallet_of((10, 30, 500), (10, 20, 900))
    wallet.burn(1, 5, business_time=0, order=BurnOrder.OLDEST)
    assert remaining(wallet) == [10, 5]


def test_pending_points_are_neither_available_nor_spendable() -> None:
    wallet = pending_wallet((10, 500))
    assert (wallet.available, wallet.pending, wallet.lifetime) == (0, 10, 10)
    with pytest.raises(InsufficientPoints):
        burn(wallet, 1, at=900)


def test_pending_points_become_available_when_their_time_has_come() -> None:
    wallet = pending_wallet((10, 500), (7, 501))
    assert wallet.activate(500) == ([LotPart((1, 1), 10)], [])
    assert (wallet.available, wallet.pending) == (10, 7)
    assert wallet.activate(500) == ([], [])


def test_clawback_of_pending_points_cancels_them_and_leaves_the_available_ones() -> None:
    wallet = pending_wallet((10, 500))
    wallet.credit((2, 1), 10, earn_time=1)
    _, forgiven = wallet.claw_back(1, 10, own=[(1, 1)])
    assert (wallet.available, wallet.pending, wallet.lifetime, forgiven) == (10, 0, 10, 0)


def test_clawback_from_pending_only_forgives_what_is_available_already() -> None:
    wallet = wallet_of((10, 1, None))
    assert wallet.claw_back(1, 10, own=[(1, 1)], pending_only=True) == ([], 10)
    assert (wallet.available, wallet.lifetime) == (10, 10)


def test_what_is_owed_is_repaid_out_of_points_that_become_available() -> None:
    wallet = wallet_of((10, 1, None))
    burn(wallet, 10)
    wallet.claw_back(1, 4, own=[(1, 1)], into_negative=True)
    wallet.credit((2, 1), 10, earn_time=1, term=Term(available_time=500))
    assert (wallet.available, wallet.pending, wallet.overdrawn) == (-4, 10, 4)
    _, uses = wallet.activate(500)
    assert uses == [LotUse(REPAID, (2, 1), 4)]
    assert (wallet.available, wallet.pending, wallet.overdrawn) == (6, 0, 0)
    assert remaining(wallet) == [0, 6]


def test_a_hold_sets_points_aside_of_the_lots_that_would_be_burned() -> None:
    wallet = wallet_of((10, 1, 900), (10, 1, 500))
    assert hold(wallet, 12) == (LotPart((2, 1), 10), LotPart((1, 1), 2))
    assert (wallet.available, wallet.held) == (8, 12)
    with pytest.raises(InsufficientPoints, match="9 points wanted, 8 available"):
        burn(wallet, 9)


def test_a_released_hold_leaves_the_wallet_as_it_was() -> None:
    wallet = wallet_of((10, 1, 900), (10, 1, 500))
    before = dict(wallet.lots)
    wallet.unhold(hold(wallet, 12))
    assert (wallet.lots, wallet.available, wallet.held) == (before, 20, 0)


def test_held_points_do_not_expire() -> None:
    wallet = wallet_of((10, 1, 500))
    parts = hold(wallet, 6)
    uses, points = wallet.expire(1, 500)
    assert (points, uses) == (4, [LotUse(1, (1, 1), 4)])
    assert (wallet.available, wallet.held) == (0, 6)
    wallet.unhold(parts)
    assert wallet.expire(1, 500)[1] == 6


def test_only_lots_whose_time_is_over_expire() -> None:
    wallet = wallet_of((10, 1, 500), (10, 1, 501), (10, 1, None))
    assert wallet.expire(1, 500)[1] == 10
    assert remaining(wallet) == [0, 10, 10]
    assert (wallet.available, wallet.lifetime) == (20, 30)


def test_activity_gives_a_lot_a_new_time_instead_of_expiring_it() -> None:
    day = 86_400_000_000
    wallet = WalletState(1)
    # Earned on 1 January 1970; it lives on for a month after whatever the member does.
    term = Term(expire_time=32 * day, inactive_months=1)
    wallet.credit((1, 1), 10, earn_time=0, term=term)
    wallet.note_activity(15 * day + 5)
    assert wallet.expire(1, 40 * day) == ([], 0)
    assert wallet.lots[1, 1].term.expire_time == 47 * day
    assert wallet.expire(1, 47 * day)[1] == 10


def test_points_given_back_lie_in_their_lot_again() -> None:
    wallet = wallet_of((10, 1, 500))
    burn(wallet, 7)
    assert wallet.give_back(1, [LotPart((1, 1), 5)]) == [LotUse(1, (1, 1), -5)]
    assert (remaining(wallet), wallet.available, wallet.lifetime) == ([8], 8, 10)


def test_expired_points_are_put_back_as_far_as_lots_miss_them() -> None:
    wallet = wallet_of((10, 1, 500), (10, 1, None))
    burn(wallet, 3)
    assert wallet.expire(1, 500) == ([LotUse(1, (1, 1), 7)], 7)
    assert wallet.undo_expiry(1, 5, [(1, 1)]) == [LotUse(1, (1, 1), -5)]
    assert wallet.undo_expiry(1, 5, [(1, 1)]) == []
    # Of ten all that expired comes back; the other three were spent.
    assert wallet.undo_expiry(1, 10, [(1, 1)]) == [LotUse(1, (1, 1), -2)]
    assert (remaining(wallet), wallet.available, wallet.lifetime) == ([7, 10], 17, 20)


def test_pending_points_that_expired_are_pending_when_they_are_put_back() -> None:
    wallet = WalletState(1)
    wallet.credit((1, 1), 10, earn_time=1, term=Term(available_time=900, expire_time=500))
    assert wallet.expire(1, 500)[1] == 10
    assert wallet.undo_expiry(1, 10, [(1, 1)]) == [LotUse(1, (1, 1), -10)]
    assert (wallet.available, wallet.pending) == (0, 10)


def test_the_lot_that_activity_prolonged_is_burned_when_its_new_time_says_so() -> None:
    day = 86_400_000_000
    wallet = wallet_of((10, 1, 40 * day))
    term = Term(expire_time=32 * day, inactive_months=1)
    wallet.credit((2, 1), 10, earn_time=2, term=term)
    wallet.note_activity(15 * day)
    burn(wallet, 10)
    assert remaining(wallet) == [0, 10]


def owned(wallet: WalletState, chance: Random) -> list[LotId]:
    return chance.sample(list(wallet.lots), min(len(wallet.lots), chance.randint(0, 2)))


def do_something(
    wallet: WalletState, number: int, held: list[tuple[LotPart, ...]], chance: Random
) -> None:
    points = chance.randint(1, 20)
    now = chance.randint(1, 5)
    match chance.choice(("credit", "burn", "claw back", "hold", "release", "night")):
        case "credit":
            term = Term(
                chance.choice((None, chance.randint(1, 5))),
                chance.choice((None, chance.randint(1, 5))),
            )
            wallet.credit((number, 1), points, earn_time=chance.randint(1, 5), term=term)
        case "burn":
            spendable = wallet.spendable(now, BurnOrder.SOONEST_EXPIRY)
            if points <= sum(lot.free for lot in spendable):
                assert sum(use.points for use in burn(wallet, points, at=now)) == points
        case "hold":
            spendable = wallet.spendable(now, BurnOrder.SOONEST_EXPIRY)
            if points <= sum(lot.free for lot in spendable):
                held.append(hold(wallet, points, at=now))
        case "release" if held:
            wallet.unhold(held.pop(chance.randrange(len(held))))
            wallet.repay()
        case "night":
            wallet.activate(now)
            wallet.expire(1, now)
        case "claw back":
            own = owned(wallet, chance)
            wallet.undo_expiry(1, points, own)
            before = wallet.available + wallet.pending
            uses, forgiven = wallet.claw_back(
                1, points, own=own, into_negative=chance.random() < 0.5
            )
            assert before - wallet.available - wallet.pending == points - forgiven
            drawn = [use for use in uses if use.ordinal != REPAID]
            assert sum(use.points for use in drawn) <= points
            assert len({use.lot for use in drawn}) == len(drawn)


@settings(max_examples=500, deadline=None)
@given(chance=CHANCES)
def test_the_counters_are_what_lots_hold_less_what_is_owed_whatever_happens(
    chance: Random,
) -> None:
    wallet = WalletState(1)
    held: list[tuple[LotPart, ...]] = []
    for number in range(1, 25):
        before = dict(wallet.lots)
        do_something(wallet, number, held, chance)
        lots = wallet.lots.values()
        free = sum(lot.free for lot in lots if not lot.pending)
        assert wallet.available == free - wallet.overdrawn
        assert wallet.pending == sum(lot.remaining for lot in lots if lot.pending)
        assert wallet.held == sum(lot.held for lot in lots)
        assert wallet.held == sum(part.points for parts in held for part in parts)
        assert all(0 <= lot.held <= lot.remaining <= lot.points for lot in lots)
        assert wallet.overdrawn == 0 or not free
        changed = {lot_id for lot_id, lot in before.items() if wallet.lots[lot_id] != lot}
        assert changed <= wallet.touched
