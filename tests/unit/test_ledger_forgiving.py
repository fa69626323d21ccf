"""Points that come back after the goods they came with: no return makes points out of nothing."""

from collections.abc import Callable

import pytest

from services.ledger.domain.documents import Account, Document, Entry
from services.ledger.domain.forgiving import MADE_GOOD
from services.ledger.domain.point_life import Expiry, PointLife
from services.ledger.domain.policy import Clawback, Policy, Settings, TillRedemption
from services.ledger.domain.receipt import explanation
from services.ledger.domain.transferring import sent_parts
from tests.unit.ledger_baskets import NOON, REDEEMABLE, line, micros, per_amount, policy
from tests.unit.ledger_till import DAY, Till, points, refusal

POINT_A_CENT = TillRedemption(1, 1, whole_basket_earns=True)
WITHIN = policy(per_amount(), redemption=POINT_A_CENT)
NEGATIVE = policy(
    per_amount(),
    version=2,
    effective_time=micros(NOON) - DAY,
    redemption=POINT_A_CENT,
    settings=Settings(clawback=Clawback.ALLOW_NEGATIVE),
)
# Before the second version came into force.
EARLIER = micros(NOON) - 2 * DAY
NOTHING = {"available": 0, "pending": 0, "qualifying": 0, "lifetime": 0, "overdrawn": 0}


def shop() -> Till:
    return Till(WITHIN)


def spent_and_returned(till: Till, bought: int, spent: int) -> Document:
    """A burn of points whose sale came back; none is left of either."""
    sale = till.sale(line(100 * bought))
    burn = till.burn(spent)
    till.give_back(sale)
    return burn


def test_a_refund_after_the_return_gives_nothing_that_the_return_forgave() -> None:
    till = shop()
    sale = till.sale(line(10_000))
    burn = till.burn(100)
    back = till.give_back(sale)
    assert (back.points_forgiven, till.wallet.available) == (100, 0)
    refund = till.refund(burn)
    assert refund.entries == [
        Entry(1, REDEEMABLE, Account.REDEMPTION, 100, "restored"),
        Entry(2, REDEEMABLE, Account.ISSUANCE, -100, MADE_GOOD),
    ]
    assert till.counters == NOTHING
    assert explanation(refund, refund.entries[1]) == (
        "100 points taken back: the goods they came with were returned while they were spent"
    )


def test_what_is_refunded_beyond_what_was_forgiven_is_given() -> None:
    till = shop()
    till.sale(line(5_000))
    burn = spent_and_returned(till, 100, 120)
    assert [points(till.refund(burn, part)) for part in (50, 30, 40)] == [0, 10, 40]
    assert (till.wallet.available, till.wallet.lifetime) == (50, 50)


def test_a_partial_return_is_made_good_and_no_more() -> None:
    till = shop()
    sale = till.sale(line(6_000), line(4_000))
    burn = till.burn(100)
    assert [till.give_back(sale, 2).points_forgiven] == [40]
    assert points(till.refund(burn, 70)) == 30
    assert till.give_back(sale).points_forgiven == 30
    assert points(till.refund(burn)) == 0
    assert till.counters == NOTHING
    assert refusal(till.refund(burn))[0] == "REFUND_EXCEEDS_BURN"


def test_what_was_taken_instead_of_spent_points_is_made_good_too() -> None:
    """The first return takes what the second sale gave; the second finds nothing of its own."""
    till = shop()
    first, second = till.sale(line(10_000)), till.sale(line(10_000))
    burn = till.burn(100)
    assert till.give_back(first).points_forgiven == 0
    assert till.give_back(second).points_forgiven == 100
    till.refund(burn)
    assert till.counters == NOTHING


def test_points_that_were_earned_and_spent_after_the_return_make_nothing_good() -> None:
    till = shop()
    early = spent_and_returned(till, 100, 100)
    till.sale(line(5_000))
    late = till.burn(50)
    assert points(till.refund(late)) == 50
    assert points(till.refund(early)) == 0
    assert till.wallet.available == 50


def test_of_several_returns_the_earlier_is_made_good_first() -> None:
    till = shop()
    early = spent_and_returned(till, 30, 30)
    late = spent_and_returned(till, 20, 20)
    till.refund(early, 10)
    assert [each.left for each in till.wallet.forgiven] == [20, 20]
    till.refund(late)
    assert [each.left for each in till.wallet.forgiven] == [20, 0]
    till.refund(early)
    assert till.counters == NOTHING


def test_a_released_hold_makes_good_what_a_return_forgave_meanwhile() -> None:
    till = shop()
    sale = till.sale(line(10_000))
    held = till.hold(80)
    assert till.give_back(sale).points_forgiven == 80
    released = till.release(held)
    assert released.entries == [Entry(1, REDEEMABLE, Account.ISSUANCE, -80, MADE_GOOD)]
    assert till.counters == NOTHING
    assert till.release(held).entries == []


def test_what_a_capture_leaves_of_a_hold_makes_good() -> None:
    till = shop()
    sale = till.sale(line(10_000))
    held = till.hold(100)
    till.give_back(sale)
    burn = till.capture(held, 70)
    assert [(e.account, e.points) for e in burn.entries] == [
        (Account.REDEMPTION, -70),
        (Account.ISSUANCE, -30),
    ]
    assert till.wallet.available == 0
    till.refund(burn)
    assert till.counters == NOTHING


@pytest.mark.parametrize("void", [False, True])
def test_points_that_paid_for_returned_goods_make_good(void: bool) -> None:
    till = shop()
    earned = till.sale(line(10_000))
    paid = till.sale(line(100), tender=100)
    assert till.give_back(earned).points_forgiven == 99
    back = till.give_back(paid, void=void)
    assert [(e.account, e.points) for e in back.entries] == [
        (Account.REDEMPTION, 100),
        (Account.ISSUANCE, -99),
        (Account.ISSUANCE, -1),
    ]
    assert till.counters == NOTHING


def test_points_given_back_after_their_lot_was_over_make_good() -> None:
    life = PointLife(expiry=Expiry.DAYS, expiry_count=10)
    till = Till(policy(per_amount(), life=life))
    burn = spent_and_returned(till, 10, 10)
    till.now += 20 * DAY
    assert [(e.rule, e.points) for e in till.refund(burn).entries] == [
        ("grace", 10),
        (MADE_GOOD, -10),
    ]
    assert till.counters == NOTHING


def test_points_of_a_transfer_that_was_not_made_make_good() -> None:
    till = shop()
    sale = till.sale(line(10_000))
    sent = till.send(60)
    assert till.give_back(sale).points_forgiven == 60
    till.receive(*sent_parts(sent), left_at=sent.sequence)
    assert till.counters == NOTHING


def test_points_that_a_friend_sent_make_nothing_good() -> None:
    till = shop()
    spent_and_returned(till, 10, 10)
    other = shop()
    other.sale(line(1_000))
    till.receive(*sent_parts(other.send(10)))
    assert till.wallet.available == 10


def test_points_given_anew_by_a_return_make_good_what_was_forgiven_since_the_sale() -> None:
    """Without the dear line the rule that gives more of the cheap ones counts."""
    pair = policy(
        per_amount(rule="dear", per_minor=1_000),
        per_amount(rule="cheap", per_minor=100, points_per_sale_max=5),
        settings=Settings(),
    )
    till = Till(pair)
    sale = till.sale(line(1_000))
    burn = till.burn(points(sale))
    till.give_back(sale, (1, 500))
    till.give_back(sale)
    till.refund(burn)
    assert till.counters == NOTHING


def test_where_only_pending_points_are_taken_back_spent_ones_are_the_members() -> None:
    till = Till(policy(per_amount(), settings=Settings(clawback=Clawback.PENDING_ONLY)))
    burn = spent_and_returned(till, 100, 100)
    assert points(till.refund(burn)) == 100
    assert till.wallet.available == 100


def both() -> Till:
    return Till(WITHIN, NEGATIVE)


def in_debt(till: Till, owed: int) -> Document:
    burn = spent_and_returned(till, owed, owed)
    assert till.counters["overdrawn"] == owed
    return burn


def test_a_debt_that_returned_goods_repaid_is_owed_again() -> None:
    till = both()
    burn = in_debt(till, 100)
    sale = till.sale(line(10_000), business_time=EARLIER)
    assert till.counters["overdrawn"] == 0
    assert till.give_back(sale).points_forgiven == 0
    assert till.counters == {**NOTHING, "available": -100, "overdrawn": 100}
    till.refund(burn)
    assert till.counters == NOTHING


def test_a_debt_is_owed_again_bit_by_bit_as_the_goods_come_back() -> None:
    till = both()
    in_debt(till, 50)
    sale = till.sale(line(6_000), line(4_000), business_time=EARLIER)
    later = till.burn(50)
    assert till.give_back(sale, 2).points_forgiven == 0
    assert till.counters["available"] == -40
    assert till.give_back(sale).points_forgiven == 50
    assert till.counters["available"] == -50
    assert points(till.refund(later)) == 0


def test_whose_points_repay_a_returned_debt_is_noted() -> None:
    """The second sale gives for the first, so that its own return owes it all."""
    till = both()
    in_debt(till, 100)
    first = till.sale(line(6_000), business_time=EARLIER)
    second = till.sale(line(6_000), business_time=EARLIER)
    till.give_back(first)
    assert till.counters["available"] == -40
    assert till.give_back(second).points_forgiven == 0
    assert till.counters == {**NOTHING, "available": -100, "overdrawn": 100}


def test_points_that_would_have_been_there_repay_what_a_return_makes_owed() -> None:
    till = both()
    sale = till.sale(line(10_000))
    till.burn(100)
    other = till.sale(line(2_000), business_time=EARLIER)
    till.give_back(sale)
    assert till.counters["available"] == -80
    assert till.give_back(other).points_forgiven == 0
    assert till.counters["available"] == -100


def comes_back(till: Till, what: str) -> Callable[[], Document]:
    """Points leave the wallet; answers what brings them back."""
    if what == "refund":
        burn = till.burn(70)
        return lambda: till.refund(burn)
    if what == "release":
        held = till.hold(70)
        return lambda: till.release(held)
    paid = till.sale(line(70), tender=70)
    return lambda: till.void(paid)


@pytest.mark.parametrize("what", ["refund", "release", "void"])
@pytest.mark.parametrize("rules", [WITHIN, NEGATIVE])
@pytest.mark.parametrize("earned_since", [0, 30])
def test_it_does_not_matter_whether_points_or_goods_come_back_first(
    what: str, rules: Policy, earned_since: int
) -> None:
    left = []
    for points_first in (True, False):
        shop = Till(rules)
        shop.sale(line(2_000))
        sale = shop.sale(line(10_000))
        bring = comes_back(shop, what)
        if points_first:
            bring()
        shop.give_back(sale)
        if not points_first:
            bring()
        shop.sale(line(100 * earned_since))
        assert not any(document.refused for document in shop.documents)
        left.append(shop.counters)
    there = 20 + earned_since
    assert left == [{**NOTHING, "available": there, "lifetime": there}] * 2
