"""What a member is told, and what people grant by hand."""

import uuid
from typing import Any

import pytest
from loyalty.tiering.v1 import rules_pb2, tiering_pb2

from tests.service.contents import contents
from tests.service.refusals import refused
from tests.service.tiering_calls import (
    GROUP,
    Posted,
    Tiering,
    classic,
    member,
    points,
    with_thresholds,
)
from tests.service.tokens import Tokens

NUMBERS = tiering_pb2.TierNumbers


async def test_a_member_is_told_where_they_stand(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-01", 600))
    await tiering.close_day("2017-01-01")
    tiering.post(Posted(1, "2017-01-02", 150))
    await tiering.close_day("2017-01-02")
    found = await tiering.tier(member(1))
    assert (found.tier, found.title, found.earn_multiplier) == ("silver", "Silver", "1.1")
    assert (found.since_day, found.until_day) == ("2017-01-02", "2018-01-01")
    assert (found.as_of_day, found.rule_set_version) == ("2017-01-02", 1)
    assert found.numbers == NUMBERS(qualifying_points=750)
    assert (found.next_tier, found.missing_to_next) == ("gold", NUMBERS(qualifying_points=750))
    assert (found.progress_percent, found.missing_to_stay) == (50, NUMBERS())
    assert found.explanation == (
        "You are Silver until 1 January 2018. You have what it takes to stay for another term."
        " For Gold, you need 750 more points."
    )
    (change,) = found.history
    assert (change.old_tier, change.new_tier, change.effective_day) == (
        "base",
        "silver",
        "2017-01-02",
    )
    assert change.cause == tiering_pb2.TIER_CHANGE_CAUSE_REACHED
    assert change.numbers == NUMBERS(qualifying_points=600)


async def test_a_member_nobody_heard_of_is_in_the_lowest_tier(tiering: Tiering) -> None:
    await tiering.in_force()
    found = await tiering.tier(member(99))
    assert (found.tier, found.since_day, found.until_day) == ("base", "", "")
    assert found.missing_to_next == NUMBERS(qualifying_points=500)
    assert list(found.history) == []


async def test_a_group_without_rules_has_no_tiers(tiering: Tiering) -> None:
    assert (await refused(tiering.tier(member(1)))).reason == "TIER_GROUP_NOT_FOUND"
    await tiering.draft()
    assert (await refused(tiering.tier(member(1)))).reason == "TIER_GROUP_NOT_FOUND"
    assert (await refused(tiering.assign(member(1), "gold"))).reason == "TIER_GROUP_NOT_FOUND"


async def test_a_member_sees_their_own_tier_alone(tiering: Tiering, tokens: Tokens) -> None:
    await tiering.in_force()
    mine = tokens.bearer("tiers.read.own", subject=member(1))
    for number, reason in ((1, ""), (2, "NOT_YOURS")):
        request = tiering_pb2.GetMemberTierRequest(name=f"{member(number)}/tiers/status")
        call = tiering.tiers.GetMemberTier(request, metadata=mine)
        if reason:
            assert (await refused(call)).reason == reason
        else:
            assert (await call).member_tier.tier == "base"


async def test_a_tier_assigned_by_hand_counts_on_exactly_its_days(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    await tiering.close_day("2017-01-01")
    assigned = await tiering.assign(member(1), "gold", last_day="2017-01-10")
    assert (assigned.first_day, assigned.last_day) == ("2017-01-02", "2017-01-10")
    assert (assigned.actor, assigned.reason) == ("tester", "a good customer elsewhere")
    found = await tiering.tier(member(1))
    assert (found.tier, found.until_day) == ("gold", "2017-01-10")
    assert found.history[0].cause == tiering_pb2.TIER_CHANGE_CAUSE_ASSIGNED
    await tiering.close_day("2017-01-10")
    assert tiering.changes() == [
        (member(1), "base", "gold", "2017-01-02"),
        (member(1), "gold", "base", "2017-01-11"),
    ]
    assert (await tiering.tier(member(1))).history[0].cause == (
        tiering_pb2.TIER_CHANGE_CAUSE_ASSIGNMENT_ENDED
    )


async def test_assigning_twice_under_one_request_id_assigns_once(tiering: Tiering) -> None:
    await tiering.in_force()
    request_id = str(uuid.uuid4())
    first = await tiering.assign(member(1), "gold", request_id=request_id)
    before = contents(tiering.database_url)
    assert await tiering.assign(member(1), "gold", request_id=request_id) == first
    refusal = await refused(tiering.assign(member(1), "silver", request_id=request_id))
    assert refusal.reason == "REQUEST_ID_REUSED"
    assert contents(tiering.database_url) == before


async def test_an_assignment_that_cannot_be_leaves_nothing_behind(tiering: Tiering) -> None:
    await tiering.in_force()
    await tiering.close_day("2017-01-05")
    before = contents(tiering.database_url)
    assert (await refused(tiering.assign(member(1), "diamond"))).reason == "TIER_NOT_FOUND"
    late = await refused(tiering.assign(member(1), "gold", last_day="2017-01-05"))
    assert (late.reason, late.metadata) == ("LAST_DAY_PAST", {"first_day": "2017-01-06"})
    missing = tiering_pb2.Assignment(name="assignments/17")
    assert (await refused(tiering.revoke(missing))).reason == "ASSIGNMENT_NOT_FOUND"
    assert contents(tiering.database_url) == before


async def test_an_assignment_revoked_ends_at_once_and_is_kept(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-01", 600))
    await tiering.close_day("2017-01-01")
    assigned = await tiering.assign(member(1), "platinum")
    await tiering.close_day("2017-01-05")
    revoked = await tiering.revoke(assigned)
    assert revoked.last_day == "2017-01-05"
    assert revoked.HasField("revoke_time")
    assert await tiering.revoke(assigned) == revoked
    assert tiering.changes() == [
        (member(1), "base", "silver", "2017-01-02"),
        (member(1), "silver", "platinum", "2017-01-02"),
        (member(1), "platinum", "silver", "2017-01-06"),
    ]


async def test_exactly_a_tier_holds_a_member_down(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    await tiering.assign(member(1), "silver", exactly=True)
    tiering.post(Posted(1, "2017-01-01", 5_000))
    await tiering.close_day("2017-01-02")
    assert (await tiering.tier(member(1))).tier == "silver"


async def test_an_invitation_lets_a_member_reach_what_others_cannot(tiering: Tiering) -> None:
    rules = classic()
    rules.tiers[3].invitation_only = True
    await tiering.in_force(rules)
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-01", 4_500), Posted(2, "2017-01-01", 4_500))
    await tiering.close_day("2017-01-01")
    request = tiering_pb2.InviteMemberRequest(
        member=member(1), group=GROUP, tier="platinum", reason="a friend of the house"
    )
    for _ in range(2):
        answer = await tiering.tiers.InviteMember(request, metadata=tiering.everything)
        assert answer.first_day == "2017-01-02"
    assert tiering.rows("SELECT count(*) FROM grants") == [(1,)]
    await tiering.close_day("2017-01-02")
    assert [(await tiering.tier(member(number))).tier for number in (1, 2)] == ["platinum", "gold"]


async def test_less_is_asked_of_an_audience(tiering: Tiering) -> None:
    rules = with_thresholds()
    rules.tiers[2].audiences["staff"].CopyFrom(points(600))
    await tiering.in_force(rules)
    tiering.join(1, 2)
    tiering.post(Posted(1, "2017-01-01", 700), Posted(2, "2017-01-01", 700))
    await tiering.close_day("2017-01-01")

    async def set_audience(**fields: list[str]) -> int:
        request = tiering_pb2.SetAudienceRequest(audience="staff", **fields)
        answer = await tiering.tiers.SetAudience(request, metadata=tiering.everything)
        return answer.members

    assert await set_audience(added_members=[member(1), member(50)]) == 2
    assert await set_audience(added_members=[member(1)], removed_members=[member(50)]) == 1
    await tiering.close_day("2017-01-02")
    assert [(await tiering.tier(member(number))).tier for number in (1, 2)] == ["gold", "silver"]


@pytest.mark.parametrize("scope", ["tiers.read", "tiers.write", "rules.read", "days.read"])
async def test_each_method_opens_to_its_scope_alone(
    tiering: Tiering, tokens: Tokens, scope: str
) -> None:
    metadata = tokens.bearer(scope)
    calls: dict[str, Any] = {
        "rules.write": tiering.rules.CreateDraft(rules_pb2.CreateDraftRequest(), metadata=metadata),
        "rules.publish": tiering.rules.PublishRuleSet(
            rules_pb2.PublishRuleSetRequest(), metadata=metadata
        ),
        "days.write": tiering.tiers.CloseDay(tiering_pb2.CloseDayRequest(), metadata=metadata),
        "rules.read": tiering.rules.PreviewRules(
            rules_pb2.PreviewRulesRequest(), metadata=metadata
        ).read(),
        "tiers.write": tiering.tiers.AssignTier(tiering_pb2.AssignTierRequest(), metadata=metadata),
    }
    for needed, call in calls.items():
        expected = "INVALID_REQUEST" if needed == scope else "MISSING_SCOPE"
        assert (await refused(call)).reason == expected
