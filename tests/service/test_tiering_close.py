"""The close of business days: what members did becomes the tier they are in from the next day."""

import asyncio

import pytest
from loyalty.tiering.v1 import events_pb2, rules_pb2, tiering_pb2

from tests.service.contents import contents
from tests.service.refusals import refused
from tests.service.tiering_calls import (
    ADJUSTMENT,
    RETURN,
    Posted,
    Tiering,
    classic,
    days,
    member,
    micros,
    sales,
    with_thresholds,
)


async def test_a_threshold_reached_counts_from_the_next_day(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-01", 300), Posted(2, "2017-01-01", 499))
    assert (await tiering.close_day("2017-01-01")).tier_changes == 0
    tiering.post(Posted(1, "2017-01-02", 200, 20_000))
    closed = await tiering.close_day("2017-01-02")
    assert (closed.closed, closed.documents, closed.tier_changes) == (True, 1, 1)
    assert tiering.changes() == [(member(1), "base", "silver", "2017-01-03")]
    (event,) = tiering.announced(events_pb2.MemberTierChanged)
    (change,) = event.changes
    assert (event.group, event.rule_set_version) == ("tierGroups/status", 1)
    assert change.cause == tiering_pb2.TIER_CHANGE_CAUSE_REACHED
    assert change.numbers == tiering_pb2.TierNumbers(qualifying_points=500)


async def test_closing_a_day_again_answers_the_same_and_changes_nothing(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-01", 600))
    first = await tiering.close_day("2017-01-01")
    before = contents(tiering.database_url)
    assert await tiering.close_day("2017-01-01") == first
    assert contents(tiering.database_url) == before


async def test_days_left_open_are_closed_first_each_by_itself(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(*sales(1, [(day, 250) for day in days("2017-01-01", "2017-01-04")]))
    await tiering.close_day("2017-01-04")
    assert tiering.changes() == [(member(1), "base", "silver", "2017-01-03")]
    assert [(await tiering.day(day)).closed for day in days("2017-01-03", "2017-01-05")] == [
        True,
        True,
        False,
    ]


async def test_one_close_of_two_at_once_decides(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-01", 600))
    closed = await asyncio.gather(*[tiering.close_day("2017-01-01") for _ in range(4)])
    assert [each.tier_changes for each in closed] == [1, 1, 1, 1]
    assert tiering.changes() == [(member(1), "base", "silver", "2017-01-02")]


async def test_a_day_that_is_not_over_is_not_closed(tiering: Tiering) -> None:
    before = contents(tiering.database_url)
    assert (await refused(tiering.close_day("2999-01-01"))).reason == "DAY_NOT_OVER"
    refusal = await refused(tiering.close_day("2017-02-30"))
    assert (refusal.reason, refusal.metadata) == ("NOT_A_DAY", {"field": "day"})
    assert contents(tiering.database_url) == before


async def test_too_many_open_days_are_not_closed_in_one_call(tiering: Tiering) -> None:
    await tiering.close_day("2017-01-01")
    before = contents(tiering.database_url)
    assert (await refused(tiering.close_day("2020-01-01"))).reason == "TOO_MANY_OPEN_DAYS"
    assert contents(tiering.database_url) == before


async def test_a_late_sale_counts_in_its_month_and_changes_the_tier_from_tomorrow(
    tiering: Tiering,
) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-10", 400))
    await tiering.close_day("2017-02-09")
    assert tiering.changes() == []
    tiering.post(Posted(1, "2017-01-11", 150))
    await tiering.close_day("2017-02-10")
    assert tiering.changes() == [(member(1), "base", "silver", "2017-02-11")]
    (event,) = tiering.announced(events_pb2.MemberTierChanged)
    assert event.changes[0].cause == tiering_pb2.TIER_CHANGE_CAUSE_RECOMPUTED
    # In its month: the tier began with the day after the sale and is kept a year from then.
    assert tiering.rows("SELECT since, until FROM states") == [(17178, 17543)]


async def test_a_return_counts_on_the_day_of_its_sale(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-01", 600, 60_000, base=600))
    await tiering.close_day("2017-01-05")
    tiering.post(
        Posted(
            *(1, "2017-01-06", -600, -60_000, -1, 0, 600, RETURN),
            original_day="2017-01-01",
        )
    )
    await tiering.close_day("2017-01-06")
    assert tiering.changes() == [
        (member(1), "base", "silver", "2017-01-02"),
        (member(1), "silver", "base", "2017-01-07"),
    ]


async def test_an_adjustment_counts_on_its_own_day(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-03", 500, visits=0, type=ADJUSTMENT))
    await tiering.close_day("2017-01-03")
    assert tiering.changes() == [(member(1), "base", "silver", "2017-01-04")]


async def test_a_term_ends_without_anything_new_one_step_down(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-01", 5_000))
    for month in range(1, 13):
        await tiering.close_day(f"2017-{month:02d}-28")
    await tiering.close_day("2018-01-05")
    assert tiering.changes() == [
        (member(1), "base", "platinum", "2017-01-02"),
        (member(1), "platinum", "gold", "2018-01-02"),
    ]


async def test_days_closed_without_rules_change_nothing(tiering: Tiering) -> None:
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-01", 5_000))
    assert (await tiering.close_day("2017-01-01")).tier_changes == 0
    assert tiering.announced(events_pb2.MemberTierChanged) == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_what_is_heard_of_a_member_counts_in_whatever_order(
    tiering: Tiering, order: tuple[int, ...]
) -> None:
    await tiering.in_force(with_thresholds(silver=100))
    heard = (
        lambda: tiering.enrol(member(7), "2016-05-05"),
        lambda: tiering.attach(70, member(7)),
        lambda: tiering.post(Posted(70, "2017-01-01", 120)),
    )
    for number in order:
        heard[number]()
    await tiering.close_day("2017-01-01")
    assert tiering.changes() == [(member(7), "base", "silver", "2017-01-02")]


async def test_entries_of_a_wallet_of_nobody_count_when_it_is_attached(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.post(Posted(9, "2017-01-01", 600))
    await tiering.close_day("2017-01-03")
    assert (await tiering.day("2017-01-01")).documents == 1
    tiering.join(9)
    await tiering.close_day("2017-01-04")
    assert tiering.changes() == [(member(9), "base", "silver", "2017-01-05")]
    assert tiering.rows("SELECT * FROM waiting_activity") == []


async def test_an_event_that_comes_twice_counts_once(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    posted = Posted(1, "2017-01-01", 300)
    for _ in range(2):
        tiering.post(posted, event_id="00-17")
    await tiering.close_day("2017-01-01")
    assert (await tiering.day("2017-01-01")).documents == 1
    assert tiering.changes() == []


async def test_at_the_event_a_higher_tier_counts_from_the_sale_that_reached_it(
    tiering: Tiering,
) -> None:
    await tiering.in_force(classic(evaluation=rules_pb2.Rules.EVALUATION_AT_EVENT))
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-01", 300))
    assert tiering.changes() == []
    tiering.post(Posted(1, "2017-01-01", 200))
    assert tiering.changes() == [(member(1), "base", "silver", "2017-01-01")]
    (event,) = tiering.announced(events_pb2.MemberTierChanged)
    assert event.effective_time_micros == micros("2017-01-01")
    assert event.changes[0].cause == tiering_pb2.TIER_CHANGE_CAUSE_REACHED
    # The close keeps what was told, and tells it no more.
    assert (await tiering.close_day("2017-01-01")).tier_changes == 0
    assert (await tiering.tier(member(1))).tier == "silver"
    assert len(tiering.changes()) == 1


async def test_a_tier_told_at_the_event_and_returned_the_same_day_is_taken_back_at_the_close(
    tiering: Tiering,
) -> None:
    await tiering.in_force(classic(evaluation=rules_pb2.Rules.EVALUATION_AT_EVENT))
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-01", 600, base=600))
    tiering.post(Posted(*(1, "2017-01-01", -600, 0, -1, 0, 600, RETURN), original_day="2017-01-01"))
    await tiering.close_day("2017-01-01")
    assert tiering.changes() == [
        (member(1), "base", "silver", "2017-01-01"),
        (member(1), "silver", "base", "2017-01-02"),
    ]
