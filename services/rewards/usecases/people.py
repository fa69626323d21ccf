"""What is kept of members: what tiering announces, and the segments that marketing names."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.rewards.storage import people
from services.rewards.storage.people import MemberTier


def change_tiers(connection: Connection, tiers: Sequence[MemberTier]) -> None:
    """Let members be in these tiers from the times on that were announced."""
    people.add_member_tiers(connection, tiers)


def note_rules(
    connection: Connection, group: str, lowest_tier: str, *, effective_micros: int
) -> None:
    """Let members of whom nothing is announced be in the lowest tier of a group's rules."""
    people.note_lowest_tier(connection, group, lowest_tier, effective_micros=effective_micros)


def set_segment(
    database: Engine, segment: str, *, added: Sequence[UUID], removed: Sequence[UUID]
) -> int:
    """How many members are in the segment now. Who is added and removed at once is removed."""
    with transaction(database) as connection:
        people.add_to_segment(connection, segment, added)
        people.take_from_segment(connection, segment, removed)
        return people.segment_size(connection, segment)
