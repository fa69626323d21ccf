"""Sums that one close keeps for the next: they say what all rows of the window would."""

import random

import pytest
from loyalty.tiering.v1 import rules_pb2

from tests.service.tiering_calls import (
    ADJUSTMENT,
    Posted,
    Tiering,
    classic,
    days,
    sales,
    with_thresholds,
)

NUMBERS = range(1, 5)
# Who does the same as another, of whom nothing is kept.
TWIN = 4
ROLLING = rules_pb2.Window(rolling_months=rules_pb2.RollingMonths(months=1))
CALENDAR = rules_pb2.Window(calendar_year=rules_pb2.CalendarYear(first_month=2))
# The sums that are kept beside those of the rows that counted, of whom they differ.
WRONG_SUMS = """
    SELECT member, day, points, summed FROM window_sums CROSS JOIN LATERAL (
        SELECT sum(points) AS summed FROM activity AS a
        WHERE a.member = window_sums.member AND a.day <= window_sums.day
          AND date '1970-01-01' + a.day >= {first}
    ) AS counted WHERE points <> summed"""
CLOSED_DATE = "(date '1970-01-01' + window_sums.day)"
ROLLING_FIRST = f"({CLOSED_DATE} - interval '1 month')::date + 1"
CALENDAR_FIRST = (
    f"CASE WHEN {CLOSED_DATE} < '2017-02-01' THEN date '2016-02-01' ELSE '2017-02-01' END"
)
STATES = "tier, since, until, earned, earned_since, earned_until, reserve, reserve_until, wake_day"


def by_chance(chance: random.Random, today: str, earlier: list[str]) -> list[tuple[int, str, int]]:
    """What some members earn on a day, and now and then on one that is closed."""
    told = []
    for number in NUMBERS:
        if chance.random() < 0.4:
            told.append((number, today, chance.choice([30, 60, 90])))
        if number > 2 and earlier and chance.random() < 0.06:
            told.append((number, chance.choice([today, *earlier]), chance.choice([-100, 50])))
    return told


@pytest.mark.parametrize(
    ("window", "first"),
    [(ROLLING, ROLLING_FIRST), (CALENDAR, CALENDAR_FIRST)],
    ids=["rolling months", "calendar year"],
)
async def test_closes_from_kept_sums_decide_what_closes_from_all_rows_do(
    tiering: Tiering, window: rules_pb2.Window, first: str
) -> None:
    rules = with_thresholds(silver=400, gold=600, platinum=800)
    rules.window.CopyFrom(window)
    rules.keeping.months.months = 1
    await tiering.in_force(rules)
    tiering.join(*NUMBERS, *(number + TWIN for number in NUMBERS))
    chance = random.Random(5)  # noqa: S311 — the same chance in every run is what is wanted
    closed: list[str] = []
    kept = 0
    for day in days("2017-01-01", "2017-02-14"):
        for number, on, points in by_chance(chance, day, closed):
            tiering.post(*(Posted(each, on, points) for each in (number, number + TWIN)))
        await tiering.close_day(day)
        closed.append(day)
        assert tiering.rows(WRONG_SUMS.format(first=first)) == []
        tiering.rows(f"DELETE FROM window_sums WHERE member > {TWIN} RETURNING 1")
        ((count,),) = tiering.rows("SELECT count(*) FROM window_sums")
        kept += count
    assert kept > len(closed)
    states = {row[0]: row[1:] for row in tiering.rows(f"SELECT member, {STATES} FROM states")}
    changes = tiering.rows(
        "SELECT member, effective_day, old_tier, new_tier, cause, points FROM tier_changes"
    )
    for number in NUMBERS:
        assert states[number] == states[number + TWIN]
        mine, theirs = (
            [row[1:] for row in changes if row[0] == who] for who in (number, number + TWIN)
        )
        assert mine == theirs
    assert len(changes) > len(NUMBERS)


async def test_sums_are_kept_of_whom_no_day_took_away(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1, 2)
    tiering.post(*sales(1, [("2017-01-01", 300)]), *sales(2, [("2017-01-01", 40)]))
    await tiering.close_day("2017-01-01")
    tiering.post(Posted(2, "2017-01-02", -10, visits=0, type=ADJUSTMENT))
    tiering.post(*sales(1, [("2017-01-02", 50)]))
    await tiering.close_day("2017-01-02")
    # Measures that no tier asks for are not summed.
    assert tiering.rows("SELECT member, day, points, visits FROM window_sums") == [
        (1, 17168, 350, 0)
    ]


async def test_a_rule_set_that_comes_into_force_begins_without_sums(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(*sales(1, [("2017-01-01", 300)]))
    await tiering.close_day("2017-02-08")
    shorter = await tiering.draft(classic(window=ROLLING))
    await tiering.publish(shorter, "2017-02-10")
    await tiering.close_day("2017-02-09")
    assert tiering.rows("SELECT 1 FROM window_sums") == []
    tiering.post(*sales(1, [("2017-02-10", 250)]))
    await tiering.close_day("2017-02-10")
    assert tiering.changes() == []
    assert tiering.rows("SELECT points FROM window_sums") == [(250,)]
