"""What a member's tier adds to a basket, and which tier counts when."""

from decimal import ROUND_FLOOR, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.earning import Earning
from services.ledger.domain.policy import Policy, PolicyInvalid, check
from services.ledger.domain.standing import NO_STANDING, Standing, TierBook, TierRules
from tests.unit.ledger_baskets import (
    NOON,
    QUALIFYING,
    REDEEMABLE,
    categories,
    fixed,
    line,
    micros,
    per_amount,
    policy,
)

GOLD = Standing("GOLD", "1.25", 3)
CLASSIC = {"BASE": "1", "SILVER": "1.1", "GOLD": "1.25"}


def earned(of: Policy, *amounts: int, standing: Standing = GOLD) -> dict[str, int]:
    """Redeemable points by rule."""
    lines = [line(amount, "PRODUCE") for amount in amounts]
    found = Earning(of).earn(
        enumerate(lines, 1), store="31", business_time=micros(NOON), standing=standing
    )
    return {grant.rule: grant.points for grant in found if REDEEMABLE in grant.kinds}


def base(**fields: Any) -> Policy:
    return policy(per_amount(kinds=(REDEEMABLE, QUALIFYING), tier_multiplied=True), **fields)


@pytest.mark.parametrize(
    ("amount", "extra"), [(100, 0), (300, 0), (399, 0), (400, 1), (799, 1), (800, 2), (99_900, 249)]
)
def test_a_tier_adds_its_share_of_the_base_points_rounded_down(amount: int, extra: int) -> None:
    expected = {"base": amount // 100} | ({"tier": extra} if extra else {})
    assert earned(base(), amount) == expected


@given(points=st.integers(0, 10**12), times=st.decimals("1", "100", places=4))
def test_the_product_is_rounded_down_to_the_point(points: int, times: Decimal) -> None:
    exact = (points * times).to_integral_value(ROUND_FLOOR)
    assert points + Standing("GOLD", str(times), 1).added_to(points) == exact


def test_a_basket_is_rounded_once() -> None:
    assert earned(base(), 200, 200) == {"base": 4, "tier": 1}


def test_qualifying_points_are_not_multiplied() -> None:
    found = Earning(base()).earn(
        [(1, line(40_000))], store="31", business_time=micros(NOON), standing=GOLD
    )
    assert {(grant.rule, grant.kinds, grant.points) for grant in found} == {
        ("base", (REDEEMABLE, QUALIFYING), 400),
        ("tier", (REDEEMABLE,), 100),
    }


def test_only_rules_that_say_so_are_multiplied() -> None:
    both = policy(
        per_amount(tier_multiplied=True),
        per_amount(rule="produce", lines=categories(("PRODUCE",))),
        fixed(50),
    )
    assert earned(both, 4000) == {"base": 40, "produce": 40, "fixed": 50, "tier": 10}
    assert earned(policy(per_amount()), 4000) == {"base": 40}


def test_nothing_is_added_without_a_tier() -> None:
    assert earned(base(), 4000, standing=NO_STANDING) == {"base": 40}


def test_the_cap_on_a_sale_holds_with_what_a_tier_adds() -> None:
    assert earned(base(points_per_sale_max=45), 4000) == {"base": 40, "tier": 5}
    assert earned(base(points_per_sale_max=40), 4000) == {"base": 40}


def test_what_is_added_names_its_lines_its_basis_and_why() -> None:
    rules = policy(
        per_amount(tier_multiplied=True, lines=categories(("PRODUCE",))),
        per_amount(rule="rest"),
    )
    lines = [(1, line(4000, "PRODUCE")), (2, line(500)), (3, line(4000, "PRODUCE"))]
    found = Earning(rules).earn(lines, store="31", business_time=0, standing=GOLD)
    added = found[-1]
    assert (added.rule, added.points, added.lines, added.basis) == ("tier", 20, (1, 3), 8000)
    assert added.title == "1.25 times the points as GOLD"


def test_no_policy_may_have_a_rule_of_that_name() -> None:
    with pytest.raises(PolicyInvalid, match="kept for what a tier adds"):
        check(policy(per_amount(rule="tier")))


BOOK = TierBook(
    [
        TierRules("spring", 2, 2_000, CLASSIC | {"GOLD": "1.5"}),
        TierRules("spring", 1, 1_000, CLASSIC),
        TierRules("club", 1, 1_500, {"MEMBER": "1.2", "FRIEND": "1.3"}),
    ]
)


@pytest.mark.parametrize(
    ("tiers", "time", "expected"),
    [
        ({"spring": "GOLD"}, 999, NO_STANDING),
        ({"spring": "GOLD"}, 1_000, Standing("GOLD", "1.25", 1)),
        ({"spring": "GOLD"}, 1_999, Standing("GOLD", "1.25", 1)),
        ({"spring": "GOLD"}, 2_000, Standing("GOLD", "1.5", 2)),
        ({"spring": "SILVER"}, 1_500, Standing("MEMBER", "1.2", 1)),
        ({"spring": "SILVER", "club": "FRIEND"}, 1_500, Standing("FRIEND", "1.3", 1)),
        ({"spring": "BASE"}, 1_200, NO_STANDING),
        ({"spring": "GONE"}, 1_200, NO_STANDING),
        ({}, 1_200, NO_STANDING),
    ],
)
def test_the_highest_multiplier_of_what_was_in_force_counts(
    tiers: dict[str, str], time: int, expected: Standing
) -> None:
    assert BOOK.standing(tiers, time, member=True) == expected


def test_only_a_member_is_in_the_lowest_tier() -> None:
    assert BOOK.standing({}, 1_500, member=True) == Standing("MEMBER", "1.2", 1)
    assert BOOK.standing({}, 1_500, member=False) == NO_STANDING
