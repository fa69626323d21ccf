"""The engine against a plain reference, day against night, slices against the whole."""

import os
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.tiering.domain.columns import Int64s, in_order
from services.tiering.domain.engine import Advanced, advance, replay, rows_needed_from
from services.tiering.domain.rules import Amounts, Counting, Measure, RuleSet
from services.tiering.domain.sums import follow_on
from tests.unit.tiering_chance import FIRST_DAY, last_days, rule_sets, several_people, soon
from tests.unit.tiering_members import (
    Person,
    assignments,
    change_rows,
    enrolled,
    listed,
    member_days,
    only_giving,
    renumbered,
    replaced,
    some,
)
from tests.unit.tiering_reference import Reference

EXAMPLES = int(os.environ.get("TIERING_EXAMPLES", "30"))


def replayed(rule_set: RuleSet, people: Sequence[Person], last_day: int) -> Advanced:
    return replay(
        rule_set,
        enrolled(people),
        member_days(people),
        assignments(people),
        from_day=FIRST_DAY,
        to_day=last_day,
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(rule_sets(), several_people, last_days)
def test_tiers_are_those_of_the_reference(
    rule_set: RuleSet, people: list[Person], last_day: int
) -> None:
    found = replayed(rule_set, people, last_day)
    states, changes = listed(found.states), change_rows(found.changes)
    for member, person in enumerate(people):
        expected = Reference(rule_set, person, FIRST_DAY).run(last_day)
        ours = [(day, *rest) for day, who, *rest in changes if who == member]
        assert ours == expected.changes
        state = states[member]
        assert (state["tier"], state["since"], state["until"]) == (
            expected.tier,
            expected.since,
            expected.until,
        )
        assert (state["earned"], state["earned_until"]) == (
            expected.earned,
            expected.earned_until,
        )
        assert {m: found.sums[m][member] for m in found.sums} == expected.closed_sums


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(rule_sets(), several_people, soon)
def test_each_night_alone_looks_at_few_and_ends_the_same(
    rule_set: RuleSet, people: list[Person], last_day: int
) -> None:
    whole = replayed(rule_set, people, last_day)
    # Nobody was looked at yet, so the first night looks at everybody.
    begun = replayed(rule_set, people, FIRST_DAY - 1)
    states, settled = begun.states, [begun.changes]
    for day in range(FIRST_DAY, last_day + 1):
        chosen = [
            member
            for member, person in enumerate(people)
            if day in person.rows or states.wake_day[member] <= day
        ]
        few = [people[member] for member in chosen]
        night = advance(
            rule_set,
            some(states, chosen),
            member_days(few, first=rows_needed_from(rule_set, day), last=day),
            assignments(few),
            from_day=day,
            to_day=day,
        )
        states = replaced(states, chosen, night.states)
        settled.append(renumbered(night.changes, chosen))
    assert change_rows(in_order(settled)) == change_rows(whole.changes)
    for ours, theirs in zip(listed(states), listed(whole.states), strict=True):
        assert ours | {"wake_day": 0} == theirs | {"wake_day": 0}


def without_carrying(rule_set: RuleSet) -> RuleSet:
    return replace(rule_set, counting=Counting.KEPT, carry_limit=Amounts())


def begun(rule_set: RuleSet, people: Sequence[Person], day: int) -> dict[Measure, Int64s]:
    """What counts at the close of a day of the days before it."""
    first = rows_needed_from(rule_set, day)
    return {
        measure: np.array(
            [
                sum(getattr(row, measure) for on, row in person.rows.items() if first <= on < day)
                for person in people
            ],
            np.int64,
        )
        for measure in Measure
    }


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(rule_sets().map(without_carrying).filter(follow_on), several_people, soon)
def test_nights_that_begin_with_sums_need_the_rows_of_their_day_alone(
    rule_set: RuleSet, people: list[Person], last_day: int
) -> None:
    people = [only_giving(person) for person in people]
    whole = replayed(rule_set, people, last_day)
    night = replayed(rule_set, people, FIRST_DAY - 1)
    settled = [night.changes]
    for day in range(FIRST_DAY, last_day + 1):
        night = advance(
            rule_set,
            night.states,
            member_days(people, first=day, last=day),
            assignments(people),
            from_day=day,
            to_day=day,
            begun=begun(rule_set, people, day),
        )
        settled.append(night.changes)
    assert change_rows(in_order(settled)) == change_rows(whole.changes)
    assert listed(night.states) == listed(whole.states)
    if last_day >= FIRST_DAY:
        assert {m: c.tolist() for m, c in night.sums.items()} == {
            m: c.tolist() for m, c in whole.sums.items()
        }


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(rule_sets(), several_people, last_days, st.integers(0, 400))
def test_stopping_between_and_going_on_changes_nothing(
    rule_set: RuleSet, people: list[Person], last_day: int, after: int
) -> None:
    whole = replayed(rule_set, people, last_day)
    stop = min(FIRST_DAY + after, last_day)
    first = replayed(rule_set, people, stop)
    second = advance(
        rule_set,
        first.states,
        member_days(people, first=rows_needed_from(rule_set, stop + 1)),
        assignments(people),
        from_day=stop + 1,
        to_day=last_day,
    )
    assert listed(second.states) == listed(whole.states)
    assert change_rows(in_order([first.changes, second.changes])) == change_rows(whole.changes)


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(rule_sets(), several_people, last_days)
def test_members_together_are_as_each_alone(
    rule_set: RuleSet, people: list[Person], last_day: int
) -> None:
    whole = replayed(rule_set, people, last_day)
    alone = [replayed(rule_set, [person], last_day) for person in people]
    assert listed(whole.states) == [state for one in alone for state in listed(one.states)]
    changes = [renumbered(one.changes, [member]) for member, one in enumerate(alone)]
    assert change_rows(in_order(changes)) == change_rows(whole.changes)
