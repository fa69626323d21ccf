"""What tiering and `members` announce, told to rewards as its worker would tell it."""

import uuid
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message
from loyalty.members.v1 import events_pb2 as members_events
from loyalty.tiering.v1 import events_pb2
from plumbing.v1 import envelope_pb2

from services.plumbing.database import engine
from services.rewards.reactions import RewardsReactions

GROUP = "tierGroups/status"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MICROS_PER_SECOND = 1_000_000


def micros(time: datetime) -> int:
    return round(time.timestamp() * MICROS_PER_SECOND)


def published_rules(
    *tiers: str, version: int = 1, effective: datetime = LONG_AGO, group: str = GROUP
) -> bytes:
    """A rule set with these tiers, the lowest first."""
    return _enveloped(
        events_pb2.RuleSetPublished(
            group=group,
            version=version,
            effective_time_micros=micros(effective),
            tiers=[events_pb2.PublishedTier(tier=tier) for tier in tiers],
        )
    )


def changed(member: str, tier: str, *, effective: datetime = LONG_AGO, group: str = GROUP) -> bytes:
    """A member is in a tier from a time on."""
    return _enveloped(
        events_pb2.MemberTierChanged(
            group=group,
            effective_time_micros=micros(effective),
            changes=[events_pb2.TierChange(member=member, new_tier=tier)],
        )
    )


def new_merge() -> str:
    return f"merges/{uuid.uuid4()}"


def merged(source: str, target: str, merge: str = "") -> bytes:
    """A member is another from now on."""
    event = members_events.MembersMerged(merge=merge or new_merge(), source=source, target=target)
    event.merge_time.GetCurrentTime()
    return _enveloped(event, source="members")


def parted(source: str, target: str, merge: str) -> bytes:
    """That merge is undone."""
    event = members_events.MergeUndone(merge=merge, source=source, target=target)
    event.undo_time.GetCurrentTime()
    return _enveloped(event, source="members")


def blocked(member: str) -> bytes:
    event = members_events.MemberBlocked(member=member)
    event.block_time.GetCurrentTime()
    return _enveloped(event, source="members")


def unblocked(member: str) -> bytes:
    event = members_events.MemberUnblocked(member=member)
    event.unblock_time.GetCurrentTime()
    return _enveloped(event, source="members")


def erased(member: str) -> bytes:
    event = members_events.MemberErased(member=member)
    event.erase_time.GetCurrentTime()
    return _enveloped(event, source="members")


def _enveloped(message: Message, source: str = "tiering") -> bytes:
    wrapped = envelope_pb2.Envelope(
        id=uuid.uuid4().hex,
        source=source,
        type=message.DESCRIPTOR.full_name,
        subject=GROUP,
        data=message.SerializeToString(),
    )
    return wrapped.SerializeToString()


def heard(database_url: str, *envelopes: bytes) -> None:
    """Let the reactions apply events in this order, with what nameko would give them."""
    source = engine(database_url, pool_size=1)
    reactions: Any = RewardsReactions()
    reactions.database = source
    deliver = {
        "loyalty.tiering.v1.RuleSetPublished": reactions.rule_set_published,
        "loyalty.tiering.v1.MemberTierChanged": reactions.member_tier_changed,
        "loyalty.members.v1.MembersMerged": reactions.members_merged,
        "loyalty.members.v1.MergeUndone": reactions.merge_undone,
        "loyalty.members.v1.MemberBlocked": reactions.member_blocked,
        "loyalty.members.v1.MemberUnblocked": reactions.member_unblocked,
        "loyalty.members.v1.MemberErased": reactions.member_erased,
    }
    try:
        for envelope in envelopes:
            deliver[envelope_pb2.Envelope.FromString(envelope).type](envelope)
    finally:
        source.dispose()
