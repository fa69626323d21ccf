"""What use cases answer, as messages."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.tiering.v1 import rules_pb2, tiering_pb2

from services.plumbing.timestamps import timestamp
from services.tiering.domain.columns import NEVER, GrantKind
from services.tiering.domain.rules import Amounts, Join
from services.tiering.events import day_text, group_name, member_name
from services.tiering.rpc.names import rule_set_name
from services.tiering.rpc.rules import write_rules
from services.tiering.storage.days import Change, ClosedDay
from services.tiering.storage.grants import Grant
from services.tiering.storage.rule_sets import Version
from services.tiering.usecases import drafts
from services.tiering.usecases.read import MemberTier

STATES = {
    "draft": rules_pb2.RuleSet.STATE_DRAFT,
    "published": rules_pb2.RuleSet.STATE_PUBLISHED,
    "retired": rules_pb2.RuleSet.STATE_RETIRED,
}


def rule_set(found: Version) -> rules_pb2.RuleSet:
    problems = drafts.problems(found.rules) if found.state == "draft" else ()
    return rules_pb2.RuleSet(
        name=rule_set_name(found.group, found.version),
        version=found.version,
        state=STATES[found.state],
        rules=write_rules(found.rules),
        etag=found.etag,
        problems=[f"{problem.field}: {problem.description}" for problem in problems],
        effective_day=optional_day(found.effective_day),
        replay_from_day=optional_day(found.replay_from_day),
        creator=found.creator,
        create_time=timestamp(found.create_time),
        publisher=found.publisher or "",
        publish_time=optional_time(found.publish_time),
        publish_reason=found.publish_reason or "",
        retirer=found.retirer or "",
        retire_time=optional_time(found.retire_time),
        retire_reason=found.retire_reason or "",
    )


def member_tier(name: str, found: MemberTier) -> tiering_pb2.MemberTier:
    rules, situation, standing = found.version.rules, found.situation, found.standing
    tier = rules.tiers[situation.tier]
    following = standing.next_tier
    return tiering_pb2.MemberTier(
        name=name,
        tier=tier.code,
        title=tier.name,
        since_day=optional_day(found.since),
        until_day="" if situation.until == NEVER else day_text(situation.until - 1),
        numbers=amounts(situation.sums),
        next_tier="" if following is None else rules.tiers[following].code,
        missing_to_next=amounts(standing.to_next),
        missing_to_stay=amounts(standing.to_stay or Amounts()),
        all_needed_for_next=standing.to_next_join is Join.ALL,
        all_needed_to_stay=standing.to_stay_join is Join.ALL,
        progress_percent=standing.percent,
        explanation=standing.sentence,
        history=map(history_entry, found.history),
        earn_multiplier=tier.benefits.earn_multiplier,
        benefits=tier.benefits.other,
        early_access=tier.benefits.early_access,
        as_of_day=optional_day(found.as_of_day),
        rule_set_version=found.version.version,
    )


def history_entry(change: Change) -> tiering_pb2.TierHistoryEntry:
    return tiering_pb2.TierHistoryEntry(
        old_tier=change.old_tier,
        new_tier=change.new_tier,
        effective_day=day_text(change.effective_day),
        cause=tiering_pb2.TierChangeCause.ValueType(change.cause),
        numbers=numbers(change.points, change.spend_minor, change.visits),
        rule_set_version=change.version,
    )


def amounts(found: Amounts) -> tiering_pb2.TierNumbers:
    return numbers(found.points, found.spend_minor, found.visits)


def numbers(points: int, spend_minor: int, visits: int) -> tiering_pb2.TierNumbers:
    return tiering_pb2.TierNumbers(qualifying_points=points, spend_minor=spend_minor, visits=visits)


def assignment(found: Grant) -> tiering_pb2.Assignment:
    return tiering_pb2.Assignment(
        name=f"assignments/{found.id}",
        member=member_name(found.member_id),
        group=group_name(found.group),
        tier=found.name,
        first_day=day_text(found.from_day),
        last_day="" if found.end_day == NEVER else day_text(found.end_day - 1),
        reason=found.reason,
        actor=found.actor,
        create_time=timestamp(found.create_time),
        revoke_time=optional_time(found.revoke_time),
        exactly=found.kind is GrantKind.EXACTLY,
    )


def business_day(day: int, closed: ClosedDay | None, documents: int) -> tiering_pb2.BusinessDay:
    return tiering_pb2.BusinessDay(
        day=day_text(day),
        closed=closed is not None,
        documents=documents,
        tier_changes=closed.tier_changes if closed else 0,
        close_time=optional_time(closed.close_time) if closed else None,
    )


def optional_day(day: int | None) -> str:
    return "" if day is None else day_text(day)


def optional_time(time: datetime | None) -> Timestamp | None:
    return None if time is None else timestamp(time)
