"""Who counts for whom since members were merged, and who is blocked or erased. Lies outside the
shards.

Nothing is written of who counts for whom in the end: every look-up follows the merges that hold,
so that they may be undone in any order. Each look-up ends also where merges go round in a circle,
as they may seem to while the undoing of one is still on its way.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from services.plumbing.database import text_array

# Members in %s with everybody who counts for them, as (root, member_id).
CLOSURE = """
    closure AS (
        SELECT id AS root, id AS member_id FROM unnest(%s::uuid[]) AS id
        UNION
        SELECT closure.root, m.source_id FROM closure
        JOIN merged_members m ON m.target_id = closure.member_id AND m.undo_time IS NULL)"""
# Members in %s with everybody they count for, as (source, member_id), themselves included.
ANCESTRY = """
    ancestry AS (
        SELECT id AS source, id AS member_id FROM unnest(%s::uuid[]) AS id
        UNION
        SELECT ancestry.source, m.target_id FROM ancestry
        JOIN merged_members m ON m.source_id = ancestry.member_id AND m.undo_time IS NULL)"""


@dataclass(frozen=True, slots=True)
class Merge:
    merge_id: str
    source_id: str
    target_id: str


def add(connection: Connection, merge: Merge, time: datetime) -> None:
    """Keep a merge. One that was undone stays so, and of two merges of the same source that hold
    the later one counts: the other was undone, which is still to be heard of.
    """
    connection.exec_driver_sql(
        "UPDATE merged_members SET undo_time = %s"
        " WHERE source_id = %s AND undo_time IS NULL AND merge_id <> %s AND merge_time <= %s",
        (time, merge.source_id, merge.merge_id, time),
    )
    connection.exec_driver_sql(
        "INSERT INTO merged_members (merge_id, source_id, target_id, merge_time, undo_time)"
        " VALUES (%s, %s, %s, %s, (SELECT max(merge_time) FROM merged_members"
        " WHERE source_id = %s AND undo_time IS NULL)) ON CONFLICT (merge_id) DO NOTHING",
        (merge.merge_id, merge.source_id, merge.target_id, time, merge.source_id),
    )


def undo(connection: Connection, merge: Merge, time: datetime) -> None:
    """Let a merge hold no longer, also one that is heard of only later."""
    connection.exec_driver_sql(
        "INSERT INTO merged_members (merge_id, source_id, target_id, merge_time, undo_time)"
        " VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (merge_id) DO UPDATE SET undo_time ="
        " coalesce(merged_members.undo_time, excluded.undo_time)",
        (merge.merge_id, merge.source_id, merge.target_id, time, time),
    )


def root_of(connection: Connection, member_id: str) -> str:
    """Who a member counts for in the end: the member, if merged with nobody."""
    return roots_of(connection, [member_id])[member_id]


def roots_of(connection: Connection, member_ids: Collection[str]) -> dict[str, str]:
    rows = connection.exec_driver_sql(
        f"WITH RECURSIVE {ANCESTRY}"
        " SELECT source::text, member_id::text FROM ancestry WHERE NOT EXISTS ("
        "  SELECT FROM merged_members m"
        "  WHERE m.source_id = ancestry.member_id AND m.undo_time IS NULL)",
        (text_array(member_ids),),
    )
    found: dict[str, str] = {row[0]: row[1] for row in rows}
    return {member_id: found.get(member_id, member_id) for member_id in member_ids}


def sources_of(connection: Connection, member_ids: Iterable[str]) -> dict[str, list[str]]:
    """Each member with everybody who counts for them, the member first."""
    rows = connection.exec_driver_sql(
        f"WITH RECURSIVE {CLOSURE} SELECT root::text, member_id::text FROM closure"
        " ORDER BY root, member_id <> root, member_id",
        (text_array(member_ids),),
    )
    found: dict[str, list[str]] = {}
    for root, member_id in rows:
        found.setdefault(root, []).append(member_id)
    return found


def note_block(connection: Connection, member_id: str, *, blocked: bool, time: datetime) -> None:
    """What was said later counts, whichever is heard of first."""
    connection.exec_driver_sql(
        "INSERT INTO member_marks AS k (member_id, blocked, block_time) VALUES (%s, %s, %s)"
        " ON CONFLICT (member_id) DO UPDATE"
        " SET blocked = excluded.blocked, block_time = excluded.block_time"
        " WHERE k.block_time IS NULL OR k.block_time <= excluded.block_time",
        (member_id, blocked, time),
    )


def note_erasure(connection: Connection, member_id: str, time: datetime) -> None:
    connection.exec_driver_sql(
        "INSERT INTO member_marks (member_id, erase_time) VALUES (%s, %s)"
        " ON CONFLICT (member_id) DO UPDATE SET erase_time = excluded.erase_time",
        (member_id, time),
    )


def blocked_among(connection: Connection, member_ids: Iterable[str]) -> set[str]:
    """Who of these spends nothing: who is blocked or erased, or counts for somebody who is."""
    rows = connection.exec_driver_sql(
        f"WITH RECURSIVE {ANCESTRY}"
        " SELECT DISTINCT source::text FROM ancestry JOIN member_marks k USING (member_id)"
        " WHERE k.blocked OR k.erase_time IS NOT NULL",
        (text_array(member_ids),),
    )
    return {row[0] for row in rows}
