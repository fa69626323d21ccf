"""Who counts as whom."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.merging import Merge
from services.members.domain.refusals import MergeNotFound
from services.plumbing.database import array
from services.plumbing.outbox import lock_subject

COLUMNS = "id, source_id, target_id, reason, merge_time, undo_time"


def lock_merges(connection: Connection) -> None:
    """Be the only one to change who counts as whom until the connection's transaction ends.

    Before any member is locked.
    """
    lock_subject(connection, "merges")


def add_merge(connection: Connection, added: Merge) -> None:
    connection.exec_driver_sql(
        "INSERT INTO merges (id, source_id, target_id, reason, merge_time)"
        " VALUES (%s::uuid, %s::uuid, %s::uuid, %s, %s)",
        (
            str(added.id),
            str(added.source_id),
            str(added.target_id),
            added.reason,
            added.merge_time,
        ),
    )


def end_merge(connection: Connection, ended: Merge) -> None:
    connection.exec_driver_sql(
        "UPDATE merges SET undo_time = %s WHERE id = %s::uuid", (ended.undo_time, str(ended.id))
    )


def read_merge(connection: Connection, merge_id: UUID) -> Merge:
    """Refuses: MergeNotFound."""
    row = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM merges WHERE id = %s::uuid", (str(merge_id),)
    ).one_or_none()
    if row is None:
        raise MergeNotFound
    return Merge(*row)


def merges_before(
    connection: Connection, member_id: UUID, before: int | None, *, limit: int
) -> list[tuple[int, Merge]]:
    """The merges a member took part in, newest first, each with its place in the list."""
    rows = connection.exec_driver_sql(
        f"SELECT sequence, {COLUMNS} FROM merges"
        " WHERE (source_id = %(member)s::uuid OR target_id = %(member)s::uuid)"
        " AND (%(before)s::bigint IS NULL OR sequence < %(before)s)"
        " ORDER BY sequence DESC LIMIT %(limit)s",
        {"member": str(member_id), "before": before, "limit": limit},
    )
    return [(row[0], Merge(*row[1:])) for row in rows]


def roots_of(connection: Connection, merged: Sequence[UUID]) -> dict[UUID, UUID]:
    """Whom each of these merged members counts as, at the end of all merges."""
    if not merged:
        return {}
    rows = connection.exec_driver_sql(
        "WITH RECURSIVE path (start, at) AS ("
        "SELECT source_id, target_id FROM merges"
        " WHERE source_id = ANY(%s::uuid[]) AND undo_time IS NULL"
        " UNION ALL SELECT path.start, merges.target_id FROM path"
        " JOIN merges ON merges.source_id = path.at AND merges.undo_time IS NULL)"
        " SELECT start, at FROM path WHERE NOT EXISTS ("
        "SELECT FROM merges WHERE source_id = path.at AND undo_time IS NULL)",
        (array(merged),),
    )
    return {row[0]: row[1] for row in rows}


def merged_into(connection: Connection, targets: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
    """Who is merged into each of these, be it by way of others: target and source."""
    if not targets:
        return []
    rows = connection.exec_driver_sql(
        "WITH RECURSIVE path (start, at) AS ("
        "SELECT target_id, source_id FROM merges"
        " WHERE target_id = ANY(%s::uuid[]) AND undo_time IS NULL"
        " UNION ALL SELECT path.start, merges.source_id FROM path"
        " JOIN merges ON merges.target_id = path.at AND merges.undo_time IS NULL)"
        " SELECT start, at FROM path ORDER BY start, at",
        (array(targets),),
    )
    return [(target_id, source_id) for target_id, source_id in rows]
