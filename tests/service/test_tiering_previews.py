"""The time machine: what a draft would do, seen beforehand, and exactly that when published."""

import asyncio
from contextlib import suppress
from uuid import UUID

import grpc
import pytest
from loyalty.tiering.v1 import rules_pb2

from services.tiering.usecases.preview import compute_preview
from tests.service.contents import contents
from tests.service.refusals import refused
from tests.service.tiering_calls import (
    RETURN,
    Posted,
    Tiering,
    classic,
    days,
    member,
    sales,
    with_thresholds,
)

LAST_DAY = "2017-03-01"


async def town(tiering: Tiering) -> None:
    """Forty members with very different histories, two months of them closed."""
    await tiering.in_force()
    tiering.join(*range(1, 41))
    for number in range(1, 41):
        tiering.post(
            *sales(number, [(day, 3 * number) for day in days("2017-01-02", LAST_DAY)[::3]])
        )
    tiering.post(
        Posted(*(40, "2017-02-01", -120, -12_000, -1, 0, 120, RETURN), original_day="2017-01-02")
    )
    await tiering.close_day(LAST_DAY)


def moves(preview: rules_pb2.Preview) -> dict[tuple[str, str], int]:
    return {(move.from_tier, move.to_tier): move.members for move in preview.matrix}


def forget_slices(tiering: Tiering) -> int:
    """Let the first 22 slices not have been computed; answers how many of them there were."""
    tiering.rows(
        "WITH gone AS (DELETE FROM preview_movers WHERE mod(member, 32) < 22 RETURNING 1)"
        " SELECT * FROM gone"
    )
    return len(
        tiering.rows(
            "WITH gone AS (DELETE FROM preview_slices WHERE slice < 22 RETURNING 1)"
            " SELECT * FROM gone"
        )
    )


async def test_a_preview_tells_who_moves_and_changes_nothing(tiering: Tiering) -> None:
    await town(tiering)
    draft = await tiering.draft(with_thresholds(gold=1200))
    before = contents(tiering.database_url)
    preview = await tiering.preview(draft, point_value_minor="0.8")
    after = contents(tiering.database_url)
    assert {name for name in after if after[name] != before[name]} == {
        "public.preview_movers",
        "public.preview_slices",
        "public.previews",
    }
    # Twenty sales in two months: 60 points a sale and number.
    assert preview.state == rules_pb2.Preview.STATE_FINISHED
    assert (preview.members_done, preview.members) == (40, 40)
    assert moves(preview) == {
        ("base", "base"): 8,
        ("silver", "silver"): 11,
        ("silver", "gold"): 5,
        ("gold", "gold"): 16,
    }
    assert (preview.members_up, preview.members_down, preview.demoted_share) == (5, 0, "0")
    expected = [(member(number), "silver", "gold") for number in range(20, 25)]
    assert await tiering.movers(preview.name) == expected
    assert await tiering.movers(preview.name, page_size=2) == expected
    assert (
        await tiering.movers(preview.name, rules_pb2.ListPreviewMoversRequest.DIRECTION_DOWN) == []
    )
    assert preview.cost_draft.extra_points > preview.cost_in_force.extra_points > 0
    assert len(preview.sizes_draft) == 60
    assert (preview.sizes_draft[-1].day, sum(preview.sizes_draft[-1].members)) == (LAST_DAY, 40)


async def test_publishing_gives_exactly_what_was_previewed(tiering: Tiering) -> None:
    await town(tiering)
    draft = await tiering.draft(with_thresholds(silver=700, gold=1000))
    preview = await tiering.preview(draft)
    movers = await tiering.movers(preview.name)
    assert preview.members_up > 0
    assert preview.members_down > 0
    told = len(tiering.changes())
    await tiering.publish(draft, "2017-03-02", confirmed_demoted_share=preview.demoted_share)
    new = tiering.changes()[told:]
    assert sorted((name, old, to) for name, old, to, _ in new) == sorted(movers)
    assert {day for *_, day in new} == {"2017-03-02"}
    tiers = [tier.code for tier in draft.rules.tiers]
    stored = dict(tiering.rows("SELECT tier, count(*) FROM states GROUP BY tier"))
    under_draft: dict[str, int] = {}
    for (_, to), count in moves(preview).items():
        under_draft[to] = under_draft.get(to, 0) + count
    assert {tiers[place]: count for place, count in stored.items()} == under_draft


async def test_a_future_publication_takes_over_at_the_close_before_it(tiering: Tiering) -> None:
    await town(tiering)
    draft = await tiering.draft(with_thresholds(gold=1200))
    told = len(tiering.changes())
    await tiering.publish(draft, "2017-03-04")
    await tiering.close_day("2017-03-02")
    assert len(tiering.changes()) == told
    preview = await tiering.preview(draft, effective_day="2017-03-04")
    await tiering.close_day("2017-03-03")
    new = tiering.changes()[told:]
    assert sorted((name, old, to) for name, old, to, _ in new) == sorted(
        await tiering.movers(preview.name)
    )
    assert {day for *_, day in new} == {"2017-03-04"}


async def test_the_first_draft_is_compared_with_everybody_in_its_first_tier(
    tiering: Tiering,
) -> None:
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-05", 900))
    await tiering.close_day("2017-01-31")
    draft = await tiering.draft()
    preview = await tiering.preview(draft, replay_from_day="2017-01-01")
    assert preview.compared_rule_set == ""
    assert moves(preview) == {("base", "base"): 1, ("base", "silver"): 1}
    published = await tiering.publish(draft, "2017-02-01", replay_from_day="2017-01-01")
    assert published.replay_from_day == "2017-01-01"
    assert tiering.changes() == [(member(1), "base", "silver", "2017-02-01")]


async def test_a_preview_cancelled_half_way_stops_and_goes_on_when_resumed(
    tiering: Tiering,
) -> None:
    await town(tiering)
    draft = await tiering.draft(with_thresholds(gold=1200))
    call = tiering.preview_call(draft)
    name = (await call.read()).progress.preview
    call.cancel()
    with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
        await call.wait_for_connection()
    request = rules_pb2.GetPreviewRequest(name=name)
    stopped = (await tiering.rules.GetPreview(request, metadata=tiering.everything)).preview
    assert stopped.state == rules_pb2.Preview.STATE_UNFINISHED
    answers = [answer async for answer in tiering.preview_call(resumed_preview=name)]
    finished = answers[-1].preview
    assert finished.state == rules_pb2.Preview.STATE_FINISHED
    whole = await tiering.preview(draft)
    for each in (finished, whole):
        each.ClearField("name")
        each.ClearField("create_time")
    assert finished == whole


async def test_a_preview_resumed_computes_what_is_missing_alone(tiering: Tiering) -> None:
    await town(tiering)
    draft = await tiering.draft(with_thresholds(gold=1200))
    whole = await tiering.preview(draft)
    forget_slices(tiering)
    movers = await tiering.movers(whole.name)
    assert len(movers) == 3
    answers = [answer async for answer in tiering.preview_call(resumed_preview=whole.name)]
    assert answers[0].progress.members_done < 40
    assert answers[-1].preview == whole
    assert len(await tiering.movers(whole.name)) == 5


async def test_after_each_slice_a_preview_rests(tiering: Tiering) -> None:
    await town(tiering)
    whole = await tiering.preview(await tiering.draft(with_thresholds(gold=1200)))
    forgotten = forget_slices(tiering)
    done_at_rests = []

    def rest() -> None:
        done_at_rests.append(tiering.rows("SELECT count(*) FROM preview_slices")[0][0])

    preview_id = UUID(whole.name.removeprefix("previews/"))
    await asyncio.to_thread(
        compute_preview, tiering.database, tiering.database, preview_id, rest=rest
    )
    assert done_at_rests == list(range(32 - forgotten + 1, 33))


@pytest.mark.parametrize("name", [f"previews/{0:032x}"])
async def test_previews_that_are_not_there_are_not_found(tiering: Tiering, name: str) -> None:
    get = rules_pb2.GetPreviewRequest(name=name)
    movers = rules_pb2.ListPreviewMoversRequest(parent=name)
    for call in (
        tiering.rules.GetPreview(get, metadata=tiering.everything),
        tiering.rules.ListPreviewMovers(movers, metadata=tiering.everything),
        tiering.preview_call(resumed_preview=name).read(),
    ):
        assert (await refused(call)).reason == "PREVIEW_NOT_FOUND"


async def test_a_draft_with_problems_is_not_previewed(tiering: Tiering) -> None:
    draft = await tiering.draft(with_thresholds(silver=2_000))
    before = contents(tiering.database_url)
    assert (await refused(tiering.preview_call(draft).read())).reason == "RULE_SET_INVALID"
    refusal = await refused(
        tiering.preview_call(
            await tiering.draft(classic()),
            effective_day="2017-01-01",
            replay_from_day="2017-01-02",
        ).read()
    )
    assert refusal.reason == "REPLAY_AFTER_EFFECT"
    assert contents(tiering.database_url)["public.previews"] == before["public.previews"]
