"""What `members` told of members: who is whom, who is blocked, and who is erased."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.errors import Refused
from services.rewards.domain.refusals import MemberBlocked, MemberErased, MemberMerged

# Those who get nothing, of the members in $1, and why.
BARRED = (
    "SELECT member_id, root_id, erase_time IS NOT NULL AS erased FROM members"
    " WHERE member_id = ANY($1) AND (root_id IS NOT NULL OR blocked OR erase_time IS NOT NULL)"
)


def why_barred(root_id: UUID | None, *, erased: bool) -> Refused:
    """Why who is BARRED gets nothing for points."""
    if root_id is not None:
        return MemberMerged(root_id)
    return MemberErased() if erased else MemberBlocked()


def root_of(connection: Connection, member_id: UUID) -> UUID:
    """Who a member is now: themself, unless merged."""
    found: UUID | None = connection.exec_driver_sql(
        "SELECT root_id FROM members WHERE member_id = %s::uuid", (str(member_id),)
    ).scalar_one_or_none()
    return found or member_id


def all_of(connection: Connection, member_id: UUID) -> list[UUID]:
    """A member and all who are merged into them. Refuses: MemberMerged."""
    rows = connection.exec_driver_sql(
        "SELECT member_id, root_id FROM members WHERE root_id IS NOT NULL"
        " AND (member_id = %(member)s::uuid OR root_id = %(member)s::uuid)",
        {"member": str(member_id)},
    )
    found: dict[UUID, UUID] = {row[0]: row[1] for row in rows}
    if member_id in found:
        raise MemberMerged(found[member_id])
    return [member_id, *found]


def set_blocked(connection: Connection, member_id: UUID, *, blocked: bool, time: datetime) -> None:
    """What was said last counts, in whatever order it is heard."""
    connection.exec_driver_sql(
        "INSERT INTO members AS known (member_id, blocked, block_change_time)"
        " VALUES (%s::uuid, %s, %s) ON CONFLICT (member_id) DO UPDATE"
        " SET blocked = excluded.blocked, block_change_time = excluded.block_change_time"
        " WHERE known.block_change_time IS NULL"
        " OR known.block_change_time <= excluded.block_change_time",
        (str(member_id), blocked, time),
    )


def set_erased(connection: Connection, member_id: UUID, *, time: datetime) -> None:
    connection.exec_driver_sql(
        "INSERT INTO members (member_id, erase_time) VALUES (%s::uuid, %s)"
        " ON CONFLICT (member_id) DO UPDATE SET erase_time = excluded.erase_time",
        (str(member_id), time),
    )
