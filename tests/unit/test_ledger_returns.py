"""Returns: afterwards a member stands as if only the rest had been bought."""

from services.ledger.domain.basket import Nature
from services.ledger.domain.documents import DocumentType
from services.ledger.domain.lots import SentPart
from services.ledger.domain.point_life import Expiry, PointLife
from services.ledger.domain.policy import (
    Clawback,
    Combination,
    Rounding,
    Settings,
    TaxBasis,
)
from tests.unit.ledger_baskets import (
    QUALIFYING,
    REDEEMABLE,
    categories,
    fixed,
    line,
    multiplier,
    per_amount,
    policy,
    shop_of,
)
from tests.unit.ledger_till import DAY, Till, points, refusal, standing

NEGATIVE = Settings(clawback=Clawback.ALLOW_NEGATIVE)
HIGHEST = Settings(combination=Combination.HIGHEST_ONLY)


def test_buy_and_full_return_leaves_nothing() -> None:
    shop = Till(shop_of())
    back = shop.give_back(shop.sale(line(250), line(300, "PRODUCE")))
    assert [(entry.rule, entry.kind, entry.points) for entry in back.entries] == [
        ("base", REDEEMABLE, -5),
        ("base", QUALIFYING, -5),
        ("produce", REDEEMABLE, -3),
    ]
    assert set(shop.counters.values()) == {0}
    assert shop.lots == []
    assert (back.amount, back.points_forgiven) == (-550, 0)


def test_a_full_return_leaves_the_lots_of_other_sales_alone() -> None:
    shop = Till(shop_of())
    shop.sale(line(400))
    before = standing(shop)
    sale = shop.sale(line(250), line(300, "PRODUCE"))
    shop.give_back(sale)
    assert standing(shop) == before


def test_a_partial_return_gives_what_the_rest_would_have_earned() -> None:
    """3.98 earned 3; the 2.99 that are left earn 2, though 0.99 alone would earn nothing."""
    shop = Till(shop_of())
    sale = shop.sale(line(99), line(299))
    assert points(sale) == 3
    assert points(shop.give_back(sale, 1)) == -1
    assert points(shop.give_back(sale, 2)) == -2


def test_a_return_that_costs_no_point_has_no_entry() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(10), line(200))
    back = shop.give_back(sale, 1)
    assert (list(back.entries), back.refused, back.amount) == ([], False, -10)


def test_a_return_below_the_least_amount_takes_everything_back() -> None:
    shop = Till(shop_of(eligible_minor_min=500))
    sale = shop.sale(line(100), line(400))
    assert points(shop.give_back(sale, 1)) == -5


def test_a_return_of_excluded_goods_takes_nothing_back() -> None:
    shop = Till(shop_of(exclusions=(categories(("FUEL",)),)))
    sale = shop.sale(line(4000, "FUEL"), line(400))
    assert points(shop.give_back(sale, 1)) == 0
    assert points(shop.give_back(sale)) == -4


def test_a_capped_sale_gives_back_only_what_the_rest_would_not_earn() -> None:
    shop = Till(shop_of(points_per_sale_max=10))
    sale = shop.sale(line(800), line(800))
    assert points(sale) == 10
    assert points(shop.give_back(sale, 1)) == -2
    assert points(shop.give_back(sale, 2)) == -8


def test_a_multiplier_is_taken_back_with_its_lines() -> None:
    shop = Till(policy(per_amount(), multiplier("3", lines=categories(("PRODUCE",)))))
    sale = shop.sale(line(500, "PRODUCE"), line(200))
    back = shop.give_back(sale, 1)
    assert {entry.rule: entry.points for entry in back.entries} == {"base": -5, "times": -10}


def test_a_part_of_a_line_takes_its_share_of_the_amount() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(1000, quantity=3000))
    back = [shop.give_back(sale, (1, 1000)) for _ in range(3)]
    assert [document.amount for document in back] == [-333, -334, -333]
    assert [points(document) for document in back] == [-4, -3, -3]
    assert set(shop.counters.values()) == {0}


def test_parts_in_any_order_add_up_to_the_whole() -> None:
    for first, second in (((1, 1), (1, 2999)), ((1, 2999), (1, 1))):
        shop = Till(shop_of())
        sale = shop.sale(line(1001, quantity=3000))
        amounts = [shop.give_back(sale, first).amount, shop.give_back(sale, second).amount]
        assert sum(amounts) == -1001
        assert set(shop.counters.values()) == {0}


def test_no_quantity_means_all_of_the_line_that_is_left() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(900, quantity=3000), line(100))
    shop.give_back(sale, (1, 1000))
    assert shop.give_back(sale, 1).amount == -600
    assert shop.give_back(sale).amount == -100


def test_a_line_without_a_quantity_comes_back_once() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(500, quantity=0), line(100))
    assert points(shop.give_back(sale, 1)) == -5
    assert refusal(shop.give_back(sale, 1))[0] == "RETURN_EXCEEDS_SALE"


def test_tax_goes_with_the_part_that_comes_back() -> None:
    shop = Till(shop_of(settings=Settings(tax_basis=TaxBasis.NET)))
    sale = shop.sale(line(1190, quantity=2000, tax=190))
    assert points(sale) == 10
    assert points(shop.give_back(sale, (1, 1000))) == -5


def test_shipping_that_earns_is_taken_back_too() -> None:
    shop = Till(shop_of(settings=Settings(shipping_earns=True)))
    sale = shop.sale(line(500), line(500, nature=Nature.SHIPPING.value))
    assert points(shop.give_back(sale, 2)) == -5


def test_a_return_under_highest_only_may_give_points_by_another_rule() -> None:
    shop = Till(policy(per_amount(), fixed(4), settings=HIGHEST))
    sale = shop.sale(line(600), line(100))
    back = shop.give_back(sale, 1)
    assert [(entry.rule, entry.points) for entry in back.entries] == [("fixed", 4), ("base", -7)]
    assert standing(shop) == ({**shop.counters, "available": 4, "lifetime": 4}, [4])
    shop.give_back(sale)
    assert set(shop.counters.values()) == {0}


def test_points_given_anew_are_taken_back_before_those_of_older_sales() -> None:
    shop = Till(policy(per_amount(), fixed(4), settings=HIGHEST))
    shop.sale(line(1000))
    before = standing(shop)
    sale = shop.sale(line(600), line(100))
    shop.give_back(sale, 1)
    shop.give_back(sale, 2)
    assert standing(shop) == before


def test_points_given_anew_pay_for_those_taken_back() -> None:
    """Spent to the last point: what another rule gives is not a present beside what is forgiven."""
    shop = Till(policy(per_amount(), fixed(4), settings=HIGHEST))
    sale = shop.sale(line(600), line(100))
    shop.adjust(-7)
    back = shop.give_back(sale, 1)
    assert back.points_forgiven == 3
    assert shop.counters["available"] == 0


def test_a_member_may_gain_by_a_return_that_lifts_a_lower_priority_rule() -> None:
    vip = fixed(1, rule="vip", priority=1, stops_others=True, lines=categories(("VIP",)))
    shop = Till(policy(vip, per_amount()))
    sale = shop.sale(line(100, "VIP"), line(900))
    assert points(sale) == 1
    assert points(shop.give_back(sale, 1)) == 9 - 1
    assert shop.counters["available"] == 9


def test_what_was_spent_is_taken_from_what_is_there() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(1000))
    shop.adjust(-10)
    shop.sale(line(600))
    back = shop.give_back(sale)
    assert (points(back), back.points_forgiven) == (-6, 4)
    assert shop.counters == {
        "available": 0,
        "pending": 0,
        "qualifying": 6,
        "lifetime": 10,
        "overdrawn": 0,
    }


def test_what_is_forgiven_is_not_asked_for_again() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(500), line(500))
    shop.adjust(-10)
    assert shop.give_back(sale, 1).points_forgiven == 5
    shop.adjust(20)
    back = shop.give_back(sale, 2)
    assert (points(back), back.points_forgiven) == (-5, 0)
    assert shop.counters["available"] == 15


def test_all_spent_and_within_the_balance_nothing_is_left_to_take() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(500))
    shop.adjust(-5)
    back = shop.give_back(sale)
    assert [(entry.kind, entry.points) for entry in back.entries] == [(QUALIFYING, -5)]
    assert back.points_forgiven == 5


def test_a_negative_balance_is_filled_by_the_next_sale() -> None:
    shop = Till(shop_of(settings=NEGATIVE))
    sale = shop.sale(line(1000))
    shop.adjust(-8)
    back = shop.give_back(sale)
    assert (points(back), back.points_forgiven, back.balance.available) == (-10, 0, -8)
    assert shop.sale(line(1200)).balance.available == 4
    assert [rest for _, rest in shop.lots] == [4]


def test_a_return_of_what_repaid_a_debt_brings_the_debt_back() -> None:
    shop = Till(shop_of(settings=NEGATIVE))
    first = shop.sale(line(1000))
    shop.adjust(-8)
    shop.give_back(first)
    before = standing(shop)
    shop.give_back(shop.sale(line(1200)))
    assert standing(shop) == before


def test_a_void_undoes_the_whole_sale() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(250), line(300, "PRODUCE"))
    void = shop.void(sale)
    assert (void.type, points(void), void.amount) == (DocumentType.VOID, -8, -550)
    assert set(shop.counters.values()) == {0}


def test_a_return_counts_by_the_policy_version_of_its_sale() -> None:
    first = shop_of(settings=Settings(rounding=Rounding.CEILING))
    later = policy(per_amount(5), version=2, effective_time=first.effective_time + 10**15 * 2)
    shop = Till(first, later, at="2033-05-18T03:33:00+00:00")
    sale = shop.sale(line(150))
    assert points(sale) == 2
    shop.now += 60 * 1_000_000
    assert shop.sale(line(150)).policy_version == 2
    back = shop.give_back(sale)
    assert (back.policy_version, points(back)) == (1, -2)


def test_goods_that_came_back_as_a_whole_prolong_no_points() -> None:
    till = Till(policy(per_amount(), life=PointLife(expiry=Expiry.INACTIVITY, expiry_count=1)))
    till.sale(line(1_000))
    before, day = dict(till.wallet.lots), till.wallet.active_day
    till.now += 20 * DAY
    sale = till.sale(line(500), line(300))
    till.now += 15 * DAY
    till.expire()
    assert till.wallet.lots != before
    till.give_back(sale, 1)
    assert till.wallet.active_day != day
    till.give_back(sale)
    kept = {lot_id: lot for lot_id, lot in till.wallet.lots.items() if lot.remaining}
    assert (kept, till.wallet.active_day) == (before, day)


def test_points_of_another_member_expire_as_they_would_have_without_returned_goods() -> None:
    till = Till(policy(per_amount(), life=PointLife(expiry=Expiry.INACTIVITY, expiry_count=1)))
    until = till.now // DAY * DAY + 10 * DAY
    till.receive(SentPart((7, 1), 5, till.now - 100 * DAY, until, 1))
    [received] = till.wallet.lots
    till.wallet.received_until = ((received, until),)
    sale = till.sale(line(500))
    till.now += 12 * DAY
    till.expire()
    assert till.wallet.lots[received].term.expire_time != until
    till.void(sale)
    assert till.wallet.active_day is None
    assert till.wallet.lots[received].term.expire_time == until


def test_goods_that_came_back_undo_no_activity_since() -> None:
    till = Till(policy(per_amount()))
    sale = till.sale(line(500))
    till.now += DAY
    till.release(till.hold(5))
    active = till.wallet.active_day
    till.give_back(sale)
    assert till.wallet.active_day == active
