"""Baskets and policies in few words, for tests of what they earn."""

from datetime import datetime
from typing import Any

from services.ledger.domain.basket import MICROS_PER_SECOND, Line
from services.ledger.domain.earning import Earning, Grant
from services.ledger.domain.policy import LineCondition, PointKind, Policy, Rule, Settings

REDEEMABLE = PointKind.REDEEMABLE
QUALIFYING = PointKind.QUALIFYING
# A Monday.
NOON = "2026-01-05T12:00:00+00:00"

# Points by rule and kind.
Earned = dict[tuple[str, PointKind], int]


def micros(moment: str) -> int:
    """An ISO 8601 moment in microseconds since 1970."""
    return int(datetime.fromisoformat(moment).timestamp()) * MICROS_PER_SECOND


def line(amount: int, *category: str, quantity: int = 1000, **fields: Any) -> Line:
    """A line of a basket for so many minor units."""
    sku = fields.pop("sku", "sku-1")
    return Line(sku, quantity, amount, category_path=category, **fields)


def per_amount(points: int = 1, per_minor: int = 100, *, rule: str = "base", **fields: Any) -> Rule:
    """A rule of so many redeemable points for every so many minor units, unless fields say more."""
    kinds = fields.pop("kinds", (REDEEMABLE,))
    title = f"{points} for {per_minor}"
    return Rule(rule, title, kinds, points=points, per_minor=per_minor, **fields)


def multiplier(times: str, *, rule: str = "times", **fields: Any) -> Rule:
    kinds = fields.pop("kinds", (REDEEMABLE,))
    return Rule(rule, f"{times} times the points", kinds, multiplier=times, **fields)


def fixed(points: int, *, rule: str = "fixed", **fields: Any) -> Rule:
    kinds = fields.pop("kinds", (REDEEMABLE,))
    return Rule(rule, f"{points} points", kinds, fixed_points=points, **fields)


def categories(*patterns: tuple[str, ...]) -> LineCondition:
    return LineCondition(categories=patterns)


def policy(*rules: Rule, settings: Settings | None = None, **fields: Any) -> Policy:
    """Version 1 in USD from 1970 on, unless fields say otherwise."""
    usual = {"version": 1, "effective_time": 0, "currency": "USD"}
    return Policy(rules=rules, settings=settings or Settings(), **{**usual, **fields})


def grants(of: Policy, *lines: Line, store: str = "31", at: str = NOON) -> list[Grant]:
    return Earning(of).earn(enumerate(lines, 1), store=store, business_time=micros(at))


def earned(of: Policy, *lines: Line, store: str = "31", at: str = NOON) -> Earned:
    return {
        (grant.rule, kind): grant.points
        for grant in grants(of, *lines, store=store, at=at)
        for kind in grant.kinds
    }


def redeemable(of: Policy, *lines: Line, store: str = "31", at: str = NOON) -> int:
    """All redeemable points a basket earns."""
    found = earned(of, *lines, store=store, at=at)
    return sum(points for (_, kind), points in found.items() if kind is REDEEMABLE)


def shop_of(**fields: Any) -> Policy:
    """A point of both kinds per dollar, and one more for produce."""
    rules = (
        per_amount(kinds=(REDEEMABLE, QUALIFYING)),
        per_amount(rule="produce", lines=categories(("PRODUCE",))),
    )
    return policy(*rules, **fields)
