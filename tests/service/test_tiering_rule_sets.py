"""Rule sets from draft to retirement: never edited in place, published once, and no surprise."""

import asyncio
import uuid
from typing import Any

import pytest
from loyalty.tiering.v1 import events_pb2, rules_pb2

from tests.service.contents import contents
from tests.service.refusals import refused
from tests.service.tiering_calls import (
    GROUP,
    Posted,
    Tiering,
    classic,
    days,
    member,
    points,
    sales,
    with_thresholds,
)

REQUEST_ID = str(uuid.UUID(int=17))


def everything() -> rules_pb2.Rules:
    """Rules that use all that rules can say."""
    joined = rules_pb2.Requirement(
        points=40_000, spend_minor=300_000, visits=8, join=rules_pb2.Requirement.JOIN_ALL
    )
    lower = rules_pb2.Bar(
        attain=rules_pb2.Requirement(points=20_000), retain=rules_pb2.Requirement(points=10_000)
    )
    gold = rules_pb2.Tier(
        code="gold",
        name="Gold",
        bar=rules_pb2.Bar(attain=joined),
        audiences={"staff": lower},
        lifetime=rules_pb2.Requirement(points=1_000_000),
        benefits=rules_pb2.Benefits(
            earn_multiplier="1.25", early_access=["sale"], other={"window": "aisle", "join": "yes"}
        ),
    )
    black = rules_pb2.Tier(code="black", name="Black", invitation_only=True)
    return classic(
        tiers=[rules_pb2.Tier(code="base", name="Base"), gold, black],
        window=rules_pb2.Window(calendar_year=rules_pb2.CalendarYear(first_month=3)),
        keeping=rules_pb2.Keeping(date=rules_pb2.KeptToDate(month=3, day=31, years_after=1)),
        keeping_after_downgrade=rules_pb2.Keeping(
            period_end=rules_pb2.KeptToPeriodEnd(years_after=1)
        ),
        evaluation=rules_pb2.Rules.EVALUATION_AT_EVENT,
        downgrade=rules_pb2.Rules.DOWNGRADE_FULL,
        grace_days=30,
        counting=rules_pb2.Rules.COUNTING_KEPT,
        carry_limit=rules_pb2.Amounts(points=5_000),
    )


async def get(tiering: Tiering, name: str) -> rules_pb2.RuleSet:
    request = rules_pb2.GetRuleSetRequest(name=name)
    return (await tiering.rules.GetRuleSet(request, metadata=tiering.everything)).rule_set


async def update(
    tiering: Tiering, draft: rules_pb2.RuleSet, rules: rules_pb2.Rules, etag: str = ""
) -> rules_pb2.RuleSet:
    request = rules_pb2.UpdateDraftRequest(name=draft.name, rules=rules, etag=etag)
    return (await tiering.rules.UpdateDraft(request, metadata=tiering.everything)).rule_set


async def retire(tiering: Tiering, found: rules_pb2.RuleSet) -> rules_pb2.RuleSet:
    request = rules_pb2.RetireRuleSetRequest(name=found.name, reason="nobody wants it")
    return (await tiering.rules.RetireRuleSet(request, metadata=tiering.everything)).rule_set


async def test_a_draft_comes_back_as_it_was_sent_with_who_made_it(tiering: Tiering) -> None:
    draft = await tiering.draft(everything())
    assert (draft.name, draft.state) == (f"{GROUP}/ruleSets/1", rules_pb2.RuleSet.STATE_DRAFT)
    assert draft.creator == "tester"
    assert list(draft.problems) == []
    assert await get(tiering, draft.name) == draft
    # What was left out is said: all that was sent is there, and sent again it is the same.
    assert (await tiering.draft(draft.rules)).rules == draft.rules
    gold = draft.rules.tiers[1]
    assert gold.bar == everything().tiers[1].bar
    assert gold.benefits == everything().tiers[1].benefits
    assert gold.audiences["staff"].retain.points == 10_000
    assert gold.lifetime.points == 1_000_000
    assert draft.rules.tiers[2].invitation_only
    for field in ("window", "keeping", "keeping_after_downgrade", "evaluation", "downgrade"):
        assert getattr(draft.rules, field) == getattr(everything(), field)
    assert (draft.rules.grace_days, draft.rules.carry_limit.points) == (30, 5_000)
    plain = await tiering.draft(classic())
    assert plain.version == 3
    assert plain.rules.evaluation == rules_pb2.Rules.EVALUATION_AT_CLOSE
    assert plain.rules.tiers[1].benefits.earn_multiplier == "1.1"


async def test_a_draft_asked_for_twice_is_one(tiering: Tiering) -> None:
    first, second = await asyncio.gather(*[tiering.draft(request_id=REQUEST_ID) for _ in range(2)])
    assert first == second
    before = contents(tiering.database_url)
    refusal = await refused(tiering.draft(with_thresholds(gold=9), request_id=REQUEST_ID))
    assert refusal.reason == "REQUEST_ID_REUSED"
    assert contents(tiering.database_url) == before


async def test_a_draft_changes_and_a_stale_change_is_refused(tiering: Tiering) -> None:
    draft = await tiering.draft()
    changed = await update(tiering, draft, with_thresholds(gold=1_200), draft.etag)
    assert changed.rules.tiers[2].bar.attain.points == 1_200
    assert changed.etag != draft.etag
    before = contents(tiering.database_url)
    assert (await refused(update(tiering, draft, classic(), draft.etag))).reason == "STALE_ETAG"
    assert (await refused(tiering.publish(draft))).reason == "STALE_ETAG"
    assert contents(tiering.database_url) == before


async def test_what_is_published_is_never_edited(tiering: Tiering) -> None:
    published = await tiering.in_force()
    before = contents(tiering.database_url)
    refusal = await refused(update(tiering, published, classic()))
    assert (refusal.reason, refusal.metadata) == ("NOT_A_DRAFT", {"state": "published"})
    assert contents(tiering.database_url) == before


async def test_a_publication_is_told_with_its_multipliers_and_kept_with_its_reason(
    tiering: Tiering,
) -> None:
    published = await tiering.in_force()
    assert published.state == rules_pb2.RuleSet.STATE_PUBLISHED
    assert (published.publisher, published.publish_reason) == ("tester", "agreed by the board")
    assert (published.effective_day, published.replay_from_day) == ("2017-01-01", "2017-01-01")
    (event,) = tiering.announced(events_pb2.RuleSetPublished)
    assert (event.group, event.version, event.effective_day) == (GROUP, 1, "2017-01-01")
    assert event.effective_time_micros == 1_483_228_800_000_000
    assert [(tier.tier, tier.earn_multiplier) for tier in event.tiers] == [
        ("base", "1"),
        ("silver", "1.1"),
        ("gold", "1.25"),
        ("platinum", "1.5"),
    ]


async def test_publishing_the_same_again_answers_the_same_and_changes_nothing(
    tiering: Tiering,
) -> None:
    draft = await tiering.draft()
    first = await tiering.publish(draft)
    before = contents(tiering.database_url)
    assert await tiering.publish(draft) == first
    assert contents(tiering.database_url) == before


async def test_of_two_publications_at_one_moment_one_wins(tiering: Tiering) -> None:
    drafts = [await tiering.draft(with_thresholds(gold=gold)) for gold in (1_200, 1_300)]
    ended = await asyncio.gather(
        *[tiering.publish(draft) for draft in drafts], return_exceptions=True
    )
    (refusal,) = [each for each in ended if isinstance(each, Exception)]
    (winner,) = [each for each in ended if isinstance(each, rules_pb2.RuleSet)]
    assert "EFFECTIVE_DAY_TAKEN" in str(refusal) or "a later day is needed" in str(refusal)
    assert len(tiering.announced(events_pb2.RuleSetPublished)) == 1
    states = tiering.rows("SELECT version, state FROM rule_sets ORDER BY version")
    assert sorted(state for _, state in states) == ["draft", "published"]
    assert dict(states)[winner.version] == "published"


async def test_a_publication_that_demotes_many_names_the_share_to_confirm(
    tiering: Tiering,
) -> None:
    await tiering.in_force()
    tiering.join(*range(1, 11))
    for number in (1, 2, 3):
        tiering.post(Posted(number, "2017-01-01", 600))
    await tiering.close_day("2017-01-01")
    draft = await tiering.draft(with_thresholds(silver=601))
    before = contents(tiering.database_url)
    refusal = await refused(tiering.publish(draft, "2017-01-02"))
    assert (refusal.reason, refusal.metadata) == (
        "DEMOTES_TOO_MANY",
        {"share": "0.3", "share_max": "0.05", "members": "3"},
    )
    too_little = await refused(tiering.publish(draft, "2017-01-02", confirmed_demoted_share="0.29"))
    assert too_little.reason == "DEMOTES_TOO_MANY"
    assert contents(tiering.database_url) == before
    await tiering.publish(draft, "2017-01-02", confirmed_demoted_share="0.3")
    assert tiering.changes()[-3:] == [
        (member(number), "silver", "base", "2017-01-02") for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"effective_day": "2017-01-03"}, "EFFECTIVE_DAY_CLOSED"),
        ({"effective_day": "2017-01-04", "replay_from_day": "2017-01-05"}, "REPLAY_AFTER_EFFECT"),
        ({"effective_day": "2017-02-29"}, "NOT_A_DAY"),
        ({"effective_day": "tomorrow"}, "INVALID_REQUEST"),
        ({"name": f"{GROUP}/ruleSets/99"}, "RULE_SET_NOT_FOUND"),
        ({"name": "tierGroups/nobody/ruleSets/1"}, "RULE_SET_NOT_FOUND"),
    ],
)
async def test_publications_that_cannot_be_leave_nothing_behind(
    tiering: Tiering, fields: dict[str, Any], reason: str
) -> None:
    await tiering.in_force()
    await tiering.close_day("2017-01-03")
    draft = await tiering.draft()
    before = contents(tiering.database_url)
    asked = {"effective_day": "2017-01-04", **fields}
    assert (await refused(tiering.publish(draft, **asked))).reason == reason
    assert contents(tiering.database_url) == before


@pytest.mark.parametrize(
    "rules",
    [
        with_thresholds(silver=2_000),
        classic(tiers=[]),
        classic(
            tiers=[
                rules_pb2.Tier(code="base", name="Base"),
                rules_pb2.Tier(code="gold", name="Gold", bar=points(1)),
                rules_pb2.Tier(code="gold", name="Gold again", bar=points(2)),
            ]
        ),
    ],
    ids=["thresholds out of order", "no tiers", "a code twice"],
)
async def test_a_draft_with_problems_is_not_published(
    tiering: Tiering, rules: rules_pb2.Rules
) -> None:
    before = contents(tiering.database_url)["public.outbox"]
    if not rules.tiers:
        assert (await refused(tiering.draft(rules))).reason == "INVALID_REQUEST"
        return
    draft = await tiering.draft(rules)
    assert len(draft.problems) >= 1
    refusal = await refused(tiering.publish(draft))
    assert refusal.reason == "RULE_SET_INVALID"
    assert len(refusal.fields) == len(draft.problems)
    assert (await get(tiering, draft.name)).state == rules_pb2.RuleSet.STATE_DRAFT
    assert contents(tiering.database_url)["public.outbox"] == before


async def test_a_successor_retires_what_was_in_force(tiering: Tiering) -> None:
    first = await tiering.in_force()
    tiering.join(1)
    tiering.post(*sales(1, [(day, 100) for day in days("2017-01-01", "2017-01-12")]))
    await tiering.close_day("2017-01-12")
    second = await tiering.publish(await tiering.draft(with_thresholds(gold=1_200)), "2017-01-13")
    assert (await get(tiering, first.name)).state == rules_pb2.RuleSet.STATE_RETIRED
    assert second.state == rules_pb2.RuleSet.STATE_PUBLISHED
    assert tiering.changes()[-1] == (member(1), "silver", "gold", "2017-01-13")
    # Decided by the new rules from then on.
    await tiering.close_day("2017-01-13")
    events = tiering.announced(events_pb2.MemberTierChanged)
    assert [event.rule_set_version for event in events] == [1, 2]


async def test_what_is_not_in_force_yet_can_be_withdrawn(tiering: Tiering) -> None:
    first = await tiering.in_force()
    await tiering.close_day("2017-01-01")
    draft = await tiering.draft(with_thresholds(gold=1_200))
    await tiering.publish(draft, "2017-02-01")
    withdrawn = await retire(tiering, draft)
    assert (withdrawn.state, withdrawn.retirer) == (rules_pb2.RuleSet.STATE_RETIRED, "tester")
    assert withdrawn.retire_reason == "nobody wants it"
    await tiering.close_day("2017-02-02")
    assert (await get(tiering, first.name)).state == rules_pb2.RuleSet.STATE_PUBLISHED
    assert (await refused(retire(tiering, first))).reason == "RULE_SET_IN_FORCE"
    assert (await refused(tiering.publish(draft, "2017-03-01"))).reason == "NOT_A_DRAFT"


async def test_versions_are_listed_newest_first_page_by_page(tiering: Tiering) -> None:
    for _ in range(5):
        await tiering.draft()
    await tiering.draft(group="tierGroups/other")
    found: list[int] = []
    token = ""
    while not found or token:
        request = rules_pb2.ListRuleSetsRequest(parent=GROUP, page_size=2, page_token=token)
        page = await tiering.rules.ListRuleSets(request, metadata=tiering.everything)
        found += [each.version for each in page.rule_sets]
        token = page.next_page_token
    assert found == [5, 4, 3, 2, 1]
