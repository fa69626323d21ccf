"""What members did, a row a document, and which days that changed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from services.plumbing.database import array
from services.tiering.storage.slices import slice_of

COLUMNS = "day, points, spend_minor, visits, base_points, base_points_before"
TYPES = ("int", "bigint", "bigint", "int", "bigint", "bigint")


@dataclass(frozen=True, slots=True)
class Movement:
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


def add(connection: Connection, movements: Sequence[Movement], owners: Mapping[int, int]) -> None:
    """Add movements to the members who own the wallets; those of others wait for their owner."""
    rows: list[tuple[int, ...]] = []
    waiting: list[tuple[int, ...]] = []
    for movement in movements:
        member = owners.get(movement.wallet)
        if member is None:
            waiting.append((movement.wallet, *movement.amounts()))
        else:
            rows.append((slice_of(member), member, *movement.amounts()))
    changed = {(row[1], row[2]) for row in rows}
    documents = Counter(movement.day for movement in movements)
    into = f"activity (slice, member, {COLUMNS})"
    _insert(connection, into, ("smallint", "int", *TYPES), rows)
    _insert(connection, f"waiting_activity (wallet, {COLUMNS})", ("bigint", *TYPES), waiting)
    _insert(connection, "changed_days (member, day)", ("int", "int"), sorted(changed))
    _insert(
        connection, "applied_documents (day, documents)", ("int", "int"), sorted(documents.items())
    )


def _insert(
    connection: Connection, into: str, types: Sequence[str], rows: Sequence[tuple[int, ...]]
) -> None:
    """Insert rows, if there are any. Not by COPY, which a green connection cannot do."""
    if rows:
        columns = ", ".join(f"%s::{kind}[]" for kind in types)
        values = tuple(array(column) for column in zip(*rows, strict=True))
        connection.exec_driver_sql(f"INSERT INTO {into} SELECT * FROM unnest({columns})", values)


def claim_waiting(connection: Connection, wallet: int, number: int) -> None:
    """Let what waited for a wallet's owner count for them, each in its day."""
    connection.exec_driver_sql(
        "WITH moved AS (DELETE FROM waiting_activity WHERE wallet = %(wallet)s RETURNING *),"
        " added AS (INSERT INTO activity SELECT %(slice)s, %(number)s, day, points, spend_minor,"
        " visits, base_points, base_points_before FROM moved)"
        " INSERT INTO changed_days (member, day) SELECT DISTINCT %(number)s, day FROM moved",
        {"wallet": wallet, "number": number, "slice": slice_of(number)},
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
    _insert(connection, "changed_days (member, day)", ("int", "int"), rows)


def take_changed(connection: Connection, through: int) -> dict[int, int]:
    """Members whose days up to one changed since they were last taken, and the first of each."""
    rows = connection.exec_driver_sql(
        "WITH taken AS (DELETE FROM changed_days WHERE day <= %s RETURNING member, day)"
        " SELECT member, min(day) FROM taken GROUP BY member",
        (through,),
    )
    return {row[0]: row[1] for row in rows}
