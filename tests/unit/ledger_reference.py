"""What a basket earns, worked out the slow way: exact fractions, every line under every rule.

Shares no code with the ledger but the words a policy and a line are written in.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from services.ledger.domain.basket import Line, Nature
from services.ledger.domain.policy import (
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
    TaxBasis,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Expected:
    """What a rule should give of a kind, and for what."""

    rule: str
    kind: PointKind
    points: int
    lines: tuple[int, ...]
    basis: int


@dataclass(frozen=True)
class Hit:
    """A rule that applies to a sale: what each of its lines is worth, in money and in points."""

    rule: Rule
    basis: dict[int, int]
    exact: dict[int, Fraction]


def expected_points(
    policy: Policy, lines: Sequence[tuple[int, Line]], *, store: str, business_time: int
) -> list[Expected]:
    worth = {n: basis_of(policy, each) for n, each in lines if earns(policy, each)}
    if sum(worth.values()) < policy.eligible_minor_min:
        return []
    hits: list[Hit] = []
    for rule in sorted(policy.rules, key=lambda r: r.priority, reverse=True):
        basis = {n: worth[n] for n, each in lines if n in worth and line_fits(rule.lines, each)}
        if not basis or sum(basis.values()) < rule.eligible_minor_min:
            continue
        if sale_fits(rule.sale, store, EPOCH + timedelta(microseconds=business_time)):
            hits.append(Hit(rule, basis, exact_points(rule, basis, hits)))
    if policy.settings.counting is Counting.PER_SALE:
        given = rounded_together(policy, hits)
    else:
        given = rounded_apart(policy, hits)
    return within_cap(policy, given)


def earns(policy: Policy, each: Line) -> bool:
    if each.nature == Nature.SHIPPING and not policy.settings.shipping_earns:
        return False
    if each.nature == Nature.SERVICE and not policy.settings.services_earn:
        return False
    return not any(line_fits(excluded, each) for excluded in policy.exclusions)


def basis_of(policy: Policy, each: Line) -> int:
    before_discount = policy.settings.discount_basis is DiscountBasis.BEFORE
    without_tax = policy.settings.tax_basis is TaxBasis.NET
    return each.amount + each.discount * before_discount - each.tax * without_tax


def line_fits(condition: LineCondition, each: Line) -> bool:
    fits = [
        not condition.skus or each.sku in condition.skus,
        not condition.tags or bool(condition.tags & set(each.tags)),
        not condition.categories
        or any(path_fits(pattern, each.category_path) for pattern in condition.categories),
    ]
    return all(fits)


def path_fits(pattern: Sequence[str], path: Sequence[str]) -> bool:
    if len(pattern) > len(path):
        return False
    return all(pattern[i] in {"*", path[i]} for i in range(len(pattern)))


def sale_fits(condition: SaleCondition, store: str, moment: datetime) -> bool:
    local = moment.astimezone(ZoneInfo(condition.time_zone))
    if condition.stores and store not in condition.stores:
        return False
    if condition.days_of_week and local.weekday() + 1 not in condition.days_of_week:
        return False
    if not condition.hour_until:
        return True
    # The hours walked through one by one, from the first until the clock shows the last.
    hours = [condition.hour_from % 24]
    while (hours[-1] + 1) % 24 != condition.hour_until % 24:
        hours.append((hours[-1] + 1) % 24)
    return local.hour in hours


def exact_points(rule: Rule, basis: dict[int, int], before: Iterable[Hit]) -> dict[int, Fraction]:
    """By line; a multiplier's are those it multiplies, a fixed number of points has none."""
    if rule.fixed_points:
        return {}
    if rule.per_minor:
        return {n: Fraction(amount * rule.points, rule.per_minor) for n, amount in basis.items()}
    multiplied = dict.fromkeys(basis, Fraction(0))
    for hit in before:
        if hit.rule.per_minor:
            for n in basis:
                multiplied[n] += hit.exact.get(n, Fraction(0))
    return multiplied


def rounded(policy: Policy, exact: Fraction) -> int:
    if policy.settings.rounding is Rounding.FLOOR:
        return math.floor(exact)
    if policy.settings.rounding is Rounding.CEILING:
        return math.ceil(exact)
    return math.floor(exact + ONE_HALF)


def points_by_itself(policy: Policy, hit: Hit) -> int:
    if hit.rule.fixed_points:
        points = hit.rule.fixed_points
    else:
        by_line = policy.settings.counting is Counting.PER_LINE
        parts = list(hit.exact.values()) if by_line else [sum(hit.exact.values(), Fraction(0))]
        points = sum(whole_points(policy, hit.rule, part) for part in parts)
    return min(points, hit.rule.points_per_sale_max) if hit.rule.points_per_sale_max else points


def whole_points(policy: Policy, rule: Rule, exact: Fraction) -> int:
    once = rounded(policy, exact)
    if not rule.multiplier:
        return once
    before = policy.settings.rounding_moment is RoundingMoment.BEFORE_MULTIPLIER
    return rounded(policy, Fraction(rule.multiplier) * (once if before else exact)) - once


def exact_for_the_sale(policy: Policy, hit: Hit) -> Fraction:
    if hit.rule.fixed_points:
        exact = Fraction(hit.rule.fixed_points)
    else:
        exact = sum(hit.exact.values(), Fraction(0))
    if hit.rule.multiplier:
        if policy.settings.rounding_moment is RoundingMoment.BEFORE_MULTIPLIER:
            exact = Fraction(rounded(policy, exact))
        exact *= Fraction(hit.rule.multiplier) - 1
    cap = hit.rule.points_per_sale_max
    return min(exact, Fraction(cap)) if cap else exact


def beside_each_other(
    policy: Policy, giving: list[tuple[Hit, Fraction]]
) -> list[tuple[Hit, Fraction]]:
    """The rules that count of those that give something."""
    combination = policy.settings.combination
    if combination is Combination.HIGHEST_PRIORITY_ONLY:
        giving = giving[:1]
    if combination is Combination.HIGHEST_ONLY and giving:
        redeemable = [p if PointKind.REDEEMABLE in h.rule.kinds else 0 for h, p in giving]
        giving = [giving[redeemable.index(max(redeemable))]]
    counting = []
    for hit, points in giving:
        counting.append((hit, points))
        if hit.rule.stops_others:
            break
    return counting


def rounded_apart(policy: Policy, hits: list[Hit]) -> list[tuple[Hit, PointKind, int]]:
    giving = [(hit, Fraction(points_by_itself(policy, hit))) for hit in hits]
    counting = beside_each_other(policy, [each for each in giving if each[1]])
    return [(hit, kind, int(points)) for hit, points in counting for kind in hit.rule.kinds]


def rounded_together(policy: Policy, hits: list[Hit]) -> list[tuple[Hit, PointKind, int]]:
    giving = [(hit, exact_for_the_sale(policy, hit)) for hit in hits]
    counting = beside_each_other(policy, [each for each in giving if each[1]])
    given = []
    for position, (hit, _) in enumerate(counting):
        for kind in hit.rule.kinds:
            sums = [
                sum((p for h, p in counting[:end] if kind in h.rule.kinds), Fraction(0))
                for end in (position, position + 1)
            ]
            given.append((hit, kind, rounded(policy, sums[1]) - rounded(policy, sums[0])))
    return given


def within_cap(policy: Policy, given: list[tuple[Hit, PointKind, int]]) -> list[Expected]:
    expected: list[Expected] = []
    for hit, kind, wanted in given:
        points = wanted
        if policy.points_per_sale_max and kind is PointKind.REDEEMABLE:
            had = sum(each.points for each in expected if each.kind is kind)
            points = min(wanted, policy.points_per_sale_max - had)
        if points:
            basis = sum(hit.basis.values())
            expected.append(Expected(hit.rule.rule, kind, points, tuple(hit.basis), basis))
    return expected
