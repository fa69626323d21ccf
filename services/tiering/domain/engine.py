"""Tiers from day to day: a slice of members under one rule set, from any day to any other.

A tier follows from a member's daily aggregates, grants and the rules alone, so one and the same
replay closes a day, takes in a late sale, brings a rule set into force and previews one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from services.tiering.domain.bars import Bars, lifetime_measures, window_measures
from services.tiering.domain.calendar import Anniversaries
from services.tiering.domain.columns import (
    LONG_AGO,
    Assignments,
    Booleans,
    Changes,
    Int32s,
    Int64s,
    MemberDays,
    MemberStates,
    new_states,
)
from services.tiering.domain.earned import NOBODY, EarnedTiers
from services.tiering.domain.effect import TiersInEffect
from services.tiering.domain.grants import RunningGrants
from services.tiering.domain.rules import (
    Amounts,
    Evaluation,
    Measure,
    RuleSet,
    lifetime_requirements,
)
from services.tiering.domain.sums import WindowSums, first_day_counted, totals_before
from services.tiering.domain.terms import Terms
from services.tiering.domain.waking import wake_days

NOTHING_BEGUN: Mapping[Measure, Int64s] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Advanced:
    """Members at the beginning of the day after to_day, and what happened to them on the way.

    sums are what counts in the window at the close of to_day, one number a member; where no day
    was closed, what counts of the window of from_day. Measures the rule set has no threshold on
    are zero, here and in the changes.
    """

    states: MemberStates
    changes: Changes
    sums: dict[Measure, Int64s]


def rows_needed_from(rule_set: RuleSet, from_day: int) -> int:
    """The first day whose rows advance() has to be given."""
    return first_day_counted(rule_set.window, from_day)


def rows_needed_to_replay(rule_set: RuleSet, from_day: int) -> int:
    """The first day whose rows replay() has to be given; LONG_AGO where all of them count."""
    if lifetime_requirements(rule_set):
        return LONG_AGO
    return first_day_counted(rule_set.window, from_day)


def measures_needed(rule_set: RuleSet) -> set[Measure]:
    """Which sums of a day replay() looks at."""
    return {*window_measures(rule_set), *lifetime_measures(rule_set)}


def advance(
    rule_set: RuleSet,
    states: MemberStates,
    member_days: MemberDays,
    assignments: Assignments,
    *,
    from_day: int,
    to_day: int,
    begun: Mapping[Measure, Int64s] = NOTHING_BEGUN,
) -> Advanced:
    """Close the days from from_day to to_day for the members given.

    states stand at the beginning of from_day. Rows before rows_needed_from() do no harm. Closing
    one day of many members, only those need be given who have a row of it, whose wake_day has
    come, or whose grants were changed: nothing happens to others. begun is what counts in the
    window of from_day though no row of it is given: where sums follow_on(), and of the rows no
    day's sum is negative, they need not be read again.
    """
    days = range(from_day, to_day + 1)
    return _Run(rule_set, states, member_days, assignments, days, begun).advance()


def replay(
    rule_set: RuleSet,
    enrolled: Int32s,
    member_days: MemberDays,
    assignments: Assignments,
    *,
    from_day: int,
    to_day: int,
) -> Advanced:
    """From scratch: members begin in the first tier on from_day, and the days to to_day close.

    Windows look back before from_day, and so do sums of all time. A rule set that is published
    with a replay gives every member this, and so does a correction of any past day.
    """
    states = new_states(enrolled)
    if lifetime_requirements(rule_set):
        points, spend_minor, visits = totals_before(member_days, len(enrolled), from_day)
        states = replace(
            states,
            lifetime_points=points,
            lifetime_spend_minor=spend_minor,
            lifetime_visits=visits,
        )
    return advance(rule_set, states, member_days, assignments, from_day=from_day, to_day=to_day)


class _Run:
    """The days of a replay, one after the other."""

    def __init__(
        self,
        rule_set: RuleSet,
        states: MemberStates,
        member_days: MemberDays,
        assignments: Assignments,
        days: range,
        begun: Mapping[Measure, Int64s],
    ) -> None:
        self._rule_set, self._states, self._member_days = rule_set, states, member_days
        self._days = days
        self._count = len(states.tier)
        self._carries = rule_set.carry_limit != Amounts()
        self._rises_at_event = rule_set.evaluation is Evaluation.AT_EVENT
        self._anniversaries = anniversaries = Anniversaries(states.enrolled)
        self._grants = RunningGrants(rule_set, assignments, self._count)
        self._sums = WindowSums(rule_set, states, anniversaries, member_days, days, begun)
        bars = Bars(rule_set, self._grants)
        self._terms = Terms(rule_set, anniversaries)
        self._earned = EarnedTiers(rule_set, states, bars, self._terms, self._sums)
        self._grants.start(days.start)
        self._effect = TiersInEffect(states, self._earned, self._grants, bars, self._sums)

    def advance(self) -> Advanced:
        # What was assigned or revoked since the last close counts from this day on.
        self._effect.settle(np.arange(self._count), self._days.start)
        # Other rules may ask for less than the sums a member already has.
        touched = np.ones(self._count, np.bool_)
        for day in self._days:
            self._close(day, touched)
            touched[:] = False
        return self._finish()

    def _close(self, day: int, touched: Booleans) -> None:
        """touched: the members to look at besides those whom the day itself concerns."""
        self._sums.move_to(day, touched)
        touched[self._grants.counting_on(day)] = True
        touched |= self._earned.due(day)
        members = np.flatnonzero(touched)
        concerned = self._evaluate(members, day) if len(members) else NOBODY
        concerned = np.concatenate([concerned, self._grants.in_effect_on(day + 1)])
        if len(concerned):
            self._effect.settle(np.unique(concerned), day + 1)
        if self._carries:
            self._earned.carry_over_year(self._sums.year_ends_with(day), day)

    def _evaluate(self, members: Int64s, day: int) -> Int64s:
        """What members earned by the close of a day; those whose tier in effect may follow."""
        # Sums of all time may have moved for anybody with a row.
        lived = members if self._sums.lifetimes else NOBODY
        rising = self._earned.reach(members, day)
        if self._rises_at_event:
            self._effect.settle(np.union1d(rising, lived), day, rising_only=True)
        asked = self._earned.keep_or_lose(members, day)
        return np.concatenate([lived, rising, asked])

    def _wake_days(self) -> Int32s:
        wake = wake_days(
            self._rule_set,
            self._earned,
            self._sums,
            self._grants,
            self._anniversaries,
            self._days.stop,
        )
        # Where no day was closed, whoever was due still is.
        return wake if self._days else np.minimum(wake, self._states.wake_day)

    def _finish(self) -> Advanced:
        earned, effect, sums = self._earned, self._effect, self._sums
        lifetimes = dict(zip(lifetime_measures(self._rule_set), sums.lifetimes, strict=True))
        states = MemberStates(
            enrolled=self._states.enrolled,
            tier=effect.tier,
            since=effect.since,
            until=effect.until,
            earned=earned.tier,
            earned_since=earned.since,
            earned_until=earned.until,
            reserve=earned.reserve,
            reserve_until=earned.reserve_until,
            counted_from=sums.counted_from,
            carried_day=sums.carried_day,
            carried_points=sums.carried[Measure.POINTS],
            carried_spend_minor=sums.carried[Measure.SPEND],
            carried_visits=sums.carried[Measure.VISITS],
            lifetime_points=lifetimes.get(Measure.POINTS, self._states.lifetime_points),
            lifetime_spend_minor=lifetimes.get(Measure.SPEND, self._states.lifetime_spend_minor),
            lifetime_visits=lifetimes.get(Measure.VISITS, self._states.lifetime_visits),
            wake_day=self._wake_days(),
        )
        nothing = np.zeros(self._count, np.int64)
        summed = dict(zip(sums.measures, sums.columns, strict=True))
        return Advanced(states, effect.changes(), {m: summed.get(m, nothing) for m in Measure})
