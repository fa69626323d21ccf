"""Tiers once more, a member and a day at a time, as the rules are written. Shares no code."""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from services.tiering.domain import rules
from tests.unit.tiering_members import Person

FOREVER = 2**31 - 1
BEFORE_ALL = -(2**31)
EPOCH = date(1970, 1, 1)
MEASURES = ("points", "spend_minor", "visits")


def number(given: date) -> int:
    return (given - EPOCH).days


def dated(day: int) -> date:
    return EPOCH + timedelta(days=day)


def clamped(year: int, month: int, day_of_month: int) -> date:
    while month > 12:
        year, month = year + 1, month - 12
    while month < 1:
        year, month = year - 1, month + 12
    return date(year, month, min(day_of_month, monthrange(year, month)[1]))


def months_on(day: int, months: int) -> int:
    given = dated(day)
    return number(clamped(given.year, given.month + months, given.day))


@dataclass
class Reference:
    """One member. tiers[day] is the tier in effect on it; changes are as the engine's columns."""

    rule_set: rules.RuleSet
    person: Person
    first_day: int
    tier: int = 0
    since: int = 0
    until: int = FOREVER
    earned: int = 0
    earned_until: int = FOREVER
    reserve: tuple[int, int] = (0, FOREVER)
    counted_from: int = BEFORE_ALL
    carried: tuple[int, Mapping[str, int]] = (BEFORE_ALL, {})
    lifetime_tier: int = 0
    fell: bool = False
    # What counted at the last close.
    closed_sums: Mapping[str, int] = field(default_factory=dict)
    tiers: dict[int, int] = field(default_factory=dict)
    changes: list[tuple[int, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.since = self.person.enrolled

    def run(self, last_day: int) -> "Reference":
        self.lifetime_tier = self.highest_lifetime(self.first_day - 1)
        self.closed_sums = self.sums(self.first_day, self.first_day - 1)
        self.settle(self.first_day, self.first_day - 1, self.first_day, None)
        for day in range(self.first_day, last_day + 1):
            self.close(day)
            self.tiers[day + 1] = self.tier
        return self

    # What counts.

    def year_first(self, day: int) -> int:
        given, window = dated(day), self.rule_set.window
        if isinstance(window, rules.CalendarYear):
            month, day_of_month = window.first_month, 1
        else:
            begun = dated(self.person.enrolled)
            month, day_of_month = begun.month, begun.day
        first = clamped(given.year, month, day_of_month)
        return number(first if first <= given else clamped(given.year - 1, month, day_of_month))

    def next_year_first(self, day: int, years: int = 1) -> int:
        first = self.year_first(day)
        for _ in range(years):
            first = self.year_first(first + 370)
        return first

    def window_first(self, day: int) -> int:
        if isinstance(self.rule_set.window, rules.RollingMonths):
            return months_on(day, -self.rule_set.window.months) + 1
        return self.year_first(day)

    def sums(self, day: int, last: int = FOREVER) -> dict[str, int]:
        first = self.window_first(day)
        counted = [
            row
            for on, row in self.person.rows.items()
            if max(first, self.counted_from) <= on <= min(day, last)
        ]
        found = {measure: sum(getattr(row, measure) for row in counted) for measure in MEASURES}
        if first <= self.carried[0] <= day:
            for measure, amount in self.carried[1].items():
                found[measure] += amount
        return {m: amount if m in self.measures() else 0 for m, amount in found.items()}

    def bars(self) -> list[rules.Requirement]:
        bars = [
            bar
            for tier in self.rule_set.tiers
            for bar in (tier.bar, *tier.audiences.values())
            if bar is not None
        ]
        return [r for bar in bars for r in (bar.attain, bar.retain) if r is not None]

    def measures(self) -> set[str]:
        return {m for requirement in self.bars() for m in MEASURES if getattr(requirement, m)}

    # What it meets.

    def granted(self, kind: str, day: int) -> list[Any]:
        return [
            grant
            for grant in self.person.grants
            if grant.kind.name == kind and grant.from_day <= day < grant.end_day
        ]

    def meets(self, requirement: rules.Requirement, sums: Mapping[str, int]) -> bool:
        answers = [
            sums[measure] >= getattr(requirement, measure)
            for measure in MEASURES
            if getattr(requirement, measure)
        ]
        return all(answers) if requirement.join == rules.Join.ALL else any(answers)

    def met_by(
        self, tier: rules.Tier, how: str, sums: Mapping[str, int], day: int
    ) -> rules.Requirement | None:
        """The requirement of the tier that is met, the tier's own first."""
        audiences = {grant.name for grant in self.granted("AUDIENCE", day)}
        for bar in [tier.bar, *(b for n, b in sorted(tier.audiences.items()) if n in audiences)]:
            if bar is not None:
                asked = bar.attain if how == "attain" else bar.retain or bar.attain
                if self.meets(asked, sums):
                    return asked
        return None

    def meets_tier(self, place: int, how: str, sums: Mapping[str, int], day: int) -> bool:
        tier = self.rule_set.tiers[place]
        if tier.invitation_only:
            if all(grant.name != tier.code for grant in self.granted("INVITATION", day)):
                return False
            if tier.bar is None:
                return True
        return self.met_by(tier, how, sums, day) is not None

    def best(self, how: str, sums: Mapping[str, int], day: int, below: int = 99) -> int:
        places = range(1, min(len(self.rule_set.tiers), below))
        return max((p for p in places if self.meets_tier(p, how, sums, day)), default=0)

    def highest_lifetime(self, day: int) -> int:
        rows = [row for on, row in self.person.rows.items() if on <= day]
        sums = {measure: sum(getattr(row, measure) for row in rows) for measure in MEASURES}
        return max(
            (
                place
                for place, tier in enumerate(self.rule_set.tiers)
                if tier.lifetime is not None and self.meets(tier.lifetime, sums)
            ),
            default=0,
        )

    # How long it lasts.

    def end(self, keeping: rules.Keeping, day: int) -> int:
        window = self.rule_set.window
        if isinstance(keeping, rules.KeptMonths):
            end = months_on(day + 1, keeping.months)
            while months_on(end - 1, -keeping.months) < day:
                end += 1
            return end
        if isinstance(keeping, rules.KeptToDate):
            first = self.year_first(day) if isinstance(window, rules.CalendarYear) else day
            year = dated(first).year + keeping.years_after
            return number(clamped(year, keeping.month, keeping.day)) + 1
        return self.next_year_first(day, 1 + keeping.years_after)

    # A day.

    def close(self, day: int) -> None:
        rules_, cause = self.rule_set, None
        self.note_lifetime(day)
        sums = self.sums(day)
        reached = self.best("attain", sums, day)
        if reached > self.earned:
            start = day if rules_.evaluation == rules.Evaluation.AT_EVENT else day + 1
            self.earned, cause = reached, "REACHED"
            self.earned_until = max(self.end(rules_.keeping, day), start + 1)
            if rules_.downgrade == rules.Downgrade.NONE:
                self.earned_until = FOREVER
            if rules_.counting == rules.Counting.DEDUCTED:
                self.deduct("attain", day)
        if rules_.evaluation == rules.Evaluation.AT_EVENT and (self.in_effect(day) > self.tier):
            self.settle(day, day, day, cause)
            cause = None
        if self.earned:
            cause = self.keep_or_lose(day) or cause
        self.settle(day + 1, day, day + 1, cause)
        self.closed_sums = self.sums(day)
        self.carry_over_year(day)

    def keep_or_lose(self, day: int) -> str | None:
        rules_ = self.rule_set
        by_end = isinstance(rules_.keeping, rules.KeptMonths)
        end = self.end(rules_.keeping, day)
        ended, cause = self.earned_until <= day + 1, None
        if ended or (not by_end and end > self.earned_until):
            kept = self.meets_tier(self.earned, "retain", self.sums(day), day)
            if kept and end > self.earned_until:
                self.earned_until, cause = end, "RENEWED"
                if rules_.counting == rules.Counting.DEDUCTED:
                    self.deduct("retain", day)
            elif day + 1 >= self.earned_until + rules_.grace_days:
                self.lose(day)
                cause = "LAPSED"
        if not by_end:
            self.keep_reserve(day)
        return cause

    def lose(self, day: int) -> None:
        rules_ = self.rule_set
        end = self.end(rules_.keeping, day)
        options = [(0, FOREVER)]
        if end > day + 1:
            options.append((self.best("retain", self.sums(day), day, self.earned), end))
        if self.reserve[1] > day + 1:
            options.append(self.reserve)
        place, until = max(o for o in options if o[0] == max(p for p, _ in options))
        if rules_.downgrade == rules.Downgrade.ONE_STEP:
            step = self.earned - 1
            while step and rules_.tiers[step].invitation_only:
                step -= 1
            if step > place:
                softly = rules_.keeping_after_downgrade or rules_.keeping
                place, until = step, max(self.end(softly, day), day + 2)
        self.earned, self.earned_until = place, until if place else FOREVER
        if self.reserve[0] >= place:
            self.reserve = (0, FOREVER)

    def keep_reserve(self, day: int) -> None:
        if self.reserve[1] <= day + 1:
            self.reserve = (0, FOREVER)
        end = self.end(self.rule_set.keeping, day)
        if end > self.earned_until:
            place = self.best("retain", self.sums(day), day, self.earned)
            held = self.reserve[1] if self.reserve[0] else 0
            if place and (place, end) > (self.reserve[0], held):
                self.reserve = (place, end)

    def above(self, asked: rules.Requirement, sums: Mapping[str, int]) -> dict[str, int]:
        limits = self.rule_set.carry_limit
        return {
            m: min(max(sums[m] - getattr(asked, m), 0), getattr(limits, m)) for m in self.measures()
        }

    def deduct(self, how: str, day: int) -> None:
        sums = self.sums(day)
        asked = self.met_by(self.rule_set.tiers[self.earned], how, sums, day)
        if asked is not None:
            self.carried = (day, self.above(asked, sums))
            self.counted_from = day + 1

    def carry_over_year(self, day: int) -> None:
        if isinstance(self.rule_set.window, rules.RollingMonths):
            return
        if self.year_first(day + 1) != day + 1:
            return
        sums = self.sums(day)
        tier = self.rule_set.tiers[self.best("attain", sums, day)]
        asked = self.met_by(tier, "attain", sums, day)
        if asked is not None and any(self.above(asked, sums).values()):
            self.carried = (day + 1, self.above(asked, sums))

    # What is in effect.

    def note_lifetime(self, day: int) -> None:
        found = self.highest_lifetime(day)
        self.fell = found < self.lifetime_tier
        self.lifetime_tier = found

    def assigned(self, kind: str, day: int) -> Sequence[tuple[int, int, int]]:
        """(from, place, end) of what the rule set knows."""
        codes = [tier.code for tier in self.rule_set.tiers]
        return [
            (grant.from_day, codes.index(grant.name), grant.end_day)
            for grant in self.granted(kind, day)
            if grant.name in codes
        ]

    def in_effect(self, day: int) -> int:
        exact = self.assigned("EXACTLY", day)
        if exact:
            return max(exact)[1]
        floors = [place for _, place, _ in self.assigned("AT_LEAST", day)]
        return max([self.earned, self.lifetime_tier, *floors])

    def end_in_effect(self, tier: int, day: int) -> int:
        exact = self.assigned("EXACTLY", day)
        if exact:
            return max(exact)[2]
        ends = [end for _, place, end in self.assigned("AT_LEAST", day) if place == tier]
        if self.earned == tier:
            ends.append(self.earned_until)
        if tier in (0, self.lifetime_tier):
            ends.append(FOREVER)
        return max(ends)

    def settle(self, effective: int, closed: int, grants_on: int, cause: str | None) -> None:
        tier = self.in_effect(grants_on)
        until = self.end_in_effect(tier, grants_on)
        renewed = cause == "RENEWED" and tier == self.tier == self.earned
        if tier != self.tier or renewed:
            why = "RENEWED" if tier == self.tier else self.why(tier, grants_on, cause)
            sums = self.sums(max(closed, self.first_day), closed)
            numbers = tuple(sums[measure] for measure in MEASURES)
            self.changes.append((effective, self.tier, tier, CAUSES[why], until, *numbers))
        if tier != self.tier:
            self.since = effective
            self.tiers[effective] = tier
        self.tier, self.until = tier, until

    def why(self, tier: int, day: int, cause: str | None) -> str:
        up = tier > self.tier
        floors = [place for _, place, _ in self.assigned("AT_LEAST", day)]
        if self.assigned("EXACTLY", day):
            return "ASSIGNED"
        if up and cause == "REACHED" and self.earned == tier:
            return "REACHED"
        if up and floors and max(floors) == tier:
            return "ASSIGNED"
        if up and self.lifetime_tier == tier:
            return "LIFETIME"
        if not up and cause == "LAPSED":
            return "LAPSED"
        return "LIFETIME_LOST" if not up and self.fell else "ASSIGNMENT_ENDED"


CAUSES = {
    "REACHED": 1,
    "RENEWED": 2,
    "LAPSED": 3,
    "ASSIGNED": 4,
    "ASSIGNMENT_ENDED": 5,
    "LIFETIME": 6,
    "LIFETIME_LOST": 7,
}
