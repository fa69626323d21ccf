"""When points can be spent and when they expire, by every kind of policy."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.point_life import (
    FOREVER,
    MICROS_PER_DAY,
    NO_LIMITS,
    Expiry,
    PointLife,
    Term,
    anniversary_from,
    day_number,
    expire_time,
    lives_until,
    months_later,
    period_end,
    term,
)
from tests.unit.ledger_baskets import micros


def expires(
    expiry: Expiry, count: int, earned: str, enrolled: str = "", *, last_day_counts: bool = False
) -> str:
    """When points earned at a time expire, to the second."""
    life = PointLife(expiry=expiry, expiry_count=count, last_day_counts=last_day_counts)
    enrol_day = a_day(enrolled) if enrolled else None
    found = expire_time(life, micros(f"{earned}+00:00"), enrol_day)
    assert found is not None
    return datetime.fromtimestamp(found // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def a_day(text: str) -> int:
    return day_number(date.fromisoformat(text))


def as_text(day: int) -> str:
    return date.fromordinal(day + date(1970, 1, 1).toordinal()).isoformat()


def test_points_that_never_expire_have_no_time() -> None:
    assert expire_time(NO_LIMITS, 0, None) is None
    assert term(NO_LIMITS, 0, None) == FOREVER


@pytest.mark.parametrize("instant", ["00:00:00", "10:20:30", "23:59:59"])
def test_days_are_counted_from_the_day_whatever_the_time(instant: str) -> None:
    assert expires(Expiry.DAYS, 30, f"2026-01-31T{instant}") == "2026-03-02T00:00:00"
    assert expires(Expiry.DAYS, 365, f"2024-02-29T{instant}") == "2025-02-28T00:00:00"


@pytest.mark.parametrize(
    ("expiry", "count", "without", "counting"),
    [
        (Expiry.DAYS, 1, "2026-04-01T00:00:00", "2026-04-02T00:00:00"),
        (Expiry.MONTHS, 3, "2026-06-30T00:00:00", "2026-07-01T00:00:00"),
        (Expiry.ANNIVERSARY, 3, "2027-03-31T00:00:00", "2027-04-01T00:00:00"),
        # These end with a day in any case.
        (Expiry.MONTH_END, 3, "2026-07-01T00:00:00", "2026-07-01T00:00:00"),
        (Expiry.QUARTER_END, 3, "2026-07-01T00:00:00", "2026-07-01T00:00:00"),
        (Expiry.YEAR_END, 3, "2027-01-01T00:00:00", "2027-01-01T00:00:00"),
        (Expiry.INACTIVITY, 3, "2026-07-01T00:00:00", "2026-07-01T00:00:00"),
    ],
)
def test_points_can_be_spent_on_their_last_day_where_it_counts(
    expiry: Expiry, count: int, without: str, counting: str
) -> None:
    earned = "2026-03-31T10:00:00"
    assert expires(expiry, count, earned) == without
    assert expires(expiry, count, earned, last_day_counts=True) == counting


@pytest.mark.parametrize(
    ("earned", "months", "until"),
    [
        ("2026-01-15", 1, "2026-02-15"),
        ("2026-01-31", 1, "2026-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", 48, "2028-02-29"),
        ("2026-08-31", 6, "2027-02-28"),
        ("2026-12-31", 2, "2027-02-28"),
        ("2096-02-29", 48, "2100-02-28"),
    ],
)
def test_months_end_on_the_same_day_or_the_last_of_the_month(
    earned: str, months: int, until: str
) -> None:
    assert expires(Expiry.MONTHS, months, f"{earned}T08:00:00") == f"{until}T00:00:00"


@pytest.mark.parametrize(
    ("expiry", "earned", "months", "until"),
    [
        (Expiry.MONTH_END, "2026-01-31T08:00:00", 1, "2026-03-01T00:00:00"),
        (Expiry.MONTH_END, "2024-01-31T08:00:00", 1, "2024-03-01T00:00:00"),
        (Expiry.MONTH_END, "2026-12-01T00:00:00", 0, "2027-01-01T00:00:00"),
        (Expiry.QUARTER_END, "2026-01-01T00:00:00", 0, "2026-04-01T00:00:00"),
        (Expiry.QUARTER_END, "2026-03-31T23:59:59", 0, "2026-04-01T00:00:00"),
        (Expiry.QUARTER_END, "2026-03-31T23:59:59", 1, "2026-07-01T00:00:00"),
        (Expiry.QUARTER_END, "2026-11-30T08:00:00", 12, "2028-01-01T00:00:00"),
        (Expiry.YEAR_END, "2026-01-01T00:00:00", 0, "2027-01-01T00:00:00"),
        (Expiry.YEAR_END, "2026-12-31T23:59:59", 12, "2028-01-01T00:00:00"),
    ],
)
def test_a_period_ends_with_its_last_day(
    expiry: Expiry, earned: str, months: int, until: str
) -> None:
    assert expires(expiry, months, earned) == until


@pytest.mark.parametrize(
    ("enrolled", "earned", "until"),
    [
        ("2020-06-15", "2026-06-14T08:00:00", "2027-06-15T00:00:00"),
        ("2020-06-15", "2026-06-15T08:00:00", "2027-06-15T00:00:00"),
        ("2020-06-15", "2026-06-16T08:00:00", "2028-06-15T00:00:00"),
        ("2020-02-29", "2026-01-10T08:00:00", "2027-02-28T00:00:00"),
        ("2020-02-29", "2027-01-10T08:00:00", "2028-02-29T00:00:00"),
        ("2020-02-29", "2027-02-28T08:00:00", "2028-02-29T00:00:00"),
        ("2020-02-29", "2026-03-01T08:00:00", "2028-02-29T00:00:00"),
        # Nobody enrolled: the day they were earned stands for it.
        ("", "2026-05-31T08:00:00", "2027-05-31T00:00:00"),
        ("", "2024-02-29T08:00:00", "2025-02-28T00:00:00"),
    ],
)
def test_an_anniversary_is_the_first_after_the_months(
    enrolled: str, earned: str, until: str
) -> None:
    assert expires(Expiry.ANNIVERSARY, 12, earned, enrolled) == until


def test_of_29_february_the_anniversary_is_the_28th_in_other_years() -> None:
    enrolled = a_day("2024-02-29")
    found = [
        as_text(anniversary_from(a_day(f"{year}-01-01"), enrolled)) for year in range(2025, 2029)
    ]
    assert found == ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]


def test_points_of_the_inactive_end_with_a_day() -> None:
    assert expires(Expiry.INACTIVITY, 6, "2026-08-31T08:00:00") == "2027-03-01T00:00:00"


def test_activity_prolongs_and_never_shortens() -> None:
    expiry = a_day("2027-03-01") * MICROS_PER_DAY
    assert lives_until(expiry, 6, None) == expiry
    assert lives_until(expiry, 0, a_day("2027-02-01")) == expiry
    assert lives_until(expiry, 6, a_day("2026-08-30")) == expiry
    assert lives_until(expiry, 6, a_day("2026-10-31")) == a_day("2027-05-01") * MICROS_PER_DAY


def test_the_term_of_points_says_when_they_can_be_spent_and_whether_activity_prolongs() -> None:
    life = PointLife(pending_days=14, expiry=Expiry.INACTIVITY, expiry_count=2)
    assert term(life, 5, None) == Term(
        14 * MICROS_PER_DAY + 5, a_day("1970-03-02") * MICROS_PER_DAY, 2
    )
    at_once = PointLife(expiry=Expiry.DAYS, expiry_count=1)
    assert term(at_once, 5, None) == Term(None, MICROS_PER_DAY, 0)
    for_ever = PointLife(pending_days=1)
    assert term(for_ever, 5, None) == Term(MICROS_PER_DAY + 5, None, 0)


def test_a_month_later_is_the_same_day_or_the_last_of_the_next_month() -> None:
    for day in range(a_day("1999-12-01"), a_day("2100-01-01")):
        found = as_text(months_later(day, 1))
        year, month, of_month = map(int, as_text(day).split("-"))
        expected_month = month % 12 + 1
        assert found[:7] == f"{year + month // 12:04}-{expected_month:02}"
        assert int(found[8:]) == of_month or as_text(a_day(found) + 1).endswith("-01")


def test_a_period_end_lies_in_the_same_period_and_the_next_day_does_not() -> None:
    for day in range(a_day("2023-12-30"), a_day("2025-01-03")):
        for kind, months in ((Expiry.MONTH_END, 1), (Expiry.QUARTER_END, 3), (Expiry.YEAR_END, 12)):
            end = period_end(day, kind)
            assert end >= day
            assert period_of(end, months) == period_of(day, months)
            assert period_of(end + 1, months) == period_of(day, months) + 1


def period_of(day: int, months: int) -> int:
    """The number of the period of so many months that a day lies in."""
    year, month, _ = map(int, as_text(day).split("-"))
    return (year * 12 + month - 1) // months


LIVES = st.builds(
    PointLife,
    pending_days=st.sampled_from((0, 14)),
    expiry=st.sampled_from(Expiry),
    expiry_count=st.integers(1, 13),
    last_day_counts=st.booleans(),
)
TIMES = st.integers(18_000 * MICROS_PER_DAY, 18_003 * MICROS_PER_DAY)
ENROLMENTS = st.none() | st.integers(17_990, 18_000)


@given(life=LIVES, times=st.lists(TIMES, min_size=2), enrol_day=ENROLMENTS)
def test_a_term_is_that_of_its_own_time_whatever_was_asked_before(
    life: PointLife, times: list[int], enrol_day: int | None
) -> None:
    for time in times:
        assert term(life, time, enrol_day) == Term(
            time + life.pending_days * MICROS_PER_DAY if life.pending_days else None,
            expire_time(life, time, enrol_day),
            life.expiry_count if life.expiry is Expiry.INACTIVITY else 0,
        )
