"""What members did, a row a document, and which days that changed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from sqlalchemy import Connection

from services.plumbing.database import array
from services.plumbing.prepared import Statement
from services.tiering.domain.columns import NEVER, Booleans, Int64s
from services.tiering.storage import changed_days
from services.tiering.storage.changed_days import SUMS, Insertion
from services.tiering.storage.columns import Columns, can_copy, copy_in, literal
from services.tiering.storage.members import NOBODY, Owners
from services.tiering.storage.slices import slice_of

AMOUNTS = {
    "day": "i4",
    "points": "i8",
    "spend_minor": "i8",
    "visits": "i4",
    "base_points": "i8",
    "base_points_before": "i8",
}
COLUMNS = ", ".join(AMOUNTS)
OWN = {"slice": "i2", "member": "i4", **AMOUNTS}
MERGED = {**OWN, "origin": "i4"}
WAITING = {"wallet": "i8", **AMOUNTS}
SQL_TYPES = {"i2": "smallint", "i4": "int", "i8": "bigint"}
# To begin a COPY takes as long as to insert some rows.
COPIED_MIN = 16
DOCUMENTS = Statement(
    "documents_of",
    "int",
    "SELECT coalesce(sum(documents), 0) FROM applied_documents WHERE day = $1",
)


# What a document added to a day of its wallet's owner: a value for each of the columns below.
Movement: TypeAlias = tuple[int, ...]


class Movements(NamedTuple):
    """What documents added to days of their wallets' owners, a column each. Points are qualifying
    points.
    """

    wallet: Int64s
    day: Int64s
    points: Int64s
    spend_minor: Int64s
    visits: Int64s
    base_points: Int64s
    base_points_before: Int64s


def columns_of(movements: Sequence[Movement]) -> Movements:
    """Refuses: OverflowError."""
    return Movements(*np.array(movements, np.int64).T)


def add(connection: Connection, movements: Movements, owners: Owners) -> None:
    """Add movements to the members who own the wallets; those of others wait for their owner."""
    members, origins = owners.of(movements.wallet)
    # By slices: the database looks for the part of the table a row belongs to when it changes.
    slices = slice_of(members)
    order = np.lexsort((movements.day, members, slices))
    columns = {name: column[order] for name, column in movements._asdict().items()}
    columns |= {"slice": slices[order], "member": members[order], "origin": origins[order]}
    is_owned, is_own = columns["member"] != NOBODY, columns["origin"] == NOBODY
    insertions = [
        *_insertions(connection, "activity", OWN, _only(columns, is_owned & is_own)),
        *_insertions(connection, "activity", MERGED, _only(columns, ~is_own)),
        *_insertions(connection, "waiting_activity", WAITING, _only(columns, ~is_owned)),
        *changed_days.insertions(_changed(_only(columns, is_owned))),
        _documents(movements.day),
    ]
    connection.exec_driver_sql(
        ";".join(each.statement for each in insertions),
        tuple(value for each in insertions for value in each.values),
    )


def _only(columns: Columns, chosen: Booleans) -> Columns:
    return {name: column[chosen] for name, column in columns.items()}


def _changed(owned: Columns) -> Columns:
    """What rows come to by day and member."""
    order = np.lexsort((owned["member"], owned["day"]))
    day, member = owned["day"][order], owned["member"][order]
    is_next = (day[1:] != day[:-1]) | (member[1:] != member[:-1])
    begins = np.flatnonzero(np.concatenate([np.ones(min(len(day), 1), np.bool_), is_next]))
    sums = {name: np.add.reduceat(owned[name][order], begins) for name in SUMS if len(day)}
    return {"day": day[begins], "member": member[begins], **sums}


def _documents(movement_days: Int64s) -> Insertion:
    found, counts = np.unique(movement_days, return_counts=True)
    return _insertion("applied_documents", {"day": "i4", "documents": "i4"}, [found, counts])


def _insertions(
    connection: Connection, table: str, types: Mapping[str, str], columns: Columns
) -> Iterator[Insertion]:
    """What is left to do to insert rows, given as columns: nothing of many, which are copied."""
    rows = len(columns["day"])
    if rows >= COPIED_MIN and can_copy():
        copy_in(connection, table, types, columns)
    elif rows:
        yield _insertion(table, types, [columns[name] for name in types])


def _insertion(table: str, types: Mapping[str, str], columns: Sequence[Int64s]) -> Insertion:
    values = ", ".join(f"unnest(%s::{SQL_TYPES[kind]}[])" for kind in types.values())
    return Insertion(
        f"INSERT INTO {table} ({', '.join(types)}) SELECT {values}",
        [literal(column) for column in columns],
    )


def waiting_among(connection: Connection, wallets: Sequence[int]) -> list[int]:
    """Which of these wallets did anything before they had an owner."""
    rows = connection.exec_driver_sql(
        "SELECT wallet FROM unnest(%s::bigint[]) AS wallet"
        " WHERE EXISTS (SELECT FROM waiting_activity w WHERE w.wallet = wallet.wallet)",
        (array(wallets),),
    )
    return list(rows.scalars())


def claim_waiting(connection: Connection, wallet: int, member: int, origin: int) -> None:
    """Let what waited for a wallet's owner count for them, each in its day."""
    connection.exec_driver_sql(
        "WITH moved AS (DELETE FROM waiting_activity WHERE wallet = %(wallet)s RETURNING *),"
        f" added AS (INSERT INTO activity (slice, member, origin, {COLUMNS})"
        f" SELECT %(slice)s, %(member)s, %(origin)s, {COLUMNS} FROM moved)"
        " INSERT INTO changed_days (day, members) SELECT day, ARRAY[%(member)s::int] FROM moved"
        " GROUP BY day",
        {
            "wallet": wallet,
            "member": member,
            "origin": None if origin == NOBODY else origin,
            "slice": slice_of(member),
        },
    )


def documents_of(connection: Connection, day: int) -> int:
    """How many documents of a day were applied."""
    ((found,),) = DOCUMENTS.run(connection, day)
    return int(found)


def oldest_day(connection: Connection) -> int:
    """A day before which nobody did anything; NEVER where nobody did at all."""
    found: int | None = connection.exec_driver_sql(
        "SELECT min(day) FROM applied_documents"
    ).scalar_one()
    return NEVER if found is None else found
