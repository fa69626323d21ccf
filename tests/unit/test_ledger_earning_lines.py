"""Which lines of a basket count: categories, products, tags, exclusions, least amounts."""

import pytest

from services.ledger.domain import earning
from services.ledger.domain.basket import Line, Nature
from services.ledger.domain.earning import Earning
from services.ledger.domain.policy import (
    LineCondition,
    Settings,
)
from tests.unit.ledger_baskets import (
    REDEEMABLE,
    categories,
    earned,
    grants,
    line,
    micros,
    per_amount,
    policy,
    redeemable,
)


@pytest.mark.parametrize(
    ("settings", "amount"),
    [
        (Settings(), 100),
        (Settings(shipping_earns=True), 300),
        (Settings(services_earn=True), 500),
        (Settings(shipping_earns=True, services_earn=True), 700),
    ],
)
def test_shipping_and_services_earn_only_where_the_settings_say(
    settings: Settings, amount: int
) -> None:
    basket = (
        line(100),
        line(200, nature=Nature.SHIPPING.value),
        line(400, nature=Nature.SERVICE.value),
    )
    assert grants(policy(per_amount(), settings=settings), *basket)[0].basis == amount


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        (("PRODUCE",), ("PRODUCE",), True),
        (("PRODUCE",), ("PRODUCE", "FRUIT", "BANANAS"), True),
        (("PRODUCE",), ("produce",), False),
        (("PRODUCE",), (), False),
        (("PRODUCE", "FRUIT"), ("PRODUCE",), False),
        (("*",), ("ANYTHING", "AT", "ALL"), True),
        (("*",), (), False),
        (("*", "FRUIT"), ("PRODUCE", "FRUIT"), True),
        (("*", "FRUIT"), ("PRODUCE", "ROOTS"), False),
        (("PRODUCE", "*", "BANANAS"), ("PRODUCE", "FRUIT", "BANANAS", "GREEN"), True),
        (("PRODUCE", "*", "BANANAS"), ("PRODUCE", "BANANAS"), False),
        # A star is a whole segment, never a part of one.
        (("PROD*",), ("PRODUCE",), False),
    ],
)
def test_a_category_pattern_fits_paths_that_begin_with_it(
    pattern: tuple[str, ...], path: tuple[str, ...], *, fits: bool
) -> None:
    found = grants(policy(per_amount(lines=categories(pattern))), line(100, *path))
    assert bool(found) is fits


def test_one_of_several_patterns_is_enough() -> None:
    rule = per_amount(lines=categories(("MEAT",), ("PRODUCE",)))
    assert redeemable(policy(rule), line(100, "PRODUCE"), line(100, "DAIRY")) == 1


def test_skus_and_tags_choose_lines() -> None:
    by_sku = per_amount(lines=LineCondition(skus=frozenset({"a", "b"})))
    basket = (line(100, sku="a"), line(200, sku="b"), line(400, sku="c"))
    assert grants(policy(by_sku), *basket)[0].lines == (1, 2)
    by_tag = per_amount(lines=LineCondition(tags=frozenset({"organic"})))
    tagged = (line(100, tags=("organic", "new")), line(200, tags=("new",)), line(400))
    assert grants(policy(by_tag), *tagged)[0].lines == (1,)


def test_a_line_must_fit_every_list_that_is_not_empty() -> None:
    all_three = LineCondition(
        categories=(("PRODUCE",),), skus=frozenset({"a"}), tags=frozenset({"organic"})
    )
    basket = (
        line(100, "PRODUCE", sku="a", tags=("organic",)),
        line(200, "DAIRY", sku="a", tags=("organic",)),
        line(400, "PRODUCE", sku="b", tags=("organic",)),
        line(800, "PRODUCE", sku="a"),
    )
    assert grants(policy(per_amount(lines=all_three)), *basket)[0].lines == (1,)


def test_skus_are_told_apart_among_lines_alike_in_all_else() -> None:
    only_a = Earning(policy(per_amount(lines=LineCondition(skus=frozenset({"a"})))))
    for sku, expected in (("b", 0), ("a", 1), ("b", 0)):
        found = only_a.earn([(1, line(100, sku=sku))], store="31", business_time=0)
        assert sum(grant.points for grant in found) == expected


def test_excluded_lines_neither_earn_nor_count_as_eligible() -> None:
    shop = policy(
        per_amount(),
        exclusions=(categories(("FUEL",), ("*", "CIGARETTES")),),
        eligible_minor_min=500,
    )
    basket = (line(499, "GROCERY"), line(900, "FUEL"), line(900, "MISC", "CIGARETTES"))
    assert grants(shop, *basket) == []
    assert grants(shop, *basket, line(1, "GROCERY"))[0].lines == (1, 4)


def test_an_exclusion_by_sku_shuts_out_that_product_alone() -> None:
    shop = policy(per_amount(), exclusions=(LineCondition(skus=frozenset({"gift-card"})),))
    assert redeemable(shop, line(5000, sku="gift-card"), line(300, sku="bread")) == 3


@pytest.mark.parametrize(("amount", "points"), [(499, 0), (500, 5), (501, 5)])
def test_a_basket_below_the_policys_minimum_earns_nothing(amount: int, points: int) -> None:
    assert redeemable(policy(per_amount(), eligible_minor_min=500), line(amount)) == points


def test_a_rules_own_minimum_looks_at_its_lines_alone() -> None:
    produce = per_amount(rule="produce", lines=categories(("PRODUCE",)), eligible_minor_min=300)
    shop = policy(per_amount(), produce)
    assert earned(shop, line(299, "PRODUCE"), line(900)) == {("base", REDEEMABLE): 11}
    assert earned(shop, line(300, "PRODUCE"), line(900)) == {
        ("base", REDEEMABLE): 12,
        ("produce", REDEEMABLE): 3,
    }


def test_what_a_return_leaves_keeps_its_line_numbers() -> None:
    found = Earning(policy(per_amount())).earn(
        [(2, line(100)), (7, line(100))], store="31", business_time=micros("2026-01-05T00:00:00Z")
    )
    assert found[0].lines == (2, 7)


def test_what_is_remembered_of_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earning, "REMEMBERED_LINES_MAX", 3)
    shop = policy(per_amount(lines=LineCondition(skus=frozenset({"sku-1"}))))
    assert redeemable(shop, *(line(100, sku=f"sku-{n}") for n in (1, 2, 3, 4, 5, 1))) == 2


def test_a_line_of_no_category_earns_by_rules_without_categories() -> None:
    assert redeemable(policy(per_amount()), Line("sku", 1000, 100)) == 1
