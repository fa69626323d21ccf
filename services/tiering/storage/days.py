"""Business days that are closed, and what was decided at their close."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from services.plumbing.database import array, text_array
from services.plumbing.prepared import Statement
from services.tiering.storage import locks

COLUMNS = "effective_day, old_tier, new_tier, cause, points, spend_minor, visits, version"
# Of the member and these.
TYPES = ("int", "int", "text", "text", "smallint", "bigint", "bigint", "bigint", "int")

CLOSE = Statement(
    "close_day",
    "int, bigint, timestamptz",
    "INSERT INTO closed_days (day, tier_changes, close_time) VALUES ($1, $2, $3)",
)


class Change(msgspec.Struct, frozen=True):
    """A member's tier from a day on, and what was measured when that was decided."""

    member: int
    effective_day: int
    old_tier: str
    new_tier: str
    cause: int
    points: int
    spend_minor: int
    visits: int
    version: int


@dataclass(frozen=True, slots=True)
class ClosedDay:
    day: int
    tier_changes: int
    # None for a day before the first that was closed.
    close_time: datetime | None


def lock_closing(connection: Connection) -> None:
    """Be the only one to decide about tiers until the connection's transaction ends."""
    locks.take(connection, "tiers")


def last_closed(connection: Connection) -> int | None:
    found: int | None = connection.exec_driver_sql("SELECT max(day) FROM closed_days").scalar_one()
    return found


def read(connection: Connection, day: int) -> ClosedDay | None:
    row = connection.exec_driver_sql(
        "SELECT day, tier_changes, close_time FROM closed_days WHERE day = %s", (day,)
    ).one_or_none()
    return ClosedDay(*row) if row else None


def close(connection: Connection, closed: ClosedDay) -> None:
    CLOSE.run(connection, closed.day, closed.tier_changes, closed.close_time)


def add_changes(connection: Connection, group_id: int, changes: Sequence[Change]) -> None:
    if not changes:
        return
    columns = list(zip(*map(msgspec.structs.astuple, changes), strict=True))
    values = [
        text_array(column) if kind == "text" else array(column)
        for kind, column in zip(TYPES, columns, strict=True)
    ]
    connection.exec_driver_sql(
        f"INSERT INTO tier_changes (group_id, member, {COLUMNS})"
        f" SELECT %s, * FROM unnest({', '.join(f'%s::{kind}[]' for kind in TYPES)})",
        (group_id, *values),
    )


def announced_tiers(
    connection: Connection, group_id: int, members: Sequence[int]
) -> dict[int, str]:
    """The tier each member was last said to be in; none for who never changed."""
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT ON (member) member, new_tier FROM tier_changes"
        " WHERE group_id = %s AND member = ANY(%s::int[]) ORDER BY member, id DESC",
        (group_id, array(members)),
    )
    return {row[0]: row[1] for row in rows}


def history(connection: Connection, group_id: int, member: int, *, limit: int) -> list[Change]:
    """A member's changes in a group, newest first."""
    rows = connection.exec_driver_sql(
        f"SELECT member, {COLUMNS} FROM tier_changes WHERE group_id = %s AND member = %s"
        " ORDER BY id DESC LIMIT %s",
        (group_id, member, limit),
    )
    return [Change(*row) for row in rows]
