"""Households and who is in them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.households import Household, Share, ShareConsent
from services.members.domain.refusals import HouseholdNotFound
from services.plumbing.database import array

COLUMNS = "id, owner_id, revision, create_time, end_time"


def add_household(connection: Connection, added: Household) -> None:
    connection.exec_driver_sql(
        "INSERT INTO households (id, owner_id, revision, create_time)"
        " VALUES (%s::uuid, %s::uuid, %s, %s)",
        (str(added.id), str(added.owner_id), added.revision, added.create_time),
    )
    for share in added.shares:
        _add_share(connection, added.id, share)


def read_household(connection: Connection, household_id: UUID) -> Household:
    """Refuses: HouseholdNotFound."""
    return _read(connection, household_id, "")


def lock_household(connection: Connection, household_id: UUID) -> Household:
    """A household that nobody else changes until the connection's transaction ends. After the
    members who come or go were locked. Refuses: HouseholdNotFound.
    """
    return _read(connection, household_id, " FOR UPDATE")


def _read(connection: Connection, household_id: UUID, locking: str) -> Household:
    row = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM households WHERE id = %s::uuid{locking}", (str(household_id),)
    ).one_or_none()
    if row is None:
        raise HouseholdNotFound
    shares = connection.exec_driver_sql(
        "SELECT member_id, given_name, join_time, points_limit FROM household_members"
        " JOIN members ON members.id = member_id"
        " WHERE household_id = %s::uuid ORDER BY join_time, member_id",
        (str(household_id),),
    )
    return Household(
        id=row[0],
        owner_id=row[1],
        revision=row[2],
        create_time=row[3],
        end_time=row[4],
        shares=tuple(Share(*share) for share in shares),
    )


def change_household(connection: Connection, old: Household, new: Household) -> None:
    """Write what has changed of a household that is locked."""
    connection.exec_driver_sql(
        "UPDATE households SET owner_id = %s::uuid, revision = %s, end_time = %s"
        " WHERE id = %s::uuid",
        (_text(new.owner_id), new.revision, new.end_time, str(new.id)),
    )
    for share in old.shares:
        if not new.has(share.member_id):
            connection.exec_driver_sql(
                "DELETE FROM household_members WHERE member_id = %s::uuid", (str(share.member_id),)
            )
    for share in new.shares:
        if not old.has(share.member_id):
            _add_share(connection, new.id, share)
        elif share not in old.shares:
            connection.exec_driver_sql(
                "UPDATE household_members SET points_limit = %s WHERE member_id = %s::uuid",
                (share.points_limit, str(share.member_id)),
            )


def add_consent(connection: Connection, member_id: UUID, said: ShareConsent) -> None:
    """Keep what a member said; it stays when they have left."""
    connection.exec_driver_sql(
        "INSERT INTO share_consents (member_id, household_id, points_limit, time)"
        " VALUES (%s::uuid, %s::uuid, %s, %s)",
        (str(member_id), str(said.household_id), said.points_limit, said.time),
    )


def consents_before(
    connection: Connection, member_ids: Sequence[UUID], before: int | None, *, limit: int
) -> list[tuple[int, ShareConsent]]:
    """What members let their households spend, newest first, each with its place in the list."""
    rows = connection.exec_driver_sql(
        "SELECT sequence, household_id, points_limit, time FROM share_consents"
        " WHERE member_id = ANY(%s::uuid[]) AND (%s::bigint IS NULL OR sequence < %s)"
        " ORDER BY sequence DESC LIMIT %s",
        (array(member_ids), before, before, limit),
    )
    return [(row[0], ShareConsent(*row[1:])) for row in rows]


def _add_share(connection: Connection, household_id: UUID, share: Share) -> None:
    connection.exec_driver_sql(
        "INSERT INTO household_members (member_id, household_id, points_limit, join_time)"
        " VALUES (%s::uuid, %s::uuid, %s, %s)",
        (str(share.member_id), str(household_id), share.points_limit, share.join_time),
    )


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
