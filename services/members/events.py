"""What happened to members, in the words of the contract."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import singledispatch
from uuid import UUID

from google.protobuf.message import Message
from loyalty.members.v1 import events_pb2
from sqlalchemy import Connection

from services.members.domain import events
from services.members.domain.households import Household
from services.members.domain.names import household_name, member_name, merge_name
from services.plumbing import outbox
from services.plumbing.timestamps import timestamp

SCHEMA = "public"


def lock(connection: Connection, member_id: UUID) -> None:
    """Be the only one to change a member until the connection's transaction ends.

    Before it writes anything, so that events stand in the order they happened.
    """
    outbox.lock_subject(connection, member_name(member_id))


def announce(
    connection: Connection, member_id: UUID, happened: Sequence[events.Event], *, now: datetime
) -> None:
    """Tell others, in this order, when the connection's transaction commits."""
    subject = member_name(member_id)
    _append(connection, subject, [message(event, subject) for event in happened], now)


def announce_household(connection: Connection, household: Household, *, now: datetime) -> None:
    """Tell others who is in a household that is locked, when the transaction commits."""
    subject = household_name(household.id)
    changed = events_pb2.HouseholdChanged(
        household=subject, revision=household.revision, change_time=timestamp(now)
    )
    for share in household.shares:
        changed.members.add(
            member=member_name(share.member_id),
            points_limit=share.points_limit,
            join_time=timestamp(share.join_time),
        )
    _append(connection, subject, [changed], now)


def _append(
    connection: Connection, subject: str, messages: Sequence[Message], now: datetime
) -> None:
    outbox.append(
        connection,
        SCHEMA,
        [
            outbox.Event(
                id=uuid.uuid4().hex,
                type=each.DESCRIPTOR.full_name,
                subject=subject,
                time=now,
                data=each.SerializeToString(),
            )
            for each in messages
        ],
    )


@singledispatch
def message(event: object, member: str) -> Message:  # noqa: ARG001 — each kind below uses it
    raise TypeError(f"no message for {type(event).__name__}")


@message.register
def _(event: events.MemberEnrolled, member: str) -> Message:
    return events_pb2.MemberEnrolled(member=member, enrol_time=timestamp(event.enrol_time))


@message.register
def _(event: events.CardIssued, member: str) -> Message:
    return events_pb2.CardIssued(member=member, card_token=event.token)


@message.register
def _(event: events.CardReplaced, member: str) -> Message:
    return events_pb2.CardReplaced(
        member=member, old_card_token=event.old_token, new_card_token=event.new_token
    )


@message.register
def _(event: events.CardBlocked, member: str) -> Message:
    return events_pb2.CardBlocked(member=member, card_token=event.token)


@message.register
def _(event: events.ConsentChanged, member: str) -> Message:
    said = event.consent
    return events_pb2.ConsentChanged(
        member=member,
        purpose=said.purpose,
        channel=said.channel,
        granted=said.granted,
        time=timestamp(said.time),
    )


@message.register
def _(event: events.MemberBlocked, member: str) -> Message:
    return events_pb2.MemberBlocked(member=member, block_time=timestamp(event.block_time))


@message.register
def _(event: events.MemberUnblocked, member: str) -> Message:
    return events_pb2.MemberUnblocked(member=member, unblock_time=timestamp(event.unblock_time))


@message.register
def _(event: events.MemberErased, member: str) -> Message:
    return events_pb2.MemberErased(member=member, erase_time=timestamp(event.erase_time))


@message.register
def _(event: events.MembersMerged, member: str) -> Message:
    return events_pb2.MembersMerged(
        merge=merge_name(event.merge_id),
        source=member_name(event.source_id),
        target=member,
        merge_time=timestamp(event.merge_time),
    )


@message.register
def _(event: events.MergeUndone, member: str) -> Message:
    return events_pb2.MergeUndone(
        merge=merge_name(event.merge_id),
        source=member_name(event.source_id),
        target=member,
        undo_time=timestamp(event.undo_time),
    )
