"""When the term of a tier ends, and on which days that answer changes."""

import numpy as np

from services.tiering.domain.calendar import (
    Anniversaries,
    add_months,
    day_of,
    leaving_day,
    to_date,
    year_begun,
    year_first_day,
)
from services.tiering.domain.columns import Int64s
from services.tiering.domain.rules import (
    CalendarYear,
    Keeping,
    KeptMonths,
    KeptToDate,
    RollingMonths,
    RuleSet,
)


class Terms:
    """The ends of the terms of a rule set, for members with these anniversaries."""

    def __init__(self, rule_set: RuleSet, anniversaries: Anniversaries) -> None:
        self._window = rule_set.window
        self._keeping = rule_set.keeping
        self._after_downgrade = rule_set.keeping_after_downgrade or rule_set.keeping
        self._anniversaries = anniversaries

    @property
    def asked_at_end_only(self) -> bool:
        """Whether a term is renewed at its end alone; others are whenever it would be later."""
        return isinstance(self._keeping, KeptMonths)

    def ends(self, members: Int64s, day: int) -> Int64s:
        """The ends of terms that the close of a day gives."""
        return self._ends(self._keeping, members, day)

    def ends_after_downgrade(self, members: Int64s, day: int) -> Int64s:
        return self._ends(self._after_downgrade, members, day)

    def _ends(self, keeping: Keeping, members: Int64s, day: int) -> Int64s:
        if isinstance(keeping, KeptMonths):
            end = add_months(day + 1, keeping.months)
            # In short months it would come a day before what reached the tier counts no more,
            # which would then keep it for a second term.
            end = max(end, leaving_day(RollingMonths(keeping.months), day) + 1)
            return np.full(len(members), end, np.int64)
        if isinstance(keeping, KeptToDate):
            year = year_begun(self._window, day) + keeping.years_after
            end = day_of(year, keeping.month, keeping.day) + 1
            return np.full(len(members), end, np.int64)
        if isinstance(self._window, CalendarYear):
            year = year_begun(self._window, day) + 1 + keeping.years_after
            return np.full(len(members), year_first_day(self._window, year), np.int64)
        return self._anniversaries.first_days(members, day, 1 + keeping.years_after)

    def begins_later_end(self, day: int) -> bool:
        """Whether terms given from this day's close on end later than those given before."""
        if not isinstance(self._keeping, KeptToDate):
            # Of the other kinds it changes for those whose year begins, whose sums change too.
            return False
        given = to_date(day)
        return given.month == 1 and given.day == 1
