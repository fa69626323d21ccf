"""When a member has to be looked at again although nothing is added to their rows or grants."""

import numpy as np

from services.tiering.domain.calendar import (
    Anniversaries,
    day_of,
    leaving_day,
    to_date,
    year_begun,
    year_first_day,
)
from services.tiering.domain.columns import NEVER, Booleans, Int32s, Int64s
from services.tiering.domain.earned import EarnedTiers
from services.tiering.domain.grants import RunningGrants
from services.tiering.domain.rules import (
    Amounts,
    CalendarYear,
    KeptMonths,
    KeptToDate,
    RollingMonths,
    RuleSet,
    Window,
)
from services.tiering.domain.sums import WindowSums


def wake_days(
    rule_set: RuleSet,
    earned: EarnedTiers,
    sums: WindowSums,
    grants: RunningGrants,
    anniversaries: Anniversaries,
    day: int,
) -> Int32s:
    """The first close, from that of this day on, that may change something by itself."""
    count = len(earned.tier)
    wake: Int64s = grants.next_wake(day, count).astype(np.int64)
    for until in (earned.until, earned.reserve_until):
        np.minimum(wake, np.maximum(until - 1, day), out=wake, where=until != NEVER)
    ending = earned.until != NEVER
    if not isinstance(rule_set.keeping, KeptMonths):
        later = _year_begins(rule_set.window, anniversaries, day, count)
        if isinstance(rule_set.keeping, KeptToDate):
            later = np.minimum(later, _january_begins(day))
        np.minimum(wake, later, out=wake, where=ending)
    if isinstance(rule_set.window, RollingMonths):
        for left, members in sums.negative_rows(day):
            leaves = leaving_day(rule_set.window, left)
            wake[members] = np.minimum(wake[members], leaves)
    elif rule_set.carry_limit != Amounts():
        begins = _year_begins(rule_set.window, anniversaries, day, count)
        following = _year_begins(rule_set.window, anniversaries, day + 1, count)
        carried = (sums.carried_day == day) & (begins == day)
        np.minimum(wake, following - 1, out=wake, where=carried | _any_positive(sums))
        np.minimum(wake, day, out=wake, where=carried)
    return wake.astype(np.int32)


def _any_positive(sums: WindowSums) -> Booleans:
    positive: Booleans = np.logical_or.reduce([column > 0 for column in sums.columns])
    return positive


def _january_begins(day: int) -> int:
    """The first of January, from this day on."""
    given = to_date(day)
    first = given.month == 1 and given.day == 1
    return day if first else day_of(given.year + 1, 1, 1)


def _year_begins(window: Window, anniversaries: Anniversaries, day: int, count: int) -> Int64s:
    """The first day, from this on, with which a year of each member begins; NEVER if none does."""
    if isinstance(window, RollingMonths):
        return np.full(count, NEVER, np.int64)
    if isinstance(window, CalendarYear):
        year = year_begun(window, day - 1) + 1
        return np.full(count, year_first_day(window, year), np.int64)
    return anniversaries.first_days(np.arange(count), day - 1, 1)
