"""What tiering tells others, in the words of the contract."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from google.protobuf.message import Message
from loyalty.tiering.v1 import events_pb2, tiering_pb2
from sqlalchemy import Connection

from services.plumbing import outbox
from services.tiering.domain.columns import Cause
from services.tiering.metrics import TIER_CHANGES
from services.tiering.storage.days import Change
from services.tiering.storage.rule_sets import Version

SCHEMA = "public"
CHANGES_PER_EVENT = 500
MICROS_PER_DAY = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def group_name(group: str) -> str:
    return f"tierGroups/{group}"


def member_name(member_id: UUID) -> str:
    return f"members/{member_id}"


def day_text(day: int) -> str:
    """A day counted from 1970-01-01 as "2026-01-31"."""
    return (EPOCH + timedelta(days=day)).date().isoformat()


def tiers_changed(
    connection: Connection,
    version: Version,
    changes: Sequence[Change],
    member_ids: Mapping[int, UUID],
    *,
    effective_micros: int,
    now: datetime,
) -> None:
    """Tell whose tier changes from a moment on, when the connection's transaction commits."""
    messages = []
    for start in range(0, len(changes), CHANGES_PER_EVENT):
        message = events_pb2.MemberTierChanged(
            group=group_name(version.group),
            rule_set_version=version.version,
            effective_time_micros=effective_micros,
        )
        for change in changes[start : start + CHANGES_PER_EVENT]:
            message.changes.add(
                member=member_name(member_ids[change.member]),
                old_tier=change.old_tier,
                new_tier=change.new_tier,
                cause=tiering_pb2.TierChangeCause.ValueType(change.cause),
                numbers=tiering_pb2.TierNumbers(
                    qualifying_points=change.points,
                    spend_minor=change.spend_minor,
                    visits=change.visits,
                ),
            )
            TIER_CHANGES.labels(Cause(change.cause).name).inc()
        messages.append(message)
    _announce(connection, version, messages, now)


def rule_set_published(connection: Connection, version: Version, now: datetime) -> None:
    message = events_pb2.RuleSetPublished(
        group=group_name(version.group),
        version=version.version,
        effective_day=day_text(version.first_day),
        effective_time_micros=version.first_day * MICROS_PER_DAY,
        tiers=[
            events_pb2.PublishedTier(
                tier=tier.code,
                title=tier.name,
                earn_multiplier=tier.benefits.earn_multiplier,
            )
            for tier in version.rules.tiers
        ],
    )
    _announce(connection, version, [message], now)


def _announce(
    connection: Connection, version: Version, messages: Sequence[Message], now: datetime
) -> None:
    outbox.append(
        connection,
        SCHEMA,
        [
            outbox.Event(
                id=uuid.uuid4().hex,
                type=message.DESCRIPTOR.full_name,
                subject=group_name(version.group),
                time=now,
                data=message.SerializeToString(),
            )
            for message in messages
        ],
    )
