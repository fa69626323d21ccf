"""The merges of members that stand, and whom they make of each."""

from uuid import UUID

from sqlalchemy import Connection


def lock(connection: Connection) -> None:
    """Be the only one who changes who is whom until the connection's transaction ends."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('merges'))")


def add(connection: Connection, merge_id: UUID, *, source_id: UUID, target_id: UUID) -> bool:
    """Note a merge; False where it is known, be it as undone."""
    noted = connection.exec_driver_sql(
        "INSERT INTO merges (merge_id, source_id, target_id) VALUES (%s::uuid, %s::uuid, %s::uuid)"
        " ON CONFLICT (merge_id) DO NOTHING",
        (str(merge_id), str(source_id), str(target_id)),
    )
    return bool(noted.rowcount)


def undo(connection: Connection, merge_id: UUID, *, source_id: UUID, target_id: UUID) -> bool:
    """Note that a merge is undone; False where it did not stand."""
    stood = connection.exec_driver_sql(
        "UPDATE merges SET undone = true WHERE merge_id = %s::uuid AND NOT undone",
        (str(merge_id),),
    )
    if not stood.rowcount:
        connection.exec_driver_sql(
            "INSERT INTO merges (merge_id, source_id, target_id, undone)"
            " VALUES (%s::uuid, %s::uuid, %s::uuid, true) ON CONFLICT (merge_id) DO NOTHING",
            (str(merge_id), str(source_id), str(target_id)),
        )
    return bool(stood.rowcount)


def join(connection: Connection, source_id: UUID, root_id: UUID) -> None:
    """Let a member, and who was merged into them, be another."""
    connection.exec_driver_sql(
        "UPDATE members SET root_id = %s::uuid WHERE root_id = %s::uuid",
        (str(root_id), str(source_id)),
    )
    connection.exec_driver_sql(
        "INSERT INTO members (member_id, root_id) VALUES (%s::uuid, %s::uuid)"
        " ON CONFLICT (member_id) DO UPDATE SET root_id = excluded.root_id",
        (str(source_id), str(root_id)),
    )


def part(connection: Connection, source_id: UUID) -> None:
    """Let a member be themself again, and who was merged into them be that member."""
    connection.exec_driver_sql(
        "WITH RECURSIVE found (member_id) AS (SELECT %(source)s::uuid UNION"
        " SELECT source_id FROM merges JOIN found ON target_id = found.member_id WHERE NOT undone)"
        " UPDATE members SET root_id = nullif(%(source)s::uuid, members.member_id)"
        " FROM found WHERE members.member_id = found.member_id",
        {"source": str(source_id)},
    )
