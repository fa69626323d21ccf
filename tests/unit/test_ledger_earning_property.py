"""Whatever the policy and the basket: what is earned equals the slow way of working it out."""

from random import Random

from hypothesis import given, settings

from services.ledger.domain.earning import Earning, Grant
from tests.unit.ledger_chance import CHANCES, STORES, a_basket, a_policy, a_time
from tests.unit.ledger_reference import Expected, expected_points


def plain(grants: list[Grant]) -> list[Expected]:
    return [
        Expected(grant.rule, kind, grant.points, grant.lines, grant.basis)
        for grant in grants
        for kind in grant.kinds
    ]


@settings(max_examples=1500, deadline=None)
@given(chance=CHANCES)
def test_what_is_earned_equals_what_is_worked_out_the_slow_way(chance: Random) -> None:
    policy, basket = a_policy(chance), a_basket(chance)
    store, time = chance.choice(STORES), a_time(chance)
    found = Earning(policy).earn(basket, store=store, business_time=time)
    assert plain(found) == expected_points(policy, basket, store=store, business_time=time)


@settings(max_examples=200, deadline=None)
@given(chance=CHANCES)
def test_what_was_earned_before_does_not_matter(chance: Random) -> None:
    policy = a_policy(chance)
    used = Earning(policy)
    for _ in range(4):
        basket = a_basket(chance)
        store, time = chance.choice(STORES), a_time(chance)
        fresh = Earning(policy).earn(basket, store=store, business_time=time)
        assert used.earn(basket, store=store, business_time=time) == fresh


@settings(max_examples=200, deadline=None)
@given(chance=CHANCES)
def test_the_order_of_lines_does_not_matter(chance: Random) -> None:
    earning, basket, time = Earning(a_policy(chance)), a_basket(chance), a_time(chance)
    shuffled = chance.sample(basket, len(basket))
    points = [
        [(each.rule, each.kind, each.points) for each in plain(found)]
        for found in (
            earning.earn(basket, store="1", business_time=time),
            earning.earn(shuffled, store="1", business_time=time),
        )
    ]
    assert points[0] == points[1]
