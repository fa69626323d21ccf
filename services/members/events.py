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
from services.plumbing import outbox
from services.plumbing.timestamps import timestamp

SCHEMA = "public"


def resource_name(member_id: UUID) -> str:
    return f"members/{member_id}"


def lock(connection: Connection, member_id: UUID) -> None:
    """Be the only one to change a member until the connection's transaction ends.

    Before it writes anything, so that events stand in the order they happened.
    """
    outbox.lock_subject(connection, resource_name(member_id))


def announce(
    connection: Connection, member_id: UUID, happened: Sequence[events.Event], *, now: datetime
) -> None:
    """Tell others, in this order, when the connection's transaction commits."""
    subject = resource_name(member_id)
    messages = [message(event, subject) for event in happened]
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
