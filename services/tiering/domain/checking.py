"""What is wrong with a draft: thresholds out of order, overlaps, gaps, unknown tiers and limits."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from services.plumbing.errors import FieldViolation
from services.tiering.domain.rules import (
    AnniversaryYear,
    Bar,
    CalendarYear,
    Counting,
    Join,
    Keeping,
    KeptMonths,
    KeptToDate,
    KeptToPeriodEnd,
    Measure,
    Requirement,
    RollingMonths,
    RuleSet,
    RuleSetInvalid,
    Tier,
    requirements,
)

TIERS_MAX = 16
MONTHS_MAX = 120
YEARS_AFTER_MAX = 10
GRACE_DAYS_MAX = 366
AMOUNT_MAX = 10**12
MULTIPLIER_MAX = 100
CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MULTIPLIER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")
# The longest a month may be.
MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def check(rule_set: RuleSet, *, assigned: Iterable[str] = ()) -> list[FieldViolation]:
    """All that is wrong with a draft; none may be published while there is anything.

    assigned: the codes of tiers that members hold by hand, which the draft has to know.
    """
    problems = [
        *_check_tiers(rule_set.tiers),
        *_check_order(rule_set.tiers),
        *_check_times(rule_set),
        *_check_carrying(rule_set),
    ]
    if not rule_set.name.strip():
        problems.append(FieldViolation("name", "is missing"))
    problems += [
        FieldViolation("tiers", f"lacks {code}, which members are assigned to or invited to")
        for code in sorted(set(assigned))
        if rule_set.index(code) < 0
    ]
    return problems


def refuse_problems(rule_set: RuleSet, *, assigned: Iterable[str] = ()) -> None:
    """Refuses: RuleSetInvalid, if there is anything wrong with it."""
    problems = check(rule_set, assigned=assigned)
    if problems:
        first = problems[0]
        raise RuleSetInvalid(f"{first.field} {first.description}", violations=problems)


def _check_tiers(tiers: tuple[Tier, ...]) -> Iterator[FieldViolation]:
    if not 1 <= len(tiers) <= TIERS_MAX:
        yield FieldViolation("tiers", f"must be from 1 to {TIERS_MAX}")
    seen: set[str] = set()
    for position, tier in enumerate(tiers):
        where = f"tiers[{position}]"
        if not CODE.fullmatch(tier.code):
            yield FieldViolation(f"{where}.code", "must be lower-case letters, digits and dashes")
        if tier.code in seen:
            yield FieldViolation(f"{where}.code", f"is used twice: {tier.code}")
        seen.add(tier.code)
        if not tier.name.strip():
            yield FieldViolation(f"{where}.name", "is missing")
        yield from _check_multiplier(f"{where}.benefits.earn_multiplier", tier)
        if position:
            yield from _check_bars(where, tier)
        elif tier.bar or tier.audiences or tier.invitation_only or tier.lifetime:
            yield FieldViolation(where, "is everybody's, so it can have no requirement")


def _check_multiplier(field: str, tier: Tier) -> Iterator[FieldViolation]:
    text = tier.benefits.earn_multiplier
    if not MULTIPLIER.fullmatch(text):
        yield FieldViolation(field, f"must be a decimal such as 1.25, not {text!r}")
    elif not 0 < tier.benefits.multiplier <= MULTIPLIER_MAX:
        yield FieldViolation(field, f"must be above 0 and at most {MULTIPLIER_MAX}")


def _check_bars(where: str, tier: Tier) -> Iterator[FieldViolation]:
    if tier.bar is None and not tier.invitation_only and tier.lifetime is None:
        yield FieldViolation(f"{where}.bar", "is missing: nothing reaches the tier")
    if tier.bar is not None:
        yield from _check_bar(f"{where}.bar", tier.bar)
    for name, bar in sorted(tier.audiences.items()):
        field = f"{where}.audiences[{name}]"
        if not name.strip():
            yield FieldViolation(field, "has no name")
        yield from _check_bar(field, bar)
        if tier.bar is None or implies(bar.attain, tier.bar.attain):
            yield FieldViolation(field, "is not below the bar of the tier")
    if tier.lifetime is not None:
        yield from _check_requirement(f"{where}.lifetime", tier.lifetime)


def _check_bar(where: str, bar: Bar) -> Iterator[FieldViolation]:
    yield from _check_requirement(f"{where}.attain", bar.attain)
    if bar.retain is not None:
        yield from _check_requirement(f"{where}.retain", bar.retain)
        if not implies(bar.attain, bar.retain):
            yield FieldViolation(f"{where}.retain", "asks for what does not attain the tier")


def _check_requirement(where: str, requirement: Requirement) -> Iterator[FieldViolation]:
    thresholds = requirement.thresholds()
    if not thresholds:
        yield FieldViolation(where, "sets no threshold")
    for measure, amount in thresholds.items():
        if not 0 < amount <= AMOUNT_MAX:
            yield FieldViolation(f"{where}.{measure}", f"must be from 1 to {AMOUNT_MAX}")


def _check_order(tiers: tuple[Tier, ...]) -> Iterator[FieldViolation]:
    """Whoever reaches a tier must have reached those below, and more sums must be needed for it."""
    places = list(enumerate(tiers))
    for (_, below), (position, tier) in pairwise(
        place for place in places if place[1].bar and not place[1].invitation_only
    ):
        if below.bar is None or tier.bar is None:
            continue
        field = f"tiers[{position}].bar.attain"
        yield from _compare(field, below.code, below.bar.attain, tier.bar.attain)
        if not implies(tier.bar.to_retain, below.bar.to_retain):
            field = f"tiers[{position}].bar.retain"
            yield FieldViolation(field, f"is out of order: it would not retain {below.code}")
    for (_, below), (position, tier) in pairwise(place for place in places if place[1].lifetime):
        if below.lifetime is not None and tier.lifetime is not None:
            field = f"tiers[{position}].lifetime"
            yield from _compare(field, below.code, below.lifetime, tier.lifetime)


def _compare(
    field: str, code: str, below: Requirement, above: Requirement
) -> Iterator[FieldViolation]:
    upward, downward = implies(above, below), implies(below, above)
    if upward and downward:
        yield FieldViolation(field, f"overlaps {code}: the same sums reach both")
    elif downward:
        yield FieldViolation(field, f"is out of order: what reaches {code} reaches it too")
    elif not upward:
        yield FieldViolation(field, f"leaves a gap: it can be reached without reaching {code}")


def _least(requirement: Requirement) -> list[Mapping[Measure, int]]:
    """The smallest sums that meet it."""
    thresholds = requirement.thresholds()
    if requirement.join is Join.ALL:
        return [thresholds]
    return [{measure: amount} for measure, amount in thresholds.items()]


def implies(stronger: Requirement, weaker: Requirement) -> bool:
    """Whether all sums that meet the one meet the other."""

    def met(sums: Mapping[Measure, int]) -> bool:
        answers = [sums.get(m, 0) >= amount for m, amount in weaker.thresholds().items()]
        return all(answers) if weaker.join is Join.ALL else any(answers)

    return all(met(sums) for sums in _least(stronger))


def _check_times(rule_set: RuleSet) -> Iterator[FieldViolation]:
    window = rule_set.window
    if isinstance(window, RollingMonths) and not 1 <= window.months <= MONTHS_MAX:
        yield FieldViolation("window.months", f"must be from 1 to {MONTHS_MAX}")
    if isinstance(window, CalendarYear) and not 1 <= window.first_month <= len(MONTH_DAYS):
        yield FieldViolation("window.first_month", "must be from 1 to 12")
    if not 0 <= rule_set.grace_days <= GRACE_DAYS_MAX:
        yield FieldViolation("grace_days", f"must be from 0 to {GRACE_DAYS_MAX}")
    yield from _check_keeping("keeping", rule_set.keeping, rule_set)
    if rule_set.keeping_after_downgrade is not None:
        yield from _check_keeping(
            "keeping_after_downgrade", rule_set.keeping_after_downgrade, rule_set
        )


def _check_keeping(where: str, keeping: Keeping, rule_set: RuleSet) -> Iterator[FieldViolation]:
    if isinstance(keeping, KeptMonths):
        if not 1 <= keeping.months <= MONTHS_MAX:
            yield FieldViolation(f"{where}.months", f"must be from 1 to {MONTHS_MAX}")
        return
    # Less than a year after could lie before the day it is reached on.
    years_after_min = 1 if isinstance(keeping, KeptToDate) else 0
    if not years_after_min <= keeping.years_after <= YEARS_AFTER_MAX:
        yield FieldViolation(
            f"{where}.years_after", f"must be from {years_after_min} to {YEARS_AFTER_MAX}"
        )
    if isinstance(keeping, KeptToDate):
        if not 1 <= keeping.month <= len(MONTH_DAYS):
            yield FieldViolation(f"{where}.month", "must be from 1 to 12")
        elif not 1 <= keeping.day <= max(MONTH_DAYS):
            yield FieldViolation(f"{where}.day", f"must be from 1 to {max(MONTH_DAYS)}")
        elif _ends_within_its_year(keeping, rule_set):
            yield FieldViolation(where, "ends before the window's year does")
    if isinstance(keeping, KeptToPeriodEnd) and isinstance(rule_set.window, RollingMonths):
        yield FieldViolation(where, "has no end: a rolling window has no year")


def _ends_within_its_year(keeping: KeptToDate, rule_set: RuleSet) -> bool:
    """Whether a tier reached late in a window's year could end before that year does."""
    if not isinstance(rule_set.window, CalendarYear) or keeping.years_after > 1:
        return False
    last_month = rule_set.window.first_month - 1
    if keeping.month != last_month:
        return keeping.month < last_month
    return keeping.day < MONTH_DAYS[last_month - 1]


def _check_carrying(rule_set: RuleSet) -> Iterator[FieldViolation]:
    measures = {
        measure for requirement in requirements(rule_set) for measure in requirement.thresholds()
    }
    carries = False
    for measure in Measure:
        limit = rule_set.carry_limit.of(measure)
        carries = carries or limit > 0
        if not 0 <= limit <= AMOUNT_MAX:
            yield FieldViolation(f"carry_limit.{measure}", f"must be from 0 to {AMOUNT_MAX}")
        elif limit and measure not in measures:
            yield FieldViolation(f"carry_limit.{measure}", "is of a measure without thresholds")
    yearly = isinstance(rule_set.window, CalendarYear | AnniversaryYear)
    if carries and rule_set.counting is Counting.KEPT and not yearly:
        yield FieldViolation("carry_limit", "has no effect: nothing is deducted, no year ends")
