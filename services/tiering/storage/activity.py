"""What members did, a row a document, and which days that changed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from services.plumbing.database import array
from services.tiering.storage.members import Owner
from services.tiering.storage.slices import slice_of

COLUMNS = "day, points, spend_minor, visits, base_points, base_points_before"
TYPES = ("int", "bigint", "bigint", "int", "bigint", "bigint")


class Movement(msgspec.Struct, frozen=True):
    """What one document added to a day of a wallet's owner. Points are qualifying points."""

    wallet: int
    day: int
    points: int
    spend_minor: int
    visits: int
    base_points: int
    base_points_before: int

    def amounts(self) -> tuple[int, ...]:
        """As the columns name them."""
        return (
            self.day,
            self.points,
            self.spend_minor,
            self.visits,
            self.base_points,
            self.base_points_before,
        )


def add(connection: Connection, movements: Sequence[Movement], owners: Mapping[int, Owner]) -> None:
    """Add movements to the members who own the wallets; those of others wait for their owner."""
    rows: list[tuple[object, ...]] = []
    waiting: list[tuple[object, ...]] = []
    changed: set[tuple[int, int]] = set()
    for movement in movements:
        owner = owners.get(movement.wallet)
        if owner is None:
            waiting.append((movement.wallet, *movement.amounts()))
        else:
            origin = "NULL" if owner.origin is None else owner.origin
            rows.append((slice_of(owner.member), owner.member, origin, *movement.amounts()))
            changed.add((owner.member, movement.day))
    documents = Counter(movement.day for movement in movements)
    # By slices: the database looks for the part of the table a row belongs to when it changes.
    rows.sort(key=itemgetter(0, 1))
    _insert(
        connection,
        Rows(
            f"activity (slice, member, origin, {COLUMNS})", ("smallint", "int", "int", *TYPES), rows
        ),
        Rows(f"waiting_activity (wallet, {COLUMNS})", ("bigint", *TYPES), waiting),
        Rows("changed_days (member, day)", ("int", "int"), sorted(changed)),
        Rows("applied_documents (day, documents)", ("int", "int"), sorted(documents.items())),
    )


class Rows(NamedTuple):
    """New rows of a table with its columns, "table (a, b)"."""

    into: str
    types: Sequence[str]
    rows: Sequence[tuple[object, ...]]


def _insert(connection: Connection, *tables: Rows) -> None:
    """Insert rows, if there are any, at once. Not by COPY, which a green connection cannot do."""
    statements: list[str] = []
    values: list[str] = []
    for into, types, rows in tables:
        if rows:
            columns = ", ".join(f"%s::{kind}[]" for kind in types)
            statements.append(f"INSERT INTO {into} SELECT * FROM unnest({columns})")
            values += [array(column) for column in zip(*rows, strict=True)]
    if statements:
        connection.exec_driver_sql(";".join(statements), tuple(values))


def waiting_among(connection: Connection, wallets: Sequence[int]) -> list[int]:
    """Which of these wallets did anything before they had an owner."""
    rows = connection.exec_driver_sql(
        "SELECT wallet FROM unnest(%s::bigint[]) AS wallet"
        " WHERE EXISTS (SELECT FROM waiting_activity w WHERE w.wallet = wallet.wallet)",
        (array(wallets),),
    )
    return list(rows.scalars())


def claim_waiting(connection: Connection, wallet: int, owner: Owner) -> None:
    """Let what waited for a wallet's owner count for them, each in its day."""
    connection.exec_driver_sql(
        "WITH moved AS (DELETE FROM waiting_activity WHERE wallet = %(wallet)s RETURNING *),"
        f" added AS (INSERT INTO activity (slice, member, origin, {COLUMNS})"
        f" SELECT %(slice)s, %(member)s, %(origin)s, {COLUMNS} FROM moved)"
        " INSERT INTO changed_days (member, day) SELECT DISTINCT %(member)s, day FROM moved",
        {
            "wallet": wallet,
            "member": owner.member,
            "origin": owner.origin,
            "slice": slice_of(owner.member),
        },
    )


def documents_of(connection: Connection, day: int) -> int:
    """How many documents of a day were applied."""
    found: int = connection.exec_driver_sql(
        "SELECT coalesce(sum(documents), 0) FROM applied_documents WHERE day = %s", (day,)
    ).scalar_one()
    return found


def touch(connection: Connection, numbers: Sequence[int], day: int) -> None:
    """Have members evaluated anew at the next close, from a day on."""
    rows = [(number, day) for number in numbers]
    _insert(connection, Rows("changed_days (member, day)", ("int", "int"), rows))


def take_changed(connection: Connection, through: int) -> dict[int, int]:
    """Members whose days up to one changed since they were last taken, and the first of each.

    What changed of a merged member has changed of whom they are now.
    """
    rows = connection.exec_driver_sql(
        "WITH taken AS (DELETE FROM changed_days WHERE day <= %s RETURNING member, day),"
        " first AS (SELECT member, min(day) AS day FROM taken GROUP BY member)"
        " SELECT coalesce(root, number), min(day) FROM first JOIN members ON number = member"
        " GROUP BY 1",
        (through,),
    )
    return {row[0]: row[1] for row in rows}
