"""Who belongs to which household, and what the others may spend of their points. Lies outside the
shards.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from services.plumbing.database import array, text_array


@dataclass(frozen=True, slots=True)
class Share:
    """A member of a household; points_limit is what the others may spend of the member's points in
    any thirty days.
    """

    member_id: str
    points_limit: int
    join_time: datetime


def put(
    connection: Connection,
    household_id: str,
    *,
    revision: int,
    shares: Sequence[Share],
    time: datetime,
) -> bool:
    """Replace what is known of a household, unless that is newer; whether it was not."""
    changed = connection.exec_driver_sql(
        "INSERT INTO households AS h (household_id, revision, change_time) VALUES (%s, %s, %s)"
        " ON CONFLICT (household_id) DO UPDATE"
        " SET revision = excluded.revision, change_time = excluded.change_time"
        " WHERE h.revision < excluded.revision",
        (household_id, revision, time),
    )
    if not changed.rowcount:
        return False
    connection.exec_driver_sql(
        "DELETE FROM household_members WHERE household_id = %s", (household_id,)
    )
    connection.exec_driver_sql(
        "INSERT INTO household_members (household_id, member_id, points_limit, join_time)"
        " SELECT %s, told.* FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) AS told",
        (
            household_id,
            array(share.member_id for share in shares),
            array(share.points_limit for share in shares),
            text_array(share.join_time.isoformat() for share in shares),
        ),
    )
    return True


def of_members(connection: Connection, member_ids: Collection[str]) -> str | None:
    """The household of a member and of who counts for them; of several the one joined last."""
    found: str | None = connection.exec_driver_sql(
        "SELECT household_id::text FROM household_members WHERE member_id = ANY(%s::uuid[])"
        " ORDER BY join_time DESC, household_id LIMIT 1",
        (text_array(member_ids),),
    ).scalar_one_or_none()
    return found


def lock(connection: Connection, household_id: str) -> None:
    """Until the end of the transaction nobody else counts what may still be spent of it."""
    connection.exec_driver_sql(
        "SELECT FROM households WHERE household_id = %s FOR UPDATE", (household_id,)
    )


def shares_of(connection: Connection, household_id: str) -> list[Share]:
    """The members of a household, the first to join first."""
    rows = connection.exec_driver_sql(
        "SELECT member_id::text, points_limit, join_time FROM household_members"
        " WHERE household_id = %s ORDER BY join_time, member_id",
        (household_id,),
    )
    return [Share(*row) for row in rows]
