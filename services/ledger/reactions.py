"""What the ledger does when members enrol, merge, part and share, and when cards change."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from loyalty.members.v1 import events_pb2
from loyalty.tiering.v1 import events_pb2 as tiering_events
from nameko.events import event_handler
from sqlalchemy import Connection

from services.ledger.domain.standing import TierRules
from services.ledger.events import wallet_attached
from services.ledger.storage.households import Share
from services.ledger.storage.merges import Merge
from services.ledger.storage.tiers import MemberTier
from services.ledger.usecases import attach, tiers, together
from services.ledger.usecases.attach import Enrolled, Issued
from services.plumbing.inbox import gather
from services.plumbing.reactions import Database, apply


def member_id_of(name: str) -> str:
    return name.removeprefix("members/")


def merge_of(event: events_pb2.MembersMerged | events_pb2.MergeUndone) -> Merge:
    return Merge(
        event.merge.removeprefix("merges/"), member_id_of(event.source), member_id_of(event.target)
    )


def now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def welcome(connection: Connection, news: Sequence[Enrolled | Issued]) -> None:
    attach.welcome(connection, news, now=now(), announce=wallet_attached)


class LedgerReactions:
    """A nameko service; each reaction applies one event in one transaction."""

    name = "ledger"
    database = Database()

    @event_handler("members", "loyalty.members.v1.MemberEnrolled")  # type: ignore[untyped-decorator]
    def member_enrolled(self, envelope: bytes) -> None:
        with apply(
            self.database, self.name, envelope, events_pb2.MemberEnrolled, gathers=True
        ) as received:
            if received:
                connection, event = received
                time = event.enrol_time.ToDatetime(tzinfo=UTC)
                gather(connection, welcome, Enrolled(member_id_of(event.member), time))

    @event_handler("members", "loyalty.members.v1.CardIssued")  # type: ignore[untyped-decorator]
    def card_issued(self, envelope: bytes) -> None:
        with apply(
            self.database, self.name, envelope, events_pb2.CardIssued, gathers=True
        ) as received:
            if received:
                connection, event = received
                gather(connection, welcome, Issued(member_id_of(event.member), event.card_token))

    @event_handler("members", "loyalty.members.v1.CardReplaced")  # type: ignore[untyped-decorator]
    def card_replaced(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.CardReplaced) as received:
            if received:
                connection, event = received
                attach.replace_card(
                    connection,
                    member_id_of(event.member),
                    event.old_card_token,
                    event.new_card_token,
                    now=now(),
                    announce=wallet_attached,
                )

    @event_handler("members", "loyalty.members.v1.CardBlocked")  # type: ignore[untyped-decorator]
    def card_blocked(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.CardBlocked) as received:
            if received:
                connection, event = received
                attach.block_card(connection, event.card_token)

    @event_handler("members", "loyalty.members.v1.MembersMerged")  # type: ignore[untyped-decorator]
    def members_merged(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.MembersMerged) as received:
            if received:
                connection, event = received
                time = event.merge_time.ToDatetime(tzinfo=UTC)
                together.merge(connection, merge_of(event), time)

    @event_handler("members", "loyalty.members.v1.MergeUndone")  # type: ignore[untyped-decorator]
    def merge_undone(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.MergeUndone) as received:
            if received:
                connection, event = received
                time = event.undo_time.ToDatetime(tzinfo=UTC)
                together.undo_merge(connection, merge_of(event), time)

    @event_handler("members", "loyalty.members.v1.MemberBlocked")  # type: ignore[untyped-decorator]
    def member_blocked(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.MemberBlocked) as received:
            if received:
                connection, event = received
                time = event.block_time.ToDatetime(tzinfo=UTC)
                together.block(connection, member_id_of(event.member), blocked=True, time=time)

    @event_handler("members", "loyalty.members.v1.MemberUnblocked")  # type: ignore[untyped-decorator]
    def member_unblocked(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.MemberUnblocked) as received:
            if received:
                connection, event = received
                time = event.unblock_time.ToDatetime(tzinfo=UTC)
                together.block(connection, member_id_of(event.member), blocked=False, time=time)

    @event_handler("members", "loyalty.members.v1.MemberErased")  # type: ignore[untyped-decorator]
    def member_erased(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.MemberErased) as received:
            if received:
                connection, event = received
                time = event.erase_time.ToDatetime(tzinfo=UTC)
                together.erase(connection, member_id_of(event.member), time)

    @event_handler("members", "loyalty.members.v1.HouseholdChanged")  # type: ignore[untyped-decorator]
    def household_changed(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.HouseholdChanged) as received:
            if received:
                connection, event = received
                together.change_household(
                    connection,
                    event.household.removeprefix("households/"),
                    revision=event.revision,
                    shares=[
                        Share(
                            member_id_of(share.member),
                            share.points_limit,
                            share.join_time.ToDatetime(tzinfo=UTC),
                        )
                        for share in event.members
                    ],
                    time=event.change_time.ToDatetime(tzinfo=UTC),
                )

    @event_handler("tiering", "loyalty.tiering.v1.RuleSetPublished")  # type: ignore[untyped-decorator]
    def rule_set_published(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, tiering_events.RuleSetPublished) as received:
            if received:
                connection, event = received
                multipliers = {tier.tier: tier.earn_multiplier or "1" for tier in event.tiers}
                tiers.note_rules(
                    connection,
                    TierRules(event.group, event.version, event.effective_time_micros, multipliers),
                )

    @event_handler("tiering", "loyalty.tiering.v1.MemberTierChanged")  # type: ignore[untyped-decorator]
    def member_tier_changed(self, envelope: bytes) -> None:
        with apply(
            self.database, self.name, envelope, tiering_events.MemberTierChanged
        ) as received:
            if received:
                connection, event = received
                tiers.change_tiers(
                    connection,
                    [
                        MemberTier(
                            member_id_of(change.member),
                            event.group,
                            event.effective_time_micros,
                            change.new_tier,
                        )
                        for change in event.changes
                    ],
                )
