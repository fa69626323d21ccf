"""What rewards does when tiers change, and when members are merged, blocked or erased."""

from datetime import UTC, datetime
from uuid import UUID

from loyalty.members.v1 import events_pb2 as members_events
from loyalty.tiering.v1 import events_pb2
from nameko.events import event_handler

from services.plumbing.reactions import Database, apply
from services.rewards.storage.people import MemberTier
from services.rewards.usecases import members, people


def member_id_of(name: str) -> UUID:
    """Refuses: ValueError."""
    return UUID(name.removeprefix("members/"))


def merge_id_of(name: str) -> UUID:
    """Refuses: ValueError."""
    return UUID(name.removeprefix("merges/"))


class RewardsReactions:
    """A nameko service; each reaction applies one event in one transaction."""

    name = "rewards"
    database = Database()

    @event_handler("tiering", "loyalty.tiering.v1.RuleSetPublished")  # type: ignore[untyped-decorator]
    def rule_set_published(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.RuleSetPublished) as received:
            if received:
                connection, event = received
                people.note_rules(
                    connection,
                    event.group,
                    event.tiers[0].tier,
                    effective_micros=event.effective_time_micros,
                )

    @event_handler("tiering", "loyalty.tiering.v1.MemberTierChanged")  # type: ignore[untyped-decorator]
    def member_tier_changed(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.MemberTierChanged) as received:
            if received:
                connection, event = received
                tiers = [
                    MemberTier(
                        member_id_of(change.member),
                        event.group,
                        event.effective_time_micros,
                        change.new_tier,
                    )
                    for change in event.changes
                ]
                people.change_tiers(connection, tiers)

    @event_handler("members", "loyalty.members.v1.MembersMerged")  # type: ignore[untyped-decorator]
    def members_merged(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, members_events.MembersMerged) as received:
            if received:
                connection, event = received
                members.merge_members(
                    connection,
                    merge_id_of(event.merge),
                    source_id=member_id_of(event.source),
                    target_id=member_id_of(event.target),
                )

    @event_handler("members", "loyalty.members.v1.MergeUndone")  # type: ignore[untyped-decorator]
    def merge_undone(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, members_events.MergeUndone) as received:
            if received:
                connection, event = received
                members.undo_merge(
                    connection,
                    merge_id_of(event.merge),
                    source_id=member_id_of(event.source),
                    target_id=member_id_of(event.target),
                )

    @event_handler("members", "loyalty.members.v1.MemberBlocked")  # type: ignore[untyped-decorator]
    def member_blocked(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, members_events.MemberBlocked) as received:
            if received:
                connection, event = received
                time = event.block_time.ToDatetime(tzinfo=UTC)
                members.set_blocked(connection, member_id_of(event.member), blocked=True, time=time)

    @event_handler("members", "loyalty.members.v1.MemberUnblocked")  # type: ignore[untyped-decorator]
    def member_unblocked(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, members_events.MemberUnblocked) as received:
            if received:
                connection, event = received
                time = event.unblock_time.ToDatetime(tzinfo=UTC)
                members.set_blocked(
                    connection, member_id_of(event.member), blocked=False, time=time
                )

    @event_handler("members", "loyalty.members.v1.MemberErased")  # type: ignore[untyped-decorator]
    def member_erased(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, members_events.MemberErased) as received:
            if received:
                connection, event = received
                members.erase_member(
                    connection,
                    member_id_of(event.member),
                    time=event.erase_time.ToDatetime(tzinfo=UTC),
                    now=datetime.now(UTC),
                )
