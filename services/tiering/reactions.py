"""What tiering does when points move, wallets find their owners, and members come and change."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import events_pb2 as ledger_events
from loyalty.ledger.v1 import ledger_pb2, point_of_sale_pb2
from loyalty.members.v1 import events_pb2 as members_events
from nameko.events import event_handler
from plumbing.v1 import envelope_pb2
from sqlalchemy import Connection

from services.plumbing import wire
from services.plumbing.inbox import gather
from services.plumbing.reactions import Database, apply, concerned_by
from services.tiering import events
from services.tiering.domain.calendar import to_day
from services.tiering.metrics import DOCUMENTS_APPLIED, MERGES_APPLIED
from services.tiering.storage.activity import Movement
from services.tiering.usecases.apply import (
    Attached,
    Enrolled,
    Heard,
    apply_movements,
    attach_wallets,
    enrol_members,
)
from services.tiering.usecases.merge import erase_member, merge_members, undo_merge

MICROS_PER_DAY = 86_400_000_000
documents_of = wire.reader_of(ledger_events.EntriesPosted.DOCUMENTS_FIELD_NUMBER)
QUALIFYING = point_of_sale_pb2.POINT_KIND_QUALIFYING


def movement(posted: ledger_events.PostedDocument) -> Movement:
    """What a document adds to a day: a return and a void to that of the sale they are of."""
    micros = posted.original_business_time_micros or posted.business_time_micros
    points = 0
    for entry in posted.entries:
        if entry.kind == QUALIFYING:
            points += entry.points
    return (
        posted.wallet,
        micros // MICROS_PER_DAY,
        points,
        posted.amount_minor,
        posted.visits,
        posted.tier_base_points,
        posted.tier_base_points_before,
    )


def member_id_of(name: str) -> UUID:
    """Refuses: ValueError."""
    return UUID(name.removeprefix("members/"))


def merge_id_of(name: str) -> UUID:
    """Refuses: ValueError."""
    return UUID(name.removeprefix("merges/"))


def day_of(time: Timestamp) -> int:
    return to_day(time.ToDatetime(tzinfo=UTC).date())


# Documents that change nothing a tier measures: points held, spent, given back, sent or grown old.
NOT_COUNTED = frozenset(
    {
        ledger_pb2.ENTRY_TYPE_HOLD,
        ledger_pb2.ENTRY_TYPE_BURN,
        ledger_pb2.ENTRY_TYPE_RELEASE,
        ledger_pb2.ENTRY_TYPE_ACTIVATION,
        ledger_pb2.ENTRY_TYPE_EXPIRY,
        ledger_pb2.ENTRY_TYPE_REFUND,
        ledger_pb2.ENTRY_TYPE_SEND,
        ledger_pb2.ENTRY_TYPE_RECEIVE,
    }
)


def counts(data: bytes) -> bool:
    """Whether an EntriesPosted tells of anything that a tier measures, or cannot be read."""
    try:
        return any(
            ledger_events.PostedDocument.FromString(posted).type not in NOT_COUNTED
            for posted in documents_of(data)
        )
    except DecodeError:
        return True


def heard(documents: Sequence[ledger_events.PostedDocument]) -> Heard:
    return Heard(
        [movement(posted) for posted in documents],
        max(posted.business_time_micros for posted in documents),
    )


def count(connection: Connection, told: Sequence[Heard]) -> None:
    apply_movements(connection, told, announcer=events, now=datetime.now(UTC))


class TieringReactions:
    """A nameko service; each reaction applies one event in one transaction."""

    name = "tiering"
    database = Database()

    @concerned_by(counts)
    @event_handler("ledger", "loyalty.ledger.v1.EntriesPosted")  # type: ignore[untyped-decorator]
    def entries_posted(self, envelope: bytes) -> None:
        with apply(
            self.database, self.name, envelope, ledger_events.EntriesPosted, gathers=True
        ) as received:
            if received:
                connection, event = received
                counted = [posted for posted in event.documents if posted.type not in NOT_COUNTED]
                if counted:
                    gather(connection, count, heard(counted))
                DOCUMENTS_APPLIED.inc(len(counted))

    @event_handler("ledger", "loyalty.ledger.v1.WalletAttached")  # type: ignore[untyped-decorator]
    def wallet_attached(self, envelope: bytes) -> None:
        with apply(
            self.database, self.name, envelope, ledger_events.WalletAttached, gathers=True
        ) as received:
            if received:
                connection, event = received
                day = day_of(envelope_pb2.Envelope.FromString(envelope).time)
                attached = Attached(event.wallet, member_id_of(event.member), day)
                gather(connection, attach_wallets, attached)

    @event_handler("members", "loyalty.members.v1.MemberEnrolled")  # type: ignore[untyped-decorator]
    def member_enrolled(self, envelope: bytes) -> None:
        with apply(
            self.database, self.name, envelope, members_events.MemberEnrolled, gathers=True
        ) as received:
            if received:
                connection, event = received
                enrolled = Enrolled(member_id_of(event.member), day_of(event.enrol_time))
                gather(connection, enrol_members, enrolled)

    @event_handler("members", "loyalty.members.v1.MembersMerged")  # type: ignore[untyped-decorator]
    def members_merged(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, members_events.MembersMerged) as received:
            if received:
                connection, event = received
                merge_members(
                    connection,
                    merge_id_of(event.merge),
                    source_id=member_id_of(event.source),
                    target_id=member_id_of(event.target),
                    day=day_of(event.merge_time),
                )
                MERGES_APPLIED.labels("merged").inc()

    @event_handler("members", "loyalty.members.v1.MergeUndone")  # type: ignore[untyped-decorator]
    def merge_undone(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, members_events.MergeUndone) as received:
            if received:
                connection, event = received
                undo_merge(
                    connection,
                    merge_id_of(event.merge),
                    source_id=member_id_of(event.source),
                    target_id=member_id_of(event.target),
                    day=day_of(event.undo_time),
                )
                MERGES_APPLIED.labels("undone").inc()

    @event_handler("members", "loyalty.members.v1.MemberErased")  # type: ignore[untyped-decorator]
    def member_erased(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, members_events.MemberErased) as received:
            if received:
                connection, event = received
                erase_member(connection, member_id_of(event.member), now=datetime.now(UTC))
