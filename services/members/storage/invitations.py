"""Invitations into households."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.invitations import Invitation, InvitationState
from services.members.domain.refusals import InvitationNotFound

COLUMNS = "id, household_id, member_id, code, create_time, expire_time, state"
# How long one that ended can still be told from one that never was.
REMEMBERED = timedelta(days=30)


def add_invitation(connection: Connection, added: Invitation) -> None:
    connection.exec_driver_sql(
        "INSERT INTO invitations (id, household_id, member_id, code, create_time, expire_time,"
        " state) VALUES (%s::uuid, %s::uuid, %s::uuid, %s, %s, %s, %s)",
        (
            str(added.id),
            str(added.household_id),
            None if added.member_id is None else str(added.member_id),
            added.code,
            added.create_time,
            added.expire_time,
            added.state.value,
        ),
    )


def change_invitation(connection: Connection, changed: Invitation) -> None:
    connection.exec_driver_sql(
        "UPDATE invitations SET state = %s WHERE id = %s::uuid",
        (changed.state.value, str(changed.id)),
    )


def read_invitation(connection: Connection, invitation_id: UUID) -> Invitation:
    """Refuses: InvitationNotFound."""
    return _one(connection, "id = %s::uuid", str(invitation_id))


def lock_invitation(connection: Connection, invitation_id: UUID) -> Invitation:
    """An invitation that nobody else answers until the connection's transaction ends.

    After its household was locked, where that is. Refuses: InvitationNotFound.
    """
    return _one(connection, "id = %s::uuid FOR UPDATE", str(invitation_id))


def invitation_of_code(connection: Connection, code: str) -> Invitation:
    """Refuses: InvitationNotFound."""
    return _one(connection, "code = %s", code)


def _one(connection: Connection, condition: str, value: str) -> Invitation:
    row = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM invitations WHERE {condition}", (value,)
    ).one_or_none()
    if row is None:
        raise InvitationNotFound
    return _invitation(row)


def open_invitations(
    connection: Connection, household_id: UUID, member_id: UUID | None, *, now: datetime
) -> tuple[int, bool]:
    """How many invitations of a household are open, and whether one is for the member."""
    count, invited = connection.exec_driver_sql(
        "SELECT count(*), coalesce(bool_or(member_id = %s::uuid), false) FROM invitations"
        " WHERE household_id = %s::uuid AND state = 'open' AND expire_time > %s",
        (None if member_id is None else str(member_id), str(household_id), now),
    ).one()
    return count, invited


def drop_ended(
    connection: Connection, household_id: UUID, member_id: UUID | None, *, now: datetime
) -> None:
    """Forget a household's invitations that ended long ago, and expired ones for a member."""
    connection.exec_driver_sql(
        "DELETE FROM invitations WHERE household_id = %s::uuid"
        " AND (expire_time <= %s OR member_id = %s::uuid AND state = 'open' AND expire_time <= %s)",
        (str(household_id), now - REMEMBERED, None if member_id is None else str(member_id), now),
    )


def drop_all_of(connection: Connection, household_id: UUID) -> None:
    """Forget the invitations into a household that has ended."""
    connection.exec_driver_sql(
        "DELETE FROM invitations WHERE household_id = %s::uuid", (str(household_id),)
    )


def open_before(
    connection: Connection,
    whose: Literal["member_id", "household_id"],
    value: UUID,
    before: int | None,
    *,
    now: datetime,
    limit: int,
) -> list[tuple[int, Invitation]]:
    """The open invitations for a member or into a household, newest first, each with its place."""
    rows = connection.exec_driver_sql(
        f"SELECT sequence, {COLUMNS} FROM invitations WHERE {whose} = %s::uuid"
        " AND state = 'open' AND expire_time > %s AND (%s::bigint IS NULL OR sequence < %s)"
        " ORDER BY sequence DESC LIMIT %s",
        (str(value), now, before, before, limit),
    )
    return [(row[0], _invitation(row[1:])) for row in rows]


def _invitation(row: Sequence[Any]) -> Invitation:
    return replace(Invitation(*row[:6]), state=InvitationState(row[6]))
