"""Policies and baskets made by chance, for what must hold for all of them."""

from random import Random
from typing import Any

from hypothesis import strategies as st

from services.ledger.domain.basket import Line, Nature
from services.ledger.domain.policy import (
    Clawback,
    Combination,
    Counting,
    DiscountBasis,
    LineCondition,
    PointKind,
    Policy,
    Rounding,
    RoundingMoment,
    Rule,
    SaleCondition,
    Settings,
    TaxBasis,
)
from tests.unit.ledger_baskets import micros

# A seed for each example: drawing the hundred values of a policy one by one takes Hypothesis longer
# than a thousand examples take this way.
CHANCES = st.randoms(use_true_random=True)

WORDS = ("A", "B", "C")
SKUS = ("s1", "s2", "s3")
TAGS = ("t", "u")
STORES = ("1", "2")
ZONES = ("UTC", "UTC", "Europe/Berlin", "America/New_York")
KINDS = (
    (PointKind.REDEEMABLE,),
    (PointKind.QUALIFYING,),
    (PointKind.REDEEMABLE, PointKind.QUALIFYING),
)
# A week in which the clocks of Berlin change.
WEEK_BEGIN = micros("2026-03-23T00:00:00+00:00")
HOUR = 3600 * 1_000_000


def some(chance: Random, among: tuple[str, ...]) -> frozenset[str]:
    """Often nothing at all, which means no condition."""
    return frozenset(each for each in among if chance.random() < 0.25)


def maybe(chance: Random, most: int) -> int:
    return chance.randint(1, most) if chance.random() < 0.3 else 0


def a_line(chance: Random) -> Line:
    amount = chance.randint(0, 10**11 if chance.random() < 0.1 else 700)
    return Line(
        chance.choice(SKUS),
        chance.choice((0, 1, 999, 1000, 1000, 3000, 12_345)),
        amount,
        category_path=tuple(chance.choices(WORDS, k=chance.randint(0, 3))),
        tags=tuple(sorted(some(chance, TAGS))),
        tax=chance.randint(0, amount),
        discount=chance.randint(0, 300),
        nature=chance.choice((1, 1, 1, *Nature)),
    )


def a_basket(chance: Random) -> list[tuple[int, Line]]:
    return list(enumerate((a_line(chance) for _ in range(chance.randint(1, 6))), 1))


def a_line_condition(chance: Random) -> LineCondition:
    patterns = range(chance.choice((0, 0, 1, 2)))
    return LineCondition(
        categories=tuple(
            tuple(chance.choices((*WORDS, "*"), k=chance.randint(1, 3))) for _ in patterns
        ),
        skus=some(chance, SKUS),
        tags=some(chance, TAGS),
    )


def a_sale_condition(chance: Random) -> SaleCondition:
    if chance.random() < 0.5:
        return SaleCondition()
    return SaleCondition(
        stores=some(chance, STORES),
        days_of_week=frozenset(chance.sample(range(1, 8), chance.choice((0, 0, 3, 5)))),
        hour_from=chance.randint(0, 23),
        hour_until=chance.randint(0, 24),
        time_zone=chance.choice(ZONES),
    )


def an_effect(chance: Random) -> dict[str, Any]:
    effects: tuple[dict[str, Any], ...] = (
        {"points": chance.randint(1, 5), "per_minor": chance.choice((1, 50, 100, 130, 1000))},
        {"multiplier": chance.choice(("2", "1.5", "3.25"))},
        {"fixed_points": chance.randint(1, 40)},
    )
    return chance.choices(effects, (3, 2, 1))[0]


def a_rule(chance: Random, name: str) -> Rule:
    return Rule(
        name,
        "A rule",
        chance.choice(KINDS),
        lines=a_line_condition(chance) if chance.random() < 0.5 else LineCondition(),
        sale=a_sale_condition(chance),
        eligible_minor_min=maybe(chance, 600),
        points_per_sale_max=maybe(chance, 30),
        priority=chance.randint(-1, 1),
        stops_others=chance.random() < 0.15,
        **an_effect(chance),
    )


def a_policy(chance: Random) -> Policy:
    return Policy(
        version=1,
        effective_time=0,
        currency="USD",
        rules=tuple(a_rule(chance, f"rule-{n}") for n in range(chance.randint(1, 5))),
        exclusions=(a_line_condition(chance),) if chance.random() < 0.2 else (),
        eligible_minor_min=maybe(chance, 600),
        points_per_sale_max=maybe(chance, 30),
        settings=Settings(
            counting=chance.choice(list(Counting)),
            rounding=chance.choice(list(Rounding)),
            rounding_moment=chance.choice(list(RoundingMoment)),
            combination=chance.choice((Combination.ADD, *Combination)),
            tax_basis=chance.choice(list(TaxBasis)),
            discount_basis=chance.choice(list(DiscountBasis)),
            clawback=chance.choice((Clawback.WITHIN_BALANCE, Clawback.ALLOW_NEGATIVE)),
            shipping_earns=chance.random() < 0.5,
            services_earn=chance.random() < 0.5,
        ),
    )


def a_time(chance: Random) -> int:
    return WEEK_BEGIN + chance.randrange(24 * 7) * HOUR
