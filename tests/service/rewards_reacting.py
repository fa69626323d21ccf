"""What tiering announces, told to rewards as its worker would tell it."""

import uuid
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message
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


def changed(member: str, tier: str, *, effective: datetime = LONG_AGO) -> bytes:
    """A member is in a tier from a time on."""
    return _enveloped(
        events_pb2.MemberTierChanged(
            group=GROUP,
            effective_time_micros=micros(effective),
            changes=[events_pb2.TierChange(member=member, new_tier=tier)],
        )
    )


def _enveloped(message: Message) -> bytes:
    wrapped = envelope_pb2.Envelope(
        id=uuid.uuid4().hex,
        source="tiering",
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
    }
    try:
        for envelope in envelopes:
            deliver[envelope_pb2.Envelope.FromString(envelope).type](envelope)
    finally:
        source.dispose()
