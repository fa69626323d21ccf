"""Sums of a window, moved on from day to day: what comes in, what falls out, what begins anew."""

from collections.abc import Iterator, Mapping

import numpy as np

from services.tiering.domain.bars import Columns, lifetime_measures, window_measures
from services.tiering.domain.calendar import (
    Anniversaries,
    first_counted,
    year_begun,
    year_first_day,
)
from services.tiering.domain.columns import (
    LONG_AGO,
    Booleans,
    Int32s,
    Int64s,
    MemberDays,
    MemberStates,
)
from services.tiering.domain.rules import (
    Amounts,
    CalendarYear,
    Counting,
    Measure,
    RollingMonths,
    RuleSet,
    Window,
)

# A year and the day that makes it a leap year: no anniversary year is longer.
YEAR_DAYS_MAX = 366


def first_day_counted(window: Window, day: int) -> int:
    """The first day that may count for any member at the close of a day."""
    if isinstance(window, RollingMonths):
        return first_counted(window, day)
    if isinstance(window, CalendarYear):
        return year_first_day(window, year_begun(window, day))
    return day - YEAR_DAYS_MAX + 1


def follow_on(rule_set: RuleSet) -> bool:
    """Whether the sums at a close follow from those at an earlier one and the days that came into
    the window since or fell out of it, as long as no day's sum was negative.
    """
    shared = isinstance(rule_set.window, RollingMonths | CalendarYear)
    return shared and rule_set.counting is Counting.KEPT and rule_set.carry_limit == Amounts()


def columns_of(source: MemberDays, measures: tuple[Measure, ...]) -> Columns:
    given = {
        Measure.POINTS: source.points,
        Measure.SPEND: source.spend_minor,
        Measure.VISITS: source.visits,
    }
    return tuple(given[measure] for measure in measures)


def totals_before(member_days: MemberDays, count: int, day: int) -> list[Int64s]:
    """The sums of each measure over all days before one, one number a member."""
    bounds = np.searchsorted(member_days.member, np.arange(count + 1, dtype=np.int32))
    summed = []
    for column in columns_of(member_days, tuple(Measure)):
        running = np.zeros(len(column) + 1, np.int64)
        np.cumsum(np.where(member_days.day < day, column, 0), out=running[1:])
        summed.append(running[bounds[1:]] - running[bounds[:-1]])
    return summed


class RowsByDay:
    """The rows of some days, those of a day together."""

    def __init__(
        self,
        member_days: MemberDays,
        measures: tuple[Measure, ...],
        lifetimes: tuple[Measure, ...],
        days: range,
    ) -> None:
        chosen = np.flatnonzero((member_days.day >= days.start) & (member_days.day < days.stop))
        nth = member_days.day[chosen] - days.start
        # Numbers of two bytes are sorted in linear time.
        small = nth.astype(np.int16) if len(days) <= np.iinfo(np.int16).max else nth
        order = chosen[np.argsort(small, kind="stable")]
        counts = np.bincount(nth, minlength=len(days))
        self._first_day = days.start
        self._bounds = [0, *np.cumsum(counts).tolist()]
        self._member: Int64s = member_days.member[order].astype(np.int64)
        self._columns = tuple(c[order] for c in columns_of(member_days, measures))
        self._lifetimes = tuple(c[order] for c in columns_of(member_days, lifetimes))
        self.any_negative = any(bool((column < 0).any()) for column in self._columns)

    def between(self, first: int, last: int) -> slice:
        """Where the rows of the days from first to last stand."""
        days = len(self._bounds) - 1
        start = min(max(first - self._first_day, 0), days)
        stop = min(max(last + 1 - self._first_day, start), days)
        return slice(self._bounds[start], self._bounds[stop])

    def days(self, where: slice) -> Int64s:
        days = np.arange(self._first_day, self._first_day + len(self._bounds) - 1)
        return np.repeat(days, np.diff(self._bounds))[where]

    def members(self, where: slice) -> Int64s:
        return self._member[where]

    def columns(self, where: slice) -> Columns:
        return tuple(column[where] for column in self._columns)

    def lifetimes(self, where: slice) -> Columns:
        return tuple(column[where] for column in self._lifetimes)


class WindowSums:
    """What counts for each member at the close of a day; moved on one day at a time."""

    def __init__(
        self,
        rule_set: RuleSet,
        states: MemberStates,
        anniversaries: Anniversaries,
        member_days: MemberDays,
        days: range,
        begun: Mapping[Measure, Int64s],
    ) -> None:
        """begun is what counts in the window of the first day though no row of it is given."""
        self.measures = window_measures(rule_set)
        lifetimes = lifetime_measures(rule_set)
        self._window = rule_set.window
        self._anniversaries = anniversaries
        self._count = len(states.tier)
        first = first_day_counted(rule_set.window, days.start)
        self._rows = RowsByDay(member_days, self.measures, lifetimes, range(first, days.stop))
        self.counted_from: Int32s = states.counted_from.copy()
        self.carried_day: Int32s = states.carried_day.copy()
        carried = (states.carried_points, states.carried_spend_minor, states.carried_visits)
        self.carried = {m: c.copy() for m, c in zip(Measure, carried, strict=True)}
        self._restarts = rule_set.counting is Counting.DEDUCTED or bool(
            (self.counted_from > LONG_AGO).any()
        )
        so_far = (states.lifetime_points, states.lifetime_spend_minor, states.lifetime_visits)
        by_measure = dict(zip(Measure, so_far, strict=True))
        self.lifetimes: Columns = tuple(by_measure[m].copy() for m in lifetimes)
        self._first_day = days.start
        nothing = np.zeros(self._count, np.int64)
        self.columns: Columns = tuple(begun.get(m, nothing).copy() for m in self.measures)
        # Who has something carried on a day that may fall out of a rolling window.
        self._carried_on: dict[int, list[Int64s]] = {}
        self._begin(first)

    def take(self, members: Int64s) -> Columns:
        return tuple(column[members] for column in self.columns)

    def move_to(self, day: int, touched: Booleans) -> None:
        """On to the close of the next day. Marks whom that may have brought anything but less."""
        if day > self._first_day:
            self._drop(day, touched)
        where = self._rows.between(day, day)
        members = self._rows.members(where)
        for column, amounts in zip(self.columns, self._rows.columns(where), strict=True):
            column[members] += amounts
        for column, amounts in zip(self.lifetimes, self._rows.lifetimes(where), strict=True):
            column[members] += amounts
        touched[members] = True

    def restart(self, members: Int64s, day: int, carried: Columns) -> None:
        """Counting begins anew after the close of a day, with what is carried."""
        self.carry(members, day, carried)
        self.counted_from[members] = day + 1
        self._carried_on.setdefault(day, []).append(members)
        for column, amounts in zip(self.columns, carried, strict=True):
            column[members] = amounts

    def carry(self, members: Int64s, day: int, carried: Columns) -> None:
        """Counts these amounts as earned on a day; sums that hold the day already stay."""
        self.carried_day[members] = day
        for measure, amounts in zip(self.measures, carried, strict=True):
            self.carried[measure][members] = amounts

    def year_ends_with(self, day: int) -> Int64s:
        """The members whose year ends with this day."""
        if isinstance(self._window, RollingMonths):
            return np.zeros(0, np.int64)
        if isinstance(self._window, CalendarYear):
            begins = first_day_counted(self._window, day + 1) == day + 1
            return np.arange(self._count if begins else 0)
        return self._anniversaries.beginning_on(day + 1)

    def negative_rows(self, before_day: int) -> Iterator[tuple[int, Int64s]]:
        """Days whose rows may have counted at the last close, and whose sums have a negative."""
        first = first_day_counted(self._window, before_day - 1)
        for day in range(first, before_day) if self._rows.any_negative else ():
            where = self._rows.between(day, day)
            negative = np.logical_or.reduce([c < 0 for c in self._rows.columns(where)])
            if negative.any():
                yield day, self._rows.members(where)[negative]

    def _begin(self, first: int) -> None:
        """The sums of the window of the first day, without that day's own rows."""
        everybody = np.arange(self._count)
        begun: Int64s = np.full(self._count, first, np.int64)
        if not isinstance(self._window, RollingMonths | CalendarYear):
            begun = self._anniversaries.first_days(everybody, self._first_day)
        where = self._rows.between(first, self._first_day - 1)
        members, days = self._rows.members(where), self._rows.days(where)
        counts = (self.counted_from[members] <= days) & (begun[members] <= days)
        for column, amounts in zip(self.columns, self._rows.columns(where), strict=True):
            np.add.at(column, members[counts], amounts[counts])
        holders = np.flatnonzero(self.carried_day >= begun)
        for measure, column in zip(self.measures, self.columns, strict=True):
            column[holders] += self.carried[measure][holders]
        for carried_day in np.unique(self.carried_day[holders]).tolist():
            self._carried_on[carried_day] = [holders[self.carried_day[holders] == carried_day]]

    def _drop(self, day: int, touched: Booleans) -> None:
        if isinstance(self._window, RollingMonths):
            first_before = first_counted(self._window, day - 1)
            for left in range(first_before, first_counted(self._window, day)):
                self._leave(left, touched)
            return
        beginning = self.year_ends_with(day - 1)
        if not len(beginning):
            return
        carried = self.carried_day[beginning] == day
        for measure, column in zip(self.measures, self.columns, strict=True):
            column[beginning] = np.where(carried, self.carried[measure][beginning], 0)
        touched[beginning] = True

    def _leave(self, left: int, touched: Booleans) -> None:
        where = self._rows.between(left, left)
        members, columns = self._rows.members(where), self._rows.columns(where)
        if self._restarts:
            counts = self.counted_from[members] <= left
            members, columns = members[counts], tuple(c[counts] for c in columns)
        for column, amounts in zip(self.columns, columns, strict=True):
            column[members] -= amounts
            if self._rows.any_negative:
                touched[members[amounts < 0]] = True
        for holders in self._carried_on.pop(left, []):
            still = holders[self.carried_day[holders] == left]
            for measure, column in zip(self.measures, self.columns, strict=True):
                column[still] -= self.carried[measure][still]
