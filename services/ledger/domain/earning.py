"""What a basket earns under a policy: a pure function with a reason for every point."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import msgspec

from services.ledger.domain.basket import MICROS_PER_SECOND, Line, Nature, NumberedLine
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
    in_order,
)
from services.ledger.domain.standing import NO_STANDING, TIER_RULE, Standing
from services.ledger.domain.weighing import Candidate, weigh

REDEEMABLE = PointKind.REDEEMABLE
# Kinds of lines remembered for each policy; a shop has fewer categories than this.
REMEMBERED_LINES_MAX = 100_000


class Grant(msgspec.Struct, frozen=True, gc=False):
    """Points one rule gives, and why. basis is what the lines counted for, in minor units."""

    rule: str
    policy_version: int
    kinds: tuple[PointKind, ...]
    points: int
    lines: tuple[int, ...]
    basis: int
    title: str


class _Matched(msgspec.Struct, gc=False):
    """What a rule found in a basket while it is counted."""

    basis: int
    lines: list[int]
    amounts: list[int]


# The rules that give something for a basket, in the order they are considered.
_Found = Sequence[tuple[Rule, _Matched]]


def floor(numerator: int, denominator: int) -> int:
    return numerator // denominator


def half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def ceiling(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def tier_title(standing: Standing) -> str:
    """What is added for a tier, for people."""
    return f"{standing.multiplier} times the points as {standing.tier}"


_ROUND = {Rounding.FLOOR: floor, Rounding.HALF_UP: half_up, Rounding.CEILING: ceiling}


def fits_line(condition: LineCondition, line: Line) -> bool:
    if condition.skus and line.sku not in condition.skus:
        return False
    if condition.tags and condition.tags.isdisjoint(line.tags):
        return False
    return not condition.categories or any(
        fits_path(pattern, line.category_path) for pattern in condition.categories
    )


def fits_path(pattern: Sequence[str], path: Sequence[str]) -> bool:
    return len(path) >= len(pattern) and all(
        wanted in ("*", segment) for wanted, segment in zip(pattern, path, strict=False)
    )


def fits_sale(condition: SaleCondition, store: str, business_time: int) -> bool:
    if condition.stores and store not in condition.stores:
        return False
    if not condition.days_of_week and not condition.hour_until:
        return True
    moment = datetime.fromtimestamp(business_time // MICROS_PER_SECOND, UTC)
    local = moment.astimezone(ZoneInfo(condition.time_zone))
    if condition.days_of_week and local.isoweekday() not in condition.days_of_week:
        return False
    if not condition.hour_until:
        return True
    if condition.hour_from < condition.hour_until:
        return condition.hour_from <= local.hour < condition.hour_until
    return local.hour >= condition.hour_from or local.hour < condition.hour_until


class Earning:
    """A policy made ready to be applied often. Give it a sale, get the grants.

    Which rules a line fits depends on few of its values (category, tags, and the sku only where
    a rule names one), so
    the answer is remembered by them.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        settings = policy.settings
        self._round = _ROUND[settings.rounding]
        self._rules = in_order(policy.rules)
        self._skus_matter = any(
            condition.skus
            for condition in (*policy.exclusions, *(rule.lines for rule in policy.rules))
        )
        self._by_line = settings.counting is Counting.PER_LINE
        self._rounds_first = settings.rounding_moment is RoundingMoment.BEFORE_MULTIPLIER
        # Nothing to weigh rules against each other by: each gives what it gives.
        self._simply_adds = (
            settings.combination is Combination.ADD
            and settings.counting is not Counting.PER_SALE
            and not policy.points_per_sale_max
            and not any(rule.stops_others for rule in policy.rules)
        )
        self._plain_basis = (
            settings.tax_basis is TaxBasis.GROSS and settings.discount_basis is DiscountBasis.AFTER
        )
        self._fitting: dict[object, tuple[int, ...] | None] = {}
        self._tier_multiplied = {rule.rule for rule in policy.rules if rule.tier_multiplied}
        self._anywhere = [rule.sale == SaleCondition() for rule in self._rules]

    def earn(
        self,
        lines: Iterable[NumberedLine],
        *,
        store: str,
        business_time: int,
        standing: Standing = NO_STANDING,
    ) -> list[Grant]:
        """The grants of a basket, in the order the rules are considered, what the member's tier
        adds last; none has zero points.
        """
        grants = self._earn(lines, store, business_time)
        if standing.multiplier and self._tier_multiplied:
            grants += self._tier_grants(grants, standing)
        return grants

    def tier_base(self, grants: Iterable[Grant]) -> int:
        """The redeemable points of a basket that a tier multiplies."""
        if not self._tier_multiplied:
            return 0
        return sum([grant.points for grant in grants if self._is_base(grant)])

    def _is_base(self, grant: Grant) -> bool:
        return grant.rule in self._tier_multiplied and REDEEMABLE in grant.kinds

    def _tier_grants(self, grants: Sequence[Grant], standing: Standing) -> list[Grant]:
        extra = standing.added_to(self.tier_base(grants))
        if self.policy.points_per_sale_max:
            given = sum([grant.points for grant in grants if REDEEMABLE in grant.kinds])
            extra = min(extra, self.policy.points_per_sale_max - given)
        if extra <= 0:
            return []
        base = [grant for grant in grants if self._is_base(grant)]
        return [
            Grant(
                TIER_RULE,
                self.policy.version,
                (REDEEMABLE,),
                extra,
                tuple(sorted({number for grant in base for number in grant.lines})),
                sum([grant.basis for grant in base]),
                tier_title(standing),
            )
        ]

    def _earn(self, lines: Iterable[NumberedLine], store: str, business_time: int) -> list[Grant]:
        eligible, matched = self._match(lines)
        if eligible < self.policy.eligible_minor_min:
            return []
        found: list[tuple[Rule, _Matched]] = []
        for index in sorted(matched):
            rule, match = self._rules[index], matched[index]
            if match.basis < rule.eligible_minor_min:
                continue
            if self._anywhere[index] or fits_sale(rule.sale, store, business_time):
                found.append((rule, match))
        return self._grants(found) if self._simply_adds else self._weighed_grants(found)

    def _match(self, lines: Iterable[NumberedLine]) -> tuple[int, dict[int, _Matched]]:
        """The eligible amount of a basket, and what each rule (by its index) found."""
        eligible = 0
        matched: dict[int, _Matched] = {}
        plain = self._plain_basis
        skus_matter = self._skus_matter
        fitting = self._fitting
        for number, line in lines:
            key = (line.category_path, line.tags, line.nature, line.sku if skus_matter else None)
            try:
                indexes = fitting[key]
            except KeyError:
                indexes = self._classify(key, line)
            if indexes is None:
                continue
            amount = line.amount if plain else self._basis(line)
            eligible += amount
            for index in indexes:
                match = matched.get(index)
                if match is None:
                    matched[index] = _Matched(amount, [number], [amount])
                else:
                    match.basis += amount
                    match.lines.append(number)
                    match.amounts.append(amount)
        return eligible, matched

    def _classify(self, key: object, line: Line) -> tuple[int, ...] | None:
        """The indexes of the rules a line fits; None when it earns nothing at all."""
        settings = self.policy.settings
        shut_out = (
            (line.nature == Nature.SHIPPING and not settings.shipping_earns)
            or (line.nature == Nature.SERVICE and not settings.services_earn)
            or any(fits_line(condition, line) for condition in self.policy.exclusions)
        )
        indexes = None
        if not shut_out:
            indexes = tuple(i for i, r in enumerate(self._rules) if fits_line(r.lines, line))
        if len(self._fitting) >= REMEMBERED_LINES_MAX:
            self._fitting.clear()
        self._fitting[key] = indexes
        return indexes

    def _basis(self, line: Line) -> int:
        settings = self.policy.settings
        amount = line.amount
        if settings.discount_basis is DiscountBasis.BEFORE:
            amount += line.discount
        if settings.tax_basis is TaxBasis.NET:
            amount -= line.tax
        return amount

    def _grants(self, found: _Found) -> list[Grant]:
        grants = []
        for place, (rule, match) in enumerate(found):
            points = self._rounded_points(rule, match, found[:place])
            if rule.points_per_sale_max and points > rule.points_per_sale_max:
                points = rule.points_per_sale_max
            if points:
                grants.append(self._grant(rule, match, rule.kinds, points))
        return grants

    def _weighed_grants(self, found: _Found) -> list[Grant]:
        if self.policy.settings.counting is Counting.PER_SALE:
            points = self._exact_points(found)
        else:
            points = [
                Fraction(self._rounded_points(rule, match, found[:place]))
                for place, (rule, match) in enumerate(found)
            ]
        candidates: list[Candidate[_Matched]] = []
        for (rule, match), given in zip(found, points, strict=True):
            capped = min(given, Fraction(rule.points_per_sale_max or given))
            if capped:
                candidates.append((rule, match, capped))
        weighed = weigh(candidates, self.policy, self._round)
        return [self._grant(rule, match, kinds, given) for rule, match, kinds, given in weighed]

    def _grant(
        self, rule: Rule, match: _Matched, kinds: tuple[PointKind, ...], points: int
    ) -> Grant:
        return Grant(
            rule.rule,
            self.policy.version,
            kinds,
            points,
            tuple(match.lines),
            match.basis,
            rule.title,
        )

    def _rounded_points(self, rule: Rule, match: _Matched, before: _Found) -> int:
        """What a rule gives, before are those considered before it."""
        rounded = self._round
        if rule.per_minor and not self._by_line:
            return rounded(match.basis * rule.points, rule.per_minor)
        if rule.per_minor:
            return sum([rounded(a * rule.points, rule.per_minor) for a in match.amounts])
        if rule.multiplier:
            return sum([self._extra(rule, base) for base in self._multiplied(match, before)])
        return rule.fixed_points

    def _extra(self, rule: Rule, base: Fraction) -> int:
        """What a multiplier adds: the product, rounded, less what is multiplied, rounded."""
        single = self._round(*base.as_integer_ratio())
        product = (single if self._rounds_first else base) * Fraction(rule.multiplier)
        return self._round(*product.as_integer_ratio()) - single

    def _exact_points(self, found: _Found) -> list[Fraction]:
        """Points of each rule where only the sale as a whole is rounded."""
        points = []
        for index, (rule, match) in enumerate(found):
            if rule.per_minor:
                points.append(Fraction(match.basis * rule.points, rule.per_minor))
            elif rule.multiplier:
                base = sum(self._multiplied(match, found[:index]), Fraction(0))
                if self._rounds_first:
                    base = Fraction(self._round(*base.as_integer_ratio()))
                points.append(base * rule.extra_times)
            else:
                points.append(Fraction(rule.fixed_points))
        return points

    def _multiplied(self, match: _Matched, before: _Found) -> Iterable[Fraction]:
        """What per-amount rules give the lines that a multiplier rule found, exactly.

        In the parts that are rounded each by itself: every line, or all of them.
        """
        by_line = dict.fromkeys(match.lines, Fraction(0))
        whole = Fraction(0)
        for rule, other in before:
            if not rule.per_minor:
                continue
            amount = 0
            for number, each in zip(other.lines, other.amounts, strict=True):
                if number not in by_line:
                    continue
                amount += each
                if self._by_line:
                    by_line[number] += Fraction(each * rule.points, rule.per_minor)
            whole += Fraction(amount * rule.points, rule.per_minor)
        return by_line.values() if self._by_line else [whole]
