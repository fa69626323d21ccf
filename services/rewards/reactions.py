"""What rewards does when tiers change."""

from uuid import UUID

from loyalty.tiering.v1 import events_pb2
from nameko.events import event_handler

from services.plumbing.reactions import Database, apply
from services.rewards.storage.people import MemberTier
from services.rewards.usecases import people


def member_id_of(name: str) -> UUID:
    """Refuses: ValueError."""
    return UUID(name.removeprefix("members/"))


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
