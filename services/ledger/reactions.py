"""What the ledger does when members enrol and cards change."""

import time
from datetime import UTC, datetime

from loyalty.members.v1 import events_pb2
from loyalty.tiering.v1 import events_pb2 as tiering_events
from nameko.events import event_handler

from services.ledger.domain.standing import TierRules
from services.ledger.events import wallet_attached
from services.ledger.storage.tiers import MemberTier
from services.ledger.usecases import attach, tiers
from services.plumbing.reactions import Database, apply


def member_id_of(name: str) -> str:
    return name.removeprefix("members/")


def now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


class LedgerReactions:
    """A nameko service; each reaction applies one event in one transaction."""

    name = "ledger"
    database = Database()

    @event_handler("members", "loyalty.members.v1.MemberEnrolled")  # type: ignore[untyped-decorator]
    def member_enrolled(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.MemberEnrolled) as received:
            if received:
                connection, event = received
                enrolled = event.enrol_time.ToDatetime(tzinfo=UTC)
                attach.note_member(connection, member_id_of(event.member), enrolled)

    @event_handler("members", "loyalty.members.v1.CardIssued")  # type: ignore[untyped-decorator]
    def card_issued(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.CardIssued) as received:
            if received:
                connection, event = received
                attach.issue_card(
                    connection,
                    member_id_of(event.member),
                    event.card_token,
                    now=now(),
                    announce=wallet_attached,
                )

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
