"""Months and years of days."""

import numpy as np
import pytest

from services.tiering.domain.calendar import (
    Anniversaries,
    add_months,
    first_counted,
    leaving_day,
    year_begun,
)
from services.tiering.domain.rules import CalendarYear, RollingMonths
from tests.unit.tiering_members import day
from tests.unit.tiering_story import shown


@pytest.mark.parametrize(
    ("start", "months", "then"),
    [
        ("2024-01-31", 1, "2024-02-29"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", -12, "2023-02-28"),
        ("2025-12-15", 1, "2026-01-15"),
        ("2025-01-15", -13, "2023-12-15"),
    ],
)
def test_day_a_month_lacks_is_its_last(start: str, months: int, then: str) -> None:
    assert shown(add_months(day(start), months)) == then


def test_row_leaves_on_the_first_day_that_does_not_count_it() -> None:
    window = RollingMonths(1)
    for counted in range(day("2024-01-01"), day("2025-04-01")):
        leaves = leaving_day(window, counted)
        assert first_counted(window, leaves) > counted >= first_counted(window, leaves - 1)


def test_year_is_named_for_where_it_begins() -> None:
    assert year_begun(CalendarYear(4), day("2026-03-31")) == 2025
    assert year_begun(CalendarYear(4), day("2026-04-01")) == 2026
    assert year_begun(RollingMonths(12), day("2026-03-31")) == 2026


def test_anniversary_of_29_february_is_28_february_in_other_years() -> None:
    leapling = Anniversaries(np.array([day("2024-02-29")], np.int32))
    only = np.array([0])
    begun = [leapling.first_days(only, day(on)).item() for on in ("2025-02-27", "2025-02-28")]
    assert [shown(first) for first in begun] == ["2024-02-29", "2025-02-28"]
    beginning = [
        shown(on)
        for on in range(day("2024-01-01"), day("2028-12-31"))
        if len(leapling.beginning_on(on))
    ]
    assert beginning == ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]
