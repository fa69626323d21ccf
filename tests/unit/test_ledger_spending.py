"""Points set aside, burned, released and given back: what each decision does and is refused for."""

from typing import Any

import pytest

from services.ledger.domain.documents import Account, Balance, Document, DocumentType, Entry
from services.ledger.domain.lots import HoldState, LotUse
from services.ledger.domain.point_life import BurnOrder, Expiry, PointLife, Shortfall
from services.ledger.domain.policy import Clawback, Settings
from services.ledger.domain.restoring import GRACE, RESTORED
from services.ledger.domain.wallet import REPAID, WalletState
from tests.unit.ledger_baskets import REDEEMABLE, line, per_amount, policy
from tests.unit.ledger_till import DAY, SECOND, Till, refusal

TEN_DAYS = PointLife(expiry=Expiry.DAYS, expiry_count=10)
INTO_DEBT = Settings(clawback=Clawback.ALLOW_NEGATIVE)


def till(life: PointLife = TEN_DAYS, **fields: Any) -> Till:
    """A point per dollar that lives for ten days."""
    return Till(policy(per_amount(), life=life, **fields))


def with_lots(*points: int, life: PointLife = TEN_DAYS, **fields: Any) -> Till:
    """A wallet with a lot of each sale, each a day younger than the one before."""
    shop = till(life, **fields)
    for each in points:
        shop.sale(line(each * 100))
        shop.now += DAY
    return shop


def remaining(shop: Till) -> list[int]:
    return [lot.remaining for lot in shop.wallet.lots.values()]


def counters(shop: Till) -> tuple[int, int]:
    return shop.wallet.available, shop.wallet.held


def refused(shop: Till, document: Document) -> tuple[str, dict[str, str]]:
    """Why it was; a refused document has no place among the wallet's documents and no effect."""
    assert (document.sequence, document.entries, document.lots, document.lot_uses) == (
        0,
        (),
        (),
        (),
    )
    assert shop.wallet.sequence == sum(1 for d in shop.documents if not d.refused)
    return refusal(document)


def untouched(wallet: WalletState) -> tuple[Any, ...]:
    return dict(wallet.lots), dict(wallet.holds), wallet.balance, wallet.overdrawn, wallet.sequence


def state(shop: Till, held: Document) -> HoldState:
    return shop.wallet.holds[held.document_id].state


def test_a_hold_moves_no_points_but_sets_them_aside() -> None:
    shop = with_lots(10)
    held = shop.hold(4)
    assert (held.type, held.entries, held.lot_uses) == (DocumentType.HOLD, (), ())
    assert held.balance == Balance(available=6, lifetime=10, held=4)
    hold = shop.wallet.holds[held.document_id]
    assert (hold.points, hold.state, hold.captured, hold.purpose) == (
        4,
        HoldState.OPEN,
        0,
        "coffee",
    )
    assert hold.expire_time == shop.now - SECOND + 900 * SECOND


def test_a_hold_takes_the_lots_that_expire_soonest_without_those_whose_time_is_over() -> None:
    shop = with_lots(5, 5, 5)
    over = shop.now + 7 * DAY
    shop.now = over
    parts = shop.wallet.holds[shop.hold(7).document_id].parts
    assert [(part.lot[0], part.points) for part in parts] == [(2, 5), (3, 2)]
    assert refused(shop, shop.hold(4)) == ("INSUFFICIENT_POINTS", {"wanted": "4", "available": "3"})


def test_a_hold_of_more_than_there_is_is_refused_and_changes_nothing() -> None:
    shop = with_lots(10)
    before = untouched(shop.wallet)
    document = shop.hold(11)
    assert refused(shop, document) == (
        "INSUFFICIENT_POINTS",
        {"wanted": "11", "available": "10"},
    )
    assert untouched(shop.wallet) == before


def test_a_hold_of_more_than_there_is_holds_all_where_the_policy_clamps() -> None:
    clamping = PointLife(shortfall=Shortfall.CLAMP)
    shop = with_lots(10, 7, life=clamping)
    held = shop.hold(100)
    assert shop.wallet.holds[held.document_id].points == 17
    assert counters(shop) == (0, 17)
    assert refused(shop, shop.hold(1))[0] == "INSUFFICIENT_POINTS"


def test_points_held_cannot_be_held_again() -> None:
    shop = with_lots(10)
    shop.hold(6)
    assert refused(shop, shop.hold(5))[1] == {"wanted": "5", "available": "4"}


@pytest.mark.parametrize(
    ("days", "reason"), [(1, "BUSINESS_TIME_IN_FUTURE"), (-401, "BUSINESS_TIME_TOO_OLD")]
)
def test_a_hold_and_a_refund_at_an_impossible_time_are_refused(days: int, reason: str) -> None:
    shop = with_lots(10)
    burned = shop.burn(5)
    time = shop.now + days * DAY
    before = untouched(shop.wallet)
    assert refused(shop, shop.hold(1, business_time=time))[0] == reason
    assert refused(shop, shop.refund(burned, business_time=time))[0] == reason
    assert untouched(shop.wallet) == before


def test_a_capture_burns_what_was_held() -> None:
    shop = with_lots(5, 5)
    held = shop.hold(7)
    burned = shop.capture(held)
    assert (burned.type, burned.original_id) == (DocumentType.BURN, held.document_id)
    assert burned.entries == [Entry(1, REDEEMABLE, Account.REDEMPTION, -7)]
    assert burned.lot_uses == [LotUse(1, (1, 1), 5), LotUse(1, (2, 1), 2)]
    assert burned.balance == Balance(available=3, lifetime=10)
    hold = shop.wallet.holds[held.document_id]
    assert (hold.state, hold.captured, hold.burn_id) == (
        HoldState.CAPTURED,
        7,
        burned.document_id,
    )


def test_a_capture_of_a_part_gives_the_rest_back() -> None:
    shop = with_lots(5, 5)
    held = shop.hold(7)
    burned = shop.capture(held, 4)
    assert burned.lot_uses == [LotUse(1, (1, 1), 4)]
    assert (counters(shop), remaining(shop)) == ((6, 0), [1, 5])
    assert refused(shop, shop.capture(held, 3))[0] == "HOLD_CAPTURED"
    assert counters(shop) == (6, 0)


def test_a_capture_of_more_than_is_held_is_refused() -> None:
    shop = with_lots(10)
    held = shop.hold(7)
    before = untouched(shop.wallet)
    assert refused(shop, shop.capture(held, 8)) == (
        "CAPTURE_EXCEEDS_HOLD",
        {"wanted": "8", "held": "7"},
    )
    assert untouched(shop.wallet) == before


def test_a_capture_at_the_end_of_a_holds_life_is_refused() -> None:
    shop = with_lots(10)
    early, late = shop.hold(3, life=10 * SECOND), shop.hold(3, life=9 * SECOND)
    before = untouched(shop.wallet)
    shop.now = shop.wallet.holds[late.document_id].expire_time
    assert refused(shop, shop.capture(late))[0] == "HOLD_EXPIRED"
    assert untouched(shop.wallet) == before
    shop.now = shop.wallet.holds[early.document_id].expire_time - 1
    assert not shop.capture(early).refused


def test_holds_and_burns_that_there_are_not_are_named() -> None:
    shop = with_lots(10)
    before = untouched(shop.wallet)
    assert refused(shop, shop.capture(None))[0] == "HOLD_NOT_FOUND"
    assert refused(shop, shop.release(None))[0] == "HOLD_NOT_FOUND"
    assert refused(shop, shop.refund(None))[0] == "BURN_NOT_FOUND"
    assert untouched(shop.wallet) == before


def test_a_release_leaves_the_wallet_as_before_the_hold() -> None:
    shop = with_lots(5, 5)
    lots, balance = dict(shop.wallet.lots), shop.wallet.balance
    held = shop.hold(7)
    released = shop.release(held)
    assert (released.type, released.entries) == (DocumentType.RELEASE, [])
    assert (shop.wallet.lots, shop.wallet.balance) == (lots, balance)
    assert state(shop, held) is HoldState.RELEASED


def test_a_second_release_changes_nothing() -> None:
    shop = with_lots(10)
    held = shop.hold(7)
    first = shop.release(held)
    again = shop.release(held)
    assert not again.refused
    assert (again.balance, again.lines_json) == (first.balance, first.lines_json)
    assert refused(shop, shop.capture(held))[0] == "HOLD_RELEASED"


def test_a_hold_that_is_released_after_its_life_has_expired() -> None:
    shop = with_lots(10)
    held = shop.hold(7, life=5 * SECOND)
    shop.now += 5 * SECOND
    shop.release(held)
    assert state(shop, held) is HoldState.EXPIRED
    assert refused(shop, shop.capture(held))[0] == "HOLD_EXPIRED"
    assert counters(shop) == (10, 0)


def test_a_captured_hold_is_not_released() -> None:
    shop = with_lots(10)
    held = shop.hold(7)
    shop.capture(held, 3)
    before = untouched(shop.wallet)
    assert refused(shop, shop.release(held))[0] == "HOLD_CAPTURED"
    assert untouched(shop.wallet) == before


def test_a_refund_gives_back_the_very_lots() -> None:
    shop = with_lots(5, 5, 5)
    lots, balance = dict(shop.wallet.lots), shop.wallet.balance
    burned = shop.burn(12)
    refund = shop.refund(burned)
    assert (refund.type, refund.original_id) == (DocumentType.REFUND, burned.document_id)
    assert refund.reason == "out of stock"
    assert refund.entries == [Entry(1, REDEEMABLE, Account.REDEMPTION, 12, RESTORED)]
    assert (shop.wallet.lots, shop.wallet.balance) == (lots, balance)


def test_a_refund_gives_back_what_was_burned_last_first() -> None:
    shop = with_lots(5, 5, 5)
    burned = shop.burn(12)
    refund = shop.refund(burned, 4)
    assert refund.lot_uses == [LotUse(1, (3, 1), -2), LotUse(1, (2, 1), -2)]
    assert remaining(shop) == [0, 2, 5]


def test_the_order_of_burning_is_the_policys_when_it_comes_back() -> None:
    """The younger lot expires sooner here, and is burned last."""
    oldest = PointLife(burn_order=BurnOrder.OLDEST)
    shop = with_lots(5, life=oldest)
    shop.wallet.open_lot((900, 1), 5, earn_time=shop.now, term=shop.wallet.lots[1, 1].term)
    burned = shop.burn(8)
    assert shop.refund(burned, 4).lot_uses == [LotUse(1, (900, 1), -3), LotUse(1, (1, 1), -1)]


def test_refunds_in_parts_give_back_all_and_no_more() -> None:
    shop = with_lots(5, 5, 5)
    lots = dict(shop.wallet.lots)
    burned = shop.burn(12)
    shop.refund(burned, 4)
    assert refused(shop, shop.refund(burned, 9)) == (
        "REFUND_EXCEEDS_BURN",
        {"wanted": "9", "left": "8"},
    )
    shop.refund(burned, 3)
    # What is left, without a number.
    shop.refund(burned)
    assert shop.wallet.lots == lots
    for points in (0, 1):
        before = untouched(shop.wallet)
        document = shop.refund(burned, points)
        assert refused(shop, document)[0] == "REFUND_EXCEEDS_BURN"
        assert untouched(shop.wallet) == before


def test_of_a_partly_captured_hold_only_what_was_burned_comes_back() -> None:
    shop = with_lots(5, 5)
    burned = shop.capture(shop.hold(9), 6)
    assert refused(shop, shop.refund(burned, 7))[1] == {"wanted": "7", "left": "6"}
    assert not shop.refund(burned, 6).refused
    assert (remaining(shop), counters(shop)) == ([5, 5], (10, 0))


def test_points_come_back_with_days_of_grace_when_the_time_of_their_lots_is_over() -> None:
    shop = with_lots(5, 5, 5)
    burned = shop.burn(12)
    shop.now += 8 * DAY
    time = shop.now
    refund = shop.refund(burned)
    assert [(entry.rule, entry.points) for entry in refund.entries] == [(RESTORED, 2), (GRACE, 10)]
    [grace] = refund.lots
    assert grace.id == (refund.document_id, 2)
    assert (grace.points, grace.remaining) == (10, 10)
    # They can be spent on the thirtieth day still.
    assert grace.term.expire_time == (time // DAY + 31) * DAY
    # As old as the oldest of them.
    assert grace.earn_time == shop.wallet.lots[1, 1].earn_time
    assert remaining(shop) == [0, 0, 5, 10]
    assert shop.wallet.lifetime == 15


def test_of_a_refund_in_parts_each_lot_has_its_own_grace() -> None:
    shop = with_lots(5)
    burned = shop.burn(5)
    shop.now += 10 * DAY
    first = shop.refund(burned, 2)
    shop.now += DAY
    second = shop.refund(burned)
    terms = [document.lots[0].term.expire_time or 0 for document in (first, second)]
    assert terms[1] - terms[0] == DAY
    assert refused(shop, shop.refund(burned, 1))[0] == "REFUND_EXCEEDS_BURN"
    assert counters(shop) == (5, 0)


def test_points_of_a_grace_lot_are_burned_and_given_back_like_others() -> None:
    shop = with_lots(5)
    first = shop.burn(5)
    shop.now += 10 * DAY
    refund = shop.refund(first)
    second = shop.burn(5)
    again = shop.refund(second)
    assert again.lot_uses == [LotUse(1, (refund.document_id, 1), -5)]


def test_points_given_back_repay_what_the_wallet_owes() -> None:
    shop = till(settings=INTO_DEBT)
    sale = shop.sale(line(1000))
    burned = shop.burn(10)
    shop.give_back(sale)
    assert (shop.wallet.available, shop.wallet.overdrawn) == (-10, 10)
    refund = shop.refund(burned, 4)
    assert refund.lot_uses == [LotUse(1, (1, 1), -4), LotUse(REPAID, (1, 1), 4)]
    assert (shop.wallet.available, shop.wallet.overdrawn, remaining(shop)) == (-6, 6, [0])


def test_points_released_repay_what_the_wallet_owes() -> None:
    shop = till(settings=INTO_DEBT)
    sale = shop.sale(line(1000))
    held = shop.hold(10)
    shop.give_back(sale)
    assert (shop.wallet.available, shop.wallet.held, shop.wallet.overdrawn) == (-10, 10, 10)
    released = shop.release(held)
    assert released.lot_uses == [LotUse(REPAID, (1, 1), 10)]
    assert (shop.wallet.balance, shop.wallet.overdrawn) == (Balance(), 0)


def test_what_a_capture_leaves_repays_what_the_wallet_owes() -> None:
    shop = till(settings=INTO_DEBT)
    sale = shop.sale(line(1000))
    held = shop.hold(10)
    shop.give_back(sale)
    burned = shop.capture(held, 7)
    assert burned.lot_uses == [LotUse(1, (1, 1), 7), LotUse(REPAID, (1, 1), 3)]
    assert (shop.wallet.available, shop.wallet.held, shop.wallet.overdrawn) == (-7, 0, 7)


def test_a_hold_keeps_its_lots_from_expiring_and_not_what_it_leaves() -> None:
    shop = with_lots(10)
    held = shop.hold(6, life=100 * DAY)
    shop.now += 10 * DAY
    expired = shop.expire()
    assert expired.entries == [Entry(1, REDEEMABLE, Account.BREAKAGE, -4)]
    shop.capture(held, 5)
    assert shop.expire().entries == [Entry(1, REDEEMABLE, Account.BREAKAGE, -1)]
    assert (shop.wallet.balance, remaining(shop)) == (Balance(lifetime=10), [0])
