"""What members tell the ledger, delivered to its reactions as a bus would."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import Message
from loyalty.members.v1 import events_pb2
from loyalty.tiering.v1 import events_pb2 as tiering
from plumbing.v1 import envelope_pb2

from services.ledger.reactions import LedgerReactions
from services.plumbing.database import engine


def new_member() -> str:
    return f"members/{uuid.uuid4()}"


def wallet_name(member: str) -> str:
    return f"{member}/wallet"


def envelope(event: Message, source: str = "members") -> bytes:
    """An event as its source announces it, under an id of its own."""
    wrapped = envelope_pb2.Envelope(
        id=f"test-{uuid.uuid4()}",
        source=source,
        type=event.DESCRIPTOR.full_name,
        data=event.SerializeToString(),
    )
    wrapped.time.FromSeconds(int(time.time()))
    return wrapped.SerializeToString()


class Told:
    """The ledger's reactions, told of members and cards."""

    def __init__(self, reactions: Any) -> None:
        self.reactions = reactions

    def enrolled(self, member: str) -> None:
        event = events_pb2.MemberEnrolled(member=member)
        event.enrol_time.FromSeconds(int(time.time()))
        self.reactions.member_enrolled(envelope(event))

    def issued(self, member: str, card: str) -> None:
        event = events_pb2.CardIssued(member=member, card_token=card)
        self.reactions.card_issued(envelope(event))

    def replaced(self, member: str, old: str, new: str) -> None:
        event = events_pb2.CardReplaced(member=member, old_card_token=old, new_card_token=new)
        self.reactions.card_replaced(envelope(event))

    def blocked(self, member: str, card: str) -> None:
        event = events_pb2.CardBlocked(member=member, card_token=card)
        self.reactions.card_blocked(envelope(event))

    def rules_published(
        self, group: str, version: int, effective_micros: int, **multipliers: str
    ) -> None:
        """Tiers with their multipliers, the lowest first."""
        event = tiering.RuleSetPublished(
            group=group, version=version, effective_time_micros=effective_micros
        )
        for tier, times in multipliers.items():
            event.tiers.add(tier=tier, earn_multiplier=times)
        self.reactions.rule_set_published(envelope(event, "tiering"))

    def tier_changed(self, group: str, tier: str, effective_micros: int, *members: str) -> None:
        event = tiering.MemberTierChanged(group=group, effective_time_micros=effective_micros)
        for member in members:
            event.changes.add(member=member, new_tier=tier)
        self.reactions.member_tier_changed(envelope(event, "tiering"))


@contextmanager
def told(database_url: str) -> Iterator[Told]:
    """Reactions on a ledger's database while the block runs."""
    reactions: Any = LedgerReactions()
    reactions.database = engine(database_url, pool_size=4)
    try:
        yield Told(reactions)
    finally:
        reactions.database.dispose()
