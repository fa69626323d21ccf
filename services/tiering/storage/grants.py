"""Tiers assigned by hand, invitations and audiences."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.database import array
from services.tiering.domain.columns import NEVER, GrantKind
from services.tiering.domain.refusals import AssignmentNotFound

ASSIGNED = (GrantKind.AT_LEAST.value, GrantKind.EXACTLY.value)
COLUMNS = (
    "grants.id, group_id, tier_groups.name, member, member_id, kind, grants.name, from_day,"
    " end_day, reason, actor, create_time, revoke_time"
)
FROM = (
    "FROM grants JOIN members ON members.number = coalesce(origin, member)"
    " LEFT JOIN tier_groups ON tier_groups.id = group_id"
)

# Whoever it counts for.
GRANTED_TO = "(origin = %s OR (member = %s AND origin IS NULL))"


@dataclass(frozen=True, slots=True)
class Grant:
    """What was granted to a member by hand. In force until the day before end_day."""

    id: int
    group_id: int
    group: str
    # For whom it counts; member_id is to whom it was granted.
    member: int
    member_id: UUID
    kind: GrantKind
    name: str
    from_day: int
    end_day: int
    reason: str
    actor: str
    create_time: datetime
    revoke_time: datetime | None


@dataclass(frozen=True, slots=True)
class NewGrant:
    """What is to be granted. group_id is None for an audience."""

    group_id: int | None
    member: int
    kind: GrantKind
    name: str
    from_day: int
    reason: str
    actor: str
    end_day: int = NEVER
    request_id: UUID | None = None
    fingerprint: bytes | None = None


def add(connection: Connection, grant: NewGrant, now: datetime) -> int:
    """The id of the grant. What is granted to a merged member counts for whom they are now."""
    found: int = connection.exec_driver_sql(
        "INSERT INTO grants (group_id, member, origin, kind, name, from_day, end_day, reason,"
        " actor, create_time, request_id, fingerprint)"
        " SELECT %s, coalesce(root, number), CASE WHEN root IS NOT NULL THEN number END,"
        " %s, %s, %s, %s, %s, %s, %s, %s::uuid, %s FROM members WHERE number = %s RETURNING id",
        (
            grant.group_id,
            grant.kind.value,
            grant.name,
            grant.from_day,
            grant.end_day,
            grant.reason,
            grant.actor,
            now,
            str(grant.request_id) if grant.request_id else None,
            grant.fingerprint,
            grant.member,
        ),
    ).scalar_one()
    return found


def granted_by(connection: Connection, request_id: UUID) -> tuple[int, bytes] | None:
    """The grant made under a request_id, and the fingerprint of what was asked."""
    row = connection.exec_driver_sql(
        "SELECT id, fingerprint FROM grants WHERE request_id = %s::uuid", (str(request_id),)
    ).one_or_none()
    return (row[0], bytes(row[1])) if row else None


def read(connection: Connection, grant_id: int) -> Grant:
    """A tier assigned by hand. Refuses: AssignmentNotFound."""
    row: Any = connection.exec_driver_sql(
        f"SELECT {COLUMNS} {FROM} WHERE grants.id = %s AND kind = ANY(%s::smallint[])",
        (grant_id, array(ASSIGNED)),
    ).one_or_none()
    if row is None:
        raise AssignmentNotFound
    values = list(row)
    values[5] = GrantKind(values[5])
    return Grant(*values)


def revoke(
    connection: Connection, grant_id: int, *, end_day: int, revoker: str, reason: str, now: datetime
) -> None:
    """End a grant with the day before end_day; it does not begin where it had not begun."""
    connection.exec_driver_sql(
        "UPDATE grants SET end_day = greatest(from_day, least(end_day, %s)), revoke_time = %s,"
        " revoker = %s, revoke_reason = %s WHERE id = %s",
        (end_day, now, revoker, reason, grant_id),
    )


def end_audiences(connection: Connection, number: int, *, end_day: int, now: datetime) -> None:
    """Take a member out of every audience."""
    connection.exec_driver_sql(
        "UPDATE grants SET end_day = greatest(from_day, least(end_day, %s)), revoke_time = %s"
        f" WHERE {GRANTED_TO} AND kind = %s AND revoke_time IS NULL",
        (end_day, now, number, number, GrantKind.AUDIENCE.value),
    )


def forget_words(connection: Connection, number: int) -> None:
    """Forget why something was granted to a member, and revoked: people wrote of a person there."""
    connection.exec_driver_sql(
        "UPDATE grants SET reason = '',"
        " revoke_reason = CASE WHEN revoke_reason IS NOT NULL THEN '' END"
        f" WHERE {GRANTED_TO}",
        (number, number),
    )


def in_force(
    connection: Connection, kind: GrantKind, name: str, *, group_id: int | None, day: int
) -> dict[int, int]:
    """The members to whom something is granted on a day, and the grant of each."""
    rows = connection.exec_driver_sql(
        "SELECT coalesce(origin, member), max(id) FROM grants WHERE kind = %s AND name = %s"
        " AND group_id IS NOT DISTINCT FROM %s AND from_day <= %s AND %s < end_day GROUP BY 1",
        (kind.value, name, group_id, day, day),
    )
    return {row[0]: row[1] for row in rows}


def assigned_tiers(connection: Connection, group_id: int) -> set[str]:
    """The tiers that members are assigned or invited to without an end that has come."""
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT name FROM grants WHERE group_id = %s"
        " AND end_day > coalesce((SELECT max(day) FROM closed_days), end_day - 1) + 1",
        (group_id,),
    )
    return set(rows.scalars())


def names_in_force(connection: Connection, member: int, kind: GrantKind, *, day: int) -> set[str]:
    """What of a kind was granted to a member and is in force on a day."""
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT name FROM grants WHERE member = %s AND kind = %s"
        " AND from_day <= %s AND %s < end_day",
        (member, kind.value, day, day),
    )
    return set(rows.scalars())
