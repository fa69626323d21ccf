"""Tiers from day to day: what takes effect when, and what lifts or bars it."""

import msgspec
import numpy as np

from services.tiering.domain.columns import NEVER, GrantKind, new_states, no_assignments
from services.tiering.domain.engine import advance, replay, rows_needed_from, rows_needed_to_replay
from services.tiering.domain.rules import (
    Amounts,
    Bar,
    CalendarYear,
    Counting,
    Downgrade,
    Evaluation,
    KeptMonths,
    Requirement,
    RollingMonths,
    RuleSet,
    Tier,
)
from tests.unit.test_tiering_programmes import AIRLINE, CLASSIC, HOTEL, spend
from tests.unit.tiering_members import (
    Grant,
    Person,
    Row,
    assignments,
    change_rows,
    day,
    enrolled,
    member_days,
)
from tests.unit.tiering_story import shown, story

SHORT: RuleSet = msgspec.structs.replace(CLASSIC, window=RollingMonths(2), keeping=KeptMonths(2))

HARD_LANDING: RuleSet = msgspec.structs.replace(
    AIRLINE, downgrade=Downgrade.FULL, keeping_after_downgrade=None
)


def changed(rule_set: RuleSet, **settings: object) -> RuleSet:
    result: RuleSet = msgspec.structs.replace(rule_set, **settings)
    return result


def test_at_the_event_the_tier_begins_the_same_day() -> None:
    at_event = changed(SHORT, evaluation=Evaluation.AT_EVENT)
    assert story(at_event, {"2024-03-05": Row(points=500)}, end="2024-06-01") == [
        "2024-03-05 base>silver reached, to 2024-05-05",
        "2024-05-06 silver>base lapsed",
    ]


def test_grace_lets_a_member_stay_who_is_late() -> None:
    rows = {"2024-03-05": Row(points=500), "2024-05-20": Row(points=500)}
    graceful = changed(SHORT, grace_days=15)
    assert story(graceful, rows, end="2024-05-31") == [
        "2024-03-06 base>silver reached, to 2024-05-05",
        "2024-05-21 silver>silver renewed, to 2024-07-20",
    ]
    assert story(changed(SHORT, grace_days=14), rows, end="2024-05-31") == [
        "2024-03-06 base>silver reached, to 2024-05-05",
        "2024-05-20 silver>base lapsed",
        "2024-05-21 base>silver reached, to 2024-07-20",
    ]


def test_without_downgrade_a_tier_has_no_end() -> None:
    keeping = changed(SHORT, downgrade=Downgrade.NONE)
    assert story(keeping, {"2024-03-05": Row(points=500)}, end="2026-01-01") == [
        "2024-03-06 base>silver reached"
    ]


def test_deducted_threshold_counts_no_more_and_the_overflow_counts_up_to_its_limit() -> None:
    rows = {"2024-03-05": Row(points=900), "2024-03-20": Row(points=1_200)}
    deducted = changed(SHORT, counting=Counting.DEDUCTED, carry_limit=Amounts(points=300))
    assert story(deducted, rows, end="2024-04-01") == [
        "2024-03-06 base>silver reached, to 2024-05-05",
        "2024-03-21 silver>gold reached, to 2024-05-20",
    ]
    deducted = changed(deducted, carry_limit=Amounts(points=299))
    assert story(deducted, rows, end="2024-04-01") == [
        "2024-03-06 base>silver reached, to 2024-05-05"
    ]


def test_assignment_holds_on_exactly_its_days_and_gives_back_what_was_earned() -> None:
    gold = Grant(GrantKind.AT_LEAST, "gold", day("2024-02-01"), day("2024-04-01"))
    rows = {"2024-03-05": Row(points=500)}
    assert story(CLASSIC, rows, grants=[gold], end="2024-05-01") == [
        "2024-02-01 base>gold assigned, to 2024-03-31",
        "2024-04-01 gold>silver assignment_ended, to 2025-03-05",
    ]


def test_assignment_of_exactly_a_tier_holds_a_member_down() -> None:
    held = Grant(GrantKind.EXACTLY, "base", day("2024-03-10"), day("2024-03-20"))
    rows = {"2024-03-05": Row(points=500)}
    assert story(CLASSIC, rows, grants=[held], end="2024-04-01") == [
        "2024-03-06 base>silver reached, to 2025-03-05",
        "2024-03-10 silver>base assigned, to 2024-03-19",
        "2024-03-20 base>silver assignment_ended, to 2025-03-05",
    ]


def test_assignment_made_for_today_counts_from_the_day_that_is_closed_next() -> None:
    person = Person(day("2024-01-01"))
    quiet = replay(
        CLASSIC,
        enrolled([person]),
        member_days([person]),
        no_assignments(),
        from_day=day("2024-01-01"),
        to_day=day("2024-02-01"),
    )
    today = day("2024-02-02")
    granted = Person(day("2024-01-01"), {}, [Grant(GrantKind.AT_LEAST, "gold", today)])
    found = advance(
        CLASSIC,
        quiet.states,
        member_days([granted]),
        assignments([granted]),
        from_day=today,
        to_day=today,
    )
    assert [row[:4] for row in change_rows(found.changes)] == [(today, 0, 0, 2)]


def test_lifetime_tier_is_lost_again_by_a_return() -> None:
    gold = Tier(
        "gold",
        "Gold",
        bar=Bar(Requirement(visits=5)),
        lifetime=Requirement(visits=6),
    )
    for_life = changed(SHORT, tiers=(SHORT.tiers[0], gold))
    rows = {
        "2024-01-05": Row(visits=3),
        "2024-06-05": Row(visits=3),
        "2024-06-09": Row(visits=-1),
        "2024-10-01": Row(visits=1),
    }
    assert story(for_life, rows, end="2024-12-31") == [
        "2024-06-06 base>gold lifetime",
        "2024-06-10 gold>base lifetime_lost",
        "2024-10-02 base>gold lifetime",
    ]


def test_what_reached_a_tier_does_not_keep_it_for_a_second_term() -> None:
    rows = {"2028-02-28": Row(points=500)}
    assert story(CLASSIC, rows, begin="2028-01-01", end="2029-04-01") == [
        "2028-02-29 base>silver reached, to 2029-02-28",
        "2029-03-01 silver>base lapsed",
    ]


def test_points_that_were_taken_back_leave_with_their_day_and_lift_a_member() -> None:
    rows = {
        "2024-03-01": Row(points=-400),
        "2024-03-20": Row(points=500),
    }
    assert story(SHORT, rows, end="2024-05-10") == ["2024-05-02 base>silver reached, to 2024-07-01"]


def wakes(rule_set: RuleSet, person: Person, *, closed: str) -> str:
    """The day whose close a member, looked at last on the one given, is to be looked at again."""
    found = replay(
        rule_set,
        enrolled([person]),
        member_days([person]),
        assignments([person]),
        from_day=day("2024-01-01"),
        to_day=day(closed),
    )
    wake = int(found.states.wake_day[0])
    return "never" if wake == NEVER else shown(wake)


def test_member_wakes_for_the_end_of_the_term() -> None:
    person = Person(day("2024-01-01"), {day("2024-03-05"): Row(points=500)})
    assert wakes(SHORT, person, closed="2024-03-10") == "2024-05-05"
    assert wakes(SHORT, Person(day("2024-01-01")), closed="2024-03-10") == "never"


def test_member_wakes_before_an_assignment_begins_and_ends() -> None:
    gold = Grant(GrantKind.AT_LEAST, "gold", day("2024-03-15"), day("2024-03-20"))
    person = Person(day("2024-01-01"), {}, [gold])
    assert wakes(SHORT, person, closed="2024-03-10") == "2024-03-14"
    assert wakes(SHORT, person, closed="2024-03-14") == "2024-03-19"
    assert wakes(SHORT, person, closed="2024-03-19") == "never"


def test_member_with_nights_to_roll_over_wakes_on_the_last_day_of_the_year() -> None:
    rule_set = changed(HOTEL, keeping=KeptMonths(36))
    person = Person(day("2024-01-01"), {day("2024-05-01"): Row(visits=52)})
    assert wakes(rule_set, person, closed="2024-06-01") == "2024-12-31"
    assert wakes(rule_set, person, closed="2024-12-31") == "2025-01-01"


def test_member_wakes_when_a_row_that_took_points_away_leaves() -> None:
    person = Person(day("2024-01-01"), {day("2024-03-05"): Row(points=-1)})
    assert wakes(SHORT, person, closed="2024-03-10") == "2024-05-05"


def test_member_wakes_when_what_is_in_reserve_ends() -> None:
    rows = {
        "2024-06-01": spend(16_000),
        "2025-03-01": spend(10_000),
        "2025-06-01": spend(5_000),
        "2026-03-01": spend(15_000),
    }
    person = Person(day("2024-01-01"), {day(on): row for on, row in rows.items()})
    assert wakes(HARD_LANDING, person, closed="2027-01-10") == "2027-01-31"


def test_falls_to_what_is_in_reserve_for_the_days_it_has_left() -> None:
    rows = {"2024-06-01": spend(16_000), "2025-06-01": spend(5_000)}
    graceful = changed(HARD_LANDING, grace_days=360)
    assert story(graceful, rows, end="2027-01-31") == [
        "2024-06-02 base>platinum reached, to 2026-01-31",
        "2027-01-27 platinum>silver lapsed, to 2027-01-31",
    ]


def test_reserve_is_filled_again_after_it_was_used() -> None:
    rows = {
        "2024-06-01": spend(16_000),
        "2025-06-01": spend(10_000),
        "2026-06-01": spend(5_000),
    }
    assert story(HARD_LANDING, rows, end="2027-12-31") == [
        "2024-06-02 base>platinum reached, to 2026-01-31",
        "2026-02-01 platinum>gold lapsed, to 2027-01-31",
        "2027-02-01 gold>silver lapsed, to 2028-01-31",
    ]


def test_carried_overflow_leaves_the_window_with_the_day_it_was_deducted_on() -> None:
    rows = {"2024-03-05": Row(points=900), "2024-05-06": Row(points=1_200)}
    deducted = changed(SHORT, counting=Counting.DEDUCTED, carry_limit=Amounts(points=300))
    assert story(deducted, rows, end="2024-06-01") == [
        "2024-03-06 base>silver reached, to 2024-05-05",
        "2024-05-06 silver>base lapsed",
        "2024-05-07 base>silver reached, to 2024-07-06",
    ]


def test_everybody_is_due_until_a_day_was_closed() -> None:
    start = day("2024-01-01")
    none = replay(
        CLASSIC,
        enrolled([Person(start)]),
        member_days([]),
        no_assignments(),
        from_day=start,
        to_day=start - 1,
    )
    assert none.states.wake_day[0] < start
    assert change_rows(none.changes) == []


def test_rows_are_needed_from_the_first_day_that_counts() -> None:
    assert shown(rows_needed_from(CLASSIC, day("2024-02-29"))) == "2023-03-01"
    calendar = changed(CLASSIC, window=CalendarYear())
    assert shown(rows_needed_from(calendar, day("2024-02-29"))) == "2024-01-01"
    assert rows_needed_to_replay(HOTEL, day("2024-02-29")) < day("1970-01-01")


def test_no_members_are_no_work() -> None:
    nobody = np.zeros(0, np.int32)
    found = advance(
        CLASSIC, new_states(nobody), member_days([]), no_assignments(), from_day=1, to_day=9
    )
    assert len(found.states.tier) == len(found.changes.day) == 0
