"""Days as numbers: the months and years that windows and terms are made of.

A day counts from 1970-01-01. Where a month lacks a day, its last day stands for it.
"""

from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from services.tiering.domain.columns import Int32s, Int64s
from services.tiering.domain.rules import CalendarYear, RollingMonths, Window

EPOCH = date(1970, 1, 1)
MONTHS_PER_YEAR = 12
# What a replay over years asks again for every member and day.
DAYS_CACHED = 4096


@lru_cache(DAYS_CACHED)
def to_date(day: int) -> date:
    return EPOCH + timedelta(days=day)


def to_day(given: date) -> int:
    return (given - EPOCH).days


def day_of(year: int, month: int, day_of_month: int) -> int:
    """The day of a date; a month beyond December or before January is of another year."""
    years, month_index = divmod(month - 1, MONTHS_PER_YEAR)
    first = date(year + years, month_index + 1, 1)
    following = date(
        year + years + (month_index + 1) // MONTHS_PER_YEAR,
        (month_index + 1) % MONTHS_PER_YEAR + 1,
        1,
    )
    return to_day(first) + min(day_of_month, (following - first).days) - 1


@lru_cache(DAYS_CACHED)
def add_months(day: int, months: int) -> int:
    start = to_date(day)
    return day_of(start.year, start.month + months, start.day)


def first_counted(window: RollingMonths, day: int) -> int:
    """The first day that counts in a rolling window at the close of a day."""
    return add_months(day, -window.months) + 1


@lru_cache(DAYS_CACHED)
def leaving_day(window: RollingMonths, day: int) -> int:
    """The first day at whose close a row no longer counts."""
    leaves = add_months(day, window.months)
    while first_counted(window, leaves) <= day:
        leaves += 1
    return leaves


def year_begun(window: Window, day: int) -> int:
    """The year, by its number, in which the calendar year of a window began; else the day's."""
    given = to_date(day)
    first_month = window.first_month if isinstance(window, CalendarYear) else 1
    return given.year if given.month >= first_month else given.year - 1


def year_first_day(window: CalendarYear, year: int) -> int:
    return day_of(year, window.first_month, 1)


class Anniversaries:
    """The years of members that begin on each anniversary of the day they enrolled."""

    def __init__(self, enrolled: Int32s) -> None:
        dates = enrolled.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        self._month = months.astype(np.int64) % MONTHS_PER_YEAR
        self._day_of_month = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
        self._keys = (self._month * 32 + self._day_of_month).astype(np.int16)

    def beginning_on(self, day: int) -> Int64s:
        """The members whose year begins with this day."""
        today, tomorrow = to_date(day), to_date(day + 1)
        found = self._keys == (today.month - 1) * 32 + today.day
        if (today.month, today.day) == (2, 28) and tomorrow.day == 1:
            found |= self._keys == 32 + 29
        return np.flatnonzero(found)

    def first_days(self, members: Int64s, day: int, years_after: int = 0) -> Int64s:
        """The first day of the year of each that the day lies in, or of one so many later."""
        year = to_date(day).year
        months = (year - EPOCH.year) * MONTHS_PER_YEAR + self._month[members]
        not_yet = self._in_month(months, members) > day
        return self._in_month(months + (years_after - not_yet) * MONTHS_PER_YEAR, members)

    def _in_month(self, months: Int64s, members: Int64s) -> Int64s:
        first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        after = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        day_of_month: Int64s = np.minimum(self._day_of_month[members], after - first)
        return first + day_of_month - 1
