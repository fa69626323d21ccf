"""How amounts become points: counting, rounding, multipliers, taxes and discounts."""

import time
from dataclasses import dataclass

import pytest

from services.ledger.domain.earning import Earning
from services.ledger.domain.policy import (
    Counting,
    DiscountBasis,
    Rounding,
    RoundingMoment,
    Settings,
    TaxBasis,
)
from tests.unit.ledger_baskets import (
    QUALIFYING,
    REDEEMABLE,
    categories,
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


def counting(how: Counting, rounding: Rounding = Rounding.FLOOR) -> Settings:
    return Settings(counting=how, rounding=rounding)


def test_a_point_is_given_for_every_whole_dollar_of_the_basket() -> None:
    [grant] = grants(policy(per_amount()), line(199), line(101))
    assert (grant.rule, grant.policy_version, grant.kinds) == ("base", 1, (REDEEMABLE,))
    assert (grant.points, grant.basis, grant.lines) == (3, 300, (1, 2))


def test_a_rule_gives_each_of_its_kinds() -> None:
    found = earned(policy(per_amount(kinds=BOTH)), line(250))
    assert found == {("base", REDEEMABLE): 2, ("base", QUALIFYING): 2}


def test_a_basket_worth_less_than_a_point_earns_nothing() -> None:
    assert grants(policy(per_amount()), line(99)) == []


def test_a_basket_worth_nothing_earns_nothing_even_rounded_up() -> None:
    up = Settings(rounding=Rounding.CEILING)
    assert grants(policy(per_amount(), settings=up), line(0)) == []


@dataclass(frozen=True)
class Turn:
    """How many points amounts of 0.50, 0.49 and 1.00 make."""

    counting: Counting
    rounding: Rounding
    points: int


@pytest.mark.parametrize(
    "turn",
    [
        Turn(Counting.PER_RULE, Rounding.FLOOR, 1),
        Turn(Counting.PER_RULE, Rounding.HALF_UP, 2),
        Turn(Counting.PER_RULE, Rounding.CEILING, 2),
        Turn(Counting.PER_LINE, Rounding.FLOOR, 1),
        Turn(Counting.PER_LINE, Rounding.HALF_UP, 2),
        Turn(Counting.PER_LINE, Rounding.CEILING, 3),
        Turn(Counting.PER_SALE, Rounding.FLOOR, 1),
        Turn(Counting.PER_SALE, Rounding.HALF_UP, 2),
        Turn(Counting.PER_SALE, Rounding.CEILING, 2),
    ],
    ids=lambda turn: f"{turn.counting.name}-{turn.rounding.name}",
)
def test_amounts_become_points_where_and_as_the_settings_say(turn: Turn) -> None:
    settings = counting(turn.counting, turn.rounding)
    basket = (line(50), line(49), line(100))
    assert redeemable(policy(per_amount(), settings=settings), *basket) == turn.points


@pytest.mark.parametrize(
    ("rounding", "points"),
    [(Rounding.FLOOR, 1), (Rounding.HALF_UP, 2), (Rounding.CEILING, 2)],
)
def test_exactly_half_a_point_goes_up_with_half_up_and_ceiling(
    rounding: Rounding, points: int
) -> None:
    assert (
        redeemable(policy(per_amount(), settings=Settings(rounding=rounding)), line(150)) == points
    )


@pytest.mark.parametrize("rounding", list(Rounding))
def test_whole_points_stay_what_they_are(rounding: Rounding) -> None:
    assert redeemable(policy(per_amount(), settings=Settings(rounding=rounding)), line(300)) == 3


def test_per_rule_every_rule_rounds_its_own_sum() -> None:
    rules = (per_amount(), per_amount(rule="extra"))
    found = earned(policy(*rules, settings=counting(Counting.PER_RULE)), line(150))
    assert found == {("base", REDEEMABLE): 1, ("extra", REDEEMABLE): 1}


def test_per_sale_all_rules_are_rounded_once_and_each_gets_what_it_adds() -> None:
    rules = (per_amount(), per_amount(rule="extra"))
    found = earned(policy(*rules, settings=counting(Counting.PER_SALE)), line(150))
    assert found == {("base", REDEEMABLE): 1, ("extra", REDEEMABLE): 2}


def test_per_sale_each_kind_is_rounded_by_itself() -> None:
    rules = (per_amount(rule="status", kinds=(QUALIFYING,)), per_amount())
    assert earned(policy(*rules, settings=counting(Counting.PER_SALE)), line(50)) == {}
    rules = (per_amount(rule="extra"), per_amount(kinds=BOTH))
    found = earned(policy(*rules, settings=counting(Counting.PER_SALE)), line(50))
    assert found == {("base", REDEEMABLE): 1}


def test_tax_is_part_of_a_gross_basis_and_not_of_a_net_one() -> None:
    taxed = line(1190, tax=190)
    assert redeemable(policy(per_amount()), taxed) == 11
    net = Settings(tax_basis=TaxBasis.NET)
    assert redeemable(policy(per_amount(), settings=net), taxed) == 10


def test_discounts_count_only_where_the_basis_is_before_them() -> None:
    discounted = line(900, discount=300)
    assert redeemable(policy(per_amount()), discounted) == 9
    before = Settings(discount_basis=DiscountBasis.BEFORE)
    assert redeemable(policy(per_amount(), settings=before), discounted) == 12


def test_net_and_before_discounts_go_together() -> None:
    settings = Settings(tax_basis=TaxBasis.NET, discount_basis=DiscountBasis.BEFORE)
    found = grants(policy(per_amount(), settings=settings), line(1000, tax=200, discount=500))
    assert found[0].basis == 1300


def test_fixed_points_are_given_once_for_any_matching_line() -> None:
    welcome = fixed(50, lines=categories(("PRODUCE",)))
    assert redeemable(policy(welcome), line(1, "PRODUCE"), line(1, "PRODUCE")) == 50
    assert redeemable(policy(welcome), line(9999, "DAIRY")) == 0


@pytest.mark.parametrize("how", list(Counting))
def test_fixed_points_do_not_depend_on_counting(how: Counting) -> None:
    shop = policy(fixed(50), settings=counting(how))
    assert redeemable(shop, line(33), line(33)) == 50


def test_a_multiplier_gives_the_points_of_its_lines_that_many_times() -> None:
    triple = multiplier("3", lines=categories(("PRODUCE",)))
    found = earned(policy(per_amount(), triple), line(500, "PRODUCE"), line(200, "DAIRY"))
    assert found == {("base", REDEEMABLE): 7, ("times", REDEEMABLE): 10}


@pytest.mark.parametrize(
    ("moment", "times", "points"),
    [
        (RoundingMoment.AFTER_MULTIPLIER, "2", 3),
        (RoundingMoment.BEFORE_MULTIPLIER, "2", 2),
        (RoundingMoment.AFTER_MULTIPLIER, "1.5", 2),
        (RoundingMoment.BEFORE_MULTIPLIER, "1.5", 1),
    ],
)
def test_a_dollar_fifty_multiplied_is_rounded_before_or_after(
    moment: RoundingMoment, times: str, points: int
) -> None:
    shop = policy(per_amount(), multiplier(times), settings=Settings(rounding_moment=moment))
    assert redeemable(shop, line(150)) == points


def test_rounded_up_after_the_multiplier_nothing_is_rounded_up_twice() -> None:
    settings = Settings(rounding=Rounding.CEILING)
    assert redeemable(policy(per_amount(), multiplier("2"), settings=settings), line(150)) == 3


def test_per_line_every_line_is_multiplied_by_itself() -> None:
    shop = policy(per_amount(), multiplier("2"), settings=counting(Counting.PER_LINE))
    assert redeemable(shop, line(150), line(150)) == 6
    whole = policy(per_amount(), multiplier("2"), settings=counting(Counting.PER_RULE))
    assert redeemable(whole, line(150), line(125)) == 5


def test_per_sale_the_multiplied_part_is_exact_until_the_end() -> None:
    shop = policy(per_amount(), multiplier("1.5"), settings=counting(Counting.PER_SALE))
    assert redeemable(shop, line(170)) == 2
    assert redeemable(shop, line(134)) == 2
    assert redeemable(shop, line(133)) == 1


def test_a_multiplier_multiplies_every_per_amount_rule_considered_before_it() -> None:
    rules = (per_amount(), per_amount(2, rule="extra"), multiplier("2"), per_amount(rule="late"))
    found = earned(policy(*rules), line(100))
    assert found["times", REDEEMABLE] == 3
    assert found["late", REDEEMABLE] == 1


def test_fixed_points_and_other_multipliers_are_not_multiplied() -> None:
    rules = (fixed(50), per_amount(), multiplier("2"), multiplier("3", rule="more"))
    found = earned(policy(*rules), line(100))
    assert (found["times", REDEEMABLE], found["more", REDEEMABLE]) == (1, 2)


def test_a_rule_that_does_not_apply_is_not_multiplied() -> None:
    rules = (per_amount(eligible_minor_min=1000), multiplier("2"))
    assert redeemable(policy(*rules), line(500)) == 0


def test_points_for_several_currency_units_are_given_for_whole_ones() -> None:
    shop = policy(per_amount(5, 1000))
    assert redeemable(shop, line(1999)) == 9
    assert redeemable(shop, line(199)) == 0
    assert redeemable(shop, line(200)) == 1


def test_yen_have_no_minor_unit_and_dinars_have_thousandths() -> None:
    yen = policy(per_amount(1, 200), currency="JPY")
    assert redeemable(yen, line(1180)) == 5
    dinars = policy(per_amount(10, 1000), currency="KWD")
    assert redeemable(dinars, line(12_345)) == 123


def test_the_largest_sale_is_multiplied_in_no_time() -> None:
    basket = [(n, line(137, "PRODUCE", sku=str(n))) for n in range(1, 10_001)]
    shop = policy(
        per_amount(),
        multiplier("1.5"),
        multiplier("2.25", rule="more"),
        settings=counting(Counting.PER_LINE),
    )
    began = time.process_time()
    found = Earning(shop).earn(basket, store="31", business_time=0)
    assert time.process_time() - began < 3.0
    assert [grant.points for grant in found] == [10_000, 10_000, 20_000]


def test_the_policys_version_stands_in_every_grant() -> None:
    shop = policy(per_amount(), version=7)
    assert [grant.policy_version for grant in grants(shop, line(100))] == [7]
