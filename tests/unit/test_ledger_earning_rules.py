"""How rules stand beside each other, where their caps are, and at which sales they apply."""

import pytest

from services.ledger.domain.policy import (
    Combination,
    Counting,
    Rounding,
    SaleCondition,
    Settings,
)
from tests.unit.ledger_baskets import (
    QUALIFYING,
    REDEEMABLE,
    earned,
    fixed,
    grants,
    line,
    multiplier,
    per_amount,
    policy,
    redeemable,
)

BOTH = (REDEEMABLE, QUALIFYING)
HIGHEST = Settings(combination=Combination.HIGHEST_ONLY)
FIRST = Settings(combination=Combination.HIGHEST_PRIORITY_ONLY)


def at_sale(**fields: object) -> SaleCondition:
    return SaleCondition(**fields)  # type: ignore[arg-type]


def test_rules_add_up() -> None:
    shop = policy(per_amount(), fixed(50), per_amount(2, rule="extra"))
    assert redeemable(shop, line(300)) == 3 + 50 + 6


def test_grants_stand_in_the_order_the_rules_are_considered() -> None:
    shop = policy(
        per_amount(), per_amount(rule="first", priority=5), fixed(1, rule="last", priority=-1)
    )
    assert [grant.rule for grant in grants(shop, line(100))] == ["first", "base", "last"]


def test_only_the_rule_that_gives_most_redeemable_points_counts() -> None:
    shop = policy(per_amount(), fixed(5), settings=HIGHEST)
    assert earned(shop, line(499)) == {("fixed", REDEEMABLE): 5}
    assert earned(shop, line(600)) == {("base", REDEEMABLE): 6}


def test_of_rules_that_give_the_same_the_first_counts() -> None:
    shop = policy(per_amount(), fixed(5), settings=HIGHEST)
    assert earned(shop, line(500)) == {("base", REDEEMABLE): 5}


def test_qualifying_points_do_not_make_a_rule_the_highest() -> None:
    shop = policy(fixed(900, rule="status", kinds=(QUALIFYING,)), per_amount(), settings=HIGHEST)
    assert earned(shop, line(100)) == {("base", REDEEMABLE): 1}


def test_only_the_highest_priority_that_gives_points_counts() -> None:
    shop = policy(per_amount(), per_amount(1, 1000, rule="vip", priority=9), settings=FIRST)
    assert earned(shop, line(1000)) == {("vip", REDEEMABLE): 1}
    assert earned(shop, line(999)) == {("base", REDEEMABLE): 9}


def test_a_rule_that_gives_points_stops_those_after_it() -> None:
    vip = per_amount(3, rule="vip", stops_others=True, priority=1, eligible_minor_min=500)
    shop = policy(fixed(7), vip, fixed(9, rule="before", priority=2))
    assert earned(shop, line(500)) == {("before", REDEEMABLE): 9, ("vip", REDEEMABLE): 15}
    assert earned(shop, line(499)) == {("before", REDEEMABLE): 9, ("fixed", REDEEMABLE): 7}


def test_per_sale_the_highest_is_told_before_anything_is_rounded() -> None:
    settings = Settings(combination=Combination.HIGHEST_ONLY, counting=Counting.PER_SALE)
    shop = policy(per_amount(), per_amount(1, 125, rule="less"), settings=settings)
    assert earned(shop, line(150)) == {("base", REDEEMABLE): 1}
    assert earned(shop, line(99)) == {}


def test_a_rules_cap_holds_for_each_of_its_kinds() -> None:
    found = earned(policy(per_amount(kinds=BOTH, points_per_sale_max=4)), line(900))
    assert found == {("base", REDEEMABLE): 4, ("base", QUALIFYING): 4}


@pytest.mark.parametrize("counting", list(Counting))
def test_a_cap_that_is_not_reached_changes_nothing(counting: Counting) -> None:
    shop = policy(
        per_amount(points_per_sale_max=9),
        points_per_sale_max=9,
        settings=Settings(counting=counting),
    )
    assert redeemable(shop, line(900)) == 9


def test_the_sales_cap_takes_the_rules_in_order() -> None:
    shop = policy(per_amount(), fixed(5), fixed(5, rule="late"), points_per_sale_max=8)
    assert earned(shop, line(400)) == {("base", REDEEMABLE): 4, ("fixed", REDEEMABLE): 4}


def test_the_sales_cap_is_one_of_redeemable_points_alone() -> None:
    shop = policy(
        per_amount(kinds=BOTH), per_amount(rule="more", kinds=BOTH), points_per_sale_max=8
    )
    assert earned(shop, line(600)) == {
        ("base", REDEEMABLE): 6,
        ("base", QUALIFYING): 6,
        ("more", REDEEMABLE): 2,
        ("more", QUALIFYING): 6,
    }
    assert earned(shop, line(900)) == {
        ("base", REDEEMABLE): 8,
        ("base", QUALIFYING): 9,
        ("more", QUALIFYING): 9,
    }


def test_per_sale_a_rules_cap_leaves_the_fraction_of_others() -> None:
    settings = Settings(counting=Counting.PER_SALE, rounding=Rounding.HALF_UP)
    shop = policy(
        per_amount(points_per_sale_max=2),
        per_amount(rule="more", kinds=(REDEEMABLE,)),
        settings=settings,
    )
    assert earned(shop, line(240)) == {("base", REDEEMABLE): 2, ("more", REDEEMABLE): 2}
    assert earned(shop, line(250)) == {("base", REDEEMABLE): 2, ("more", REDEEMABLE): 3}


def test_a_multiplier_is_capped_by_its_own_cap() -> None:
    shop = policy(per_amount(), multiplier("3", points_per_sale_max=5))
    assert earned(shop, line(400)) == {("base", REDEEMABLE): 4, ("times", REDEEMABLE): 5}


def test_a_rule_may_be_of_some_stores_only() -> None:
    shop = policy(per_amount(), fixed(10, sale=at_sale(stores=frozenset({"7", "31"}))))
    assert redeemable(shop, line(100), store="31") == 11
    assert redeemable(shop, line(100), store="3") == 1


@pytest.mark.parametrize(
    ("at", "applies"),
    [
        ("2026-01-09T23:59:59+00:00", False),
        ("2026-01-10T00:00:00+00:00", True),
        ("2026-01-11T23:59:59+00:00", True),
        ("2026-01-12T00:00:00+00:00", False),
    ],
)
def test_a_rule_may_be_of_some_days_of_the_week_only(at: str, *, applies: bool) -> None:
    weekend = fixed(1, sale=at_sale(days_of_week=frozenset({6, 7})))
    assert bool(grants(policy(weekend), line(1), at=at)) is applies


@pytest.mark.parametrize(
    ("hours", "at", "applies"),
    [
        ((17, 19), "16:59:59", False),
        ((17, 19), "17:00:00", True),
        ((17, 19), "18:59:59", True),
        ((17, 19), "19:00:00", False),
        ((22, 2), "21:59:59", False),
        ((22, 2), "22:00:00", True),
        ((22, 2), "23:59:59", True),
        ((22, 2), "00:00:00", True),
        ((22, 2), "01:59:59", True),
        ((22, 2), "02:00:00", False),
        ((22, 24), "23:59:59", True),
        ((22, 24), "00:00:00", False),
        ((0, 24), "12:00:00", True),
        # From nine until nine is all day.
        ((9, 9), "08:59:59", True),
        ((0, 0), "04:00:00", True),
    ],
)
def test_hours_run_from_until_before_and_past_midnight(
    hours: tuple[int, int], at: str, *, applies: bool
) -> None:
    happy = fixed(1, sale=at_sale(hour_from=hours[0], hour_until=hours[1]))
    found = grants(policy(happy), line(1), at=f"2026-01-05T{at}+00:00")
    assert bool(found) is applies


def test_days_and_hours_are_those_of_the_rules_time_zone() -> None:
    """A Friday evening in New York is a Saturday in UTC."""
    friday_night = at_sale(
        days_of_week=frozenset({5}), hour_from=20, hour_until=24, time_zone="America/New_York"
    )
    shop = policy(fixed(1, sale=friday_night))
    assert redeemable(shop, line(1), at="2026-01-10T01:30:00+00:00") == 1
    assert redeemable(shop, line(1), at="2026-01-09T21:30:00+00:00") == 0


@pytest.mark.parametrize(
    ("at", "applies"),
    [
        # Clocks went from 02:00 to 03:00 on 29 March 2026 in Berlin: the hour from two did not be.
        ("2026-03-29T00:59:59+00:00", False),
        ("2026-03-29T01:00:00+00:00", False),
        # They went from 03:00 back to 02:00 on 25 October 2026: it was twice.
        ("2026-10-25T00:00:00+00:00", True),
        ("2026-10-25T01:59:59+00:00", True),
        ("2026-10-25T02:00:00+00:00", False),
        ("2026-01-05T01:30:00+00:00", True),
        ("2026-07-06T00:30:00+00:00", True),
    ],
)
def test_hours_follow_the_clock_on_the_wall_through_summer_time(at: str, *, applies: bool) -> None:
    from_two = fixed(1, sale=at_sale(hour_from=2, hour_until=3, time_zone="Europe/Berlin"))
    assert bool(grants(policy(from_two), line(1), at=at)) is applies


def test_a_wrapped_night_belongs_to_the_day_the_clock_shows() -> None:
    friday_night = at_sale(days_of_week=frozenset({5}), hour_from=22, hour_until=2)
    shop = policy(fixed(1, sale=friday_night))
    assert redeemable(shop, line(1), at="2026-01-09T23:00:00+00:00") == 1
    assert redeemable(shop, line(1), at="2026-01-10T01:00:00+00:00") == 0
    assert redeemable(shop, line(1), at="2026-01-09T01:00:00+00:00") == 1


def test_a_sale_must_fit_every_list_that_is_not_empty() -> None:
    condition = at_sale(
        stores=frozenset({"31"}), days_of_week=frozenset({1}), hour_from=12, hour_until=13
    )
    shop = policy(fixed(1, sale=condition))
    assert redeemable(shop, line(1)) == 1
    assert redeemable(shop, line(1), store="3") == 0
    assert redeemable(shop, line(1), at="2026-01-06T12:00:00+00:00") == 0
    assert redeemable(shop, line(1), at="2026-01-05T13:00:00+00:00") == 0


def test_sales_before_1970_have_days_and_hours_too() -> None:
    shop = policy(fixed(1, sale=at_sale(days_of_week=frozenset({3}), hour_from=23, hour_until=24)))
    assert redeemable(shop, line(1), at="1969-12-31T23:30:00+00:00") == 1
