"""What members did, a row a document, and which days that changed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

import msgspec
from sqlalchemy import Connection

from services.plumbing.database import array
from services.plumbing.prepared import Statement
from services.tiering.domain.columns import NEVER
from services.tiering.storage import changed_days
from services.tiering.storage.changed_days import NOTHING, Insertion, Sums
from services.tiering.storage.members import Owner
from services.tiering.storage.slices import slice_of

COLUMNS = "day, points, spend_minor, visits, base_points, base_points_before"
TYPES = ("int", "bigint", "bigint", "int", "bigint", "bigint")
DOCUMENTS = Statement(
    "documents_of",
    "int",
    "SELECT coalesce(sum(documents), 0) FROM applied_documents WHERE day = $1",
)


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


def _added(sums: Sums, movement: Movement) -> Sums:
    points, spend_minor, visits = sums
    return (
        points + movement.points,
        spend_minor + movement.spend_minor,
        visits + movement.visits,
    )


def add(connection: Connection, movements: Sequence[Movement], owners: Mapping[int, Owner]) -> None:
    """Add movements to the members who own the wallets; those of others wait for their owner."""
    rows: list[tuple[object, ...]] = []
    waiting: list[tuple[object, ...]] = []
    changed: dict[tuple[int, int], Sums] = {}
    for movement in movements:
        owner = owners.get(movement.wallet)
        if owner is None:
            waiting.append((movement.wallet, *movement.amounts()))
        else:
            origin = "NULL" if owner.origin is None else owner.origin
            rows.append((slice_of(owner.member), owner.member, origin, *movement.amounts()))
            place = movement.day, owner.member
            changed[place] = _added(changed.get(place, NOTHING), movement)
    documents = Counter(movement.day for movement in movements)
    # By slices: the database looks for the part of the table a row belongs to when it changes.
    rows.sort(key=itemgetter(0, 1))
    insertions = [
        *_insertions(
            f"activity (slice, member, origin, {COLUMNS})", ("smallint", "int", "int", *TYPES), rows
        ),
        *_insertions(f"waiting_activity (wallet, {COLUMNS})", ("bigint", *TYPES), waiting),
        *changed_days.insertions(changed),
        *_insertions(
            "applied_documents (day, documents)", ("int", "int"), sorted(documents.items())
        ),
    ]
    if insertions:
        connection.exec_driver_sql(
            ";".join(each.statement for each in insertions),
            tuple(value for each in insertions for value in each.values),
        )


def _insertions(
    into: str, types: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> Iterator[Insertion]:
    """What inserts rows, if there are any, into "table (a, b)". Not COPY, which a green connection
    cannot do.
    """
    if rows:
        columns = ", ".join(f"%s::{kind}[]" for kind in types)
        yield Insertion(
            f"INSERT INTO {into} SELECT * FROM unnest({columns})",
            [array(column) for column in zip(*rows, strict=True)],
        )


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
        " INSERT INTO changed_days (day, members) SELECT day, ARRAY[%(member)s::int] FROM moved"
        " GROUP BY day",
        {
            "wallet": wallet,
            "member": owner.member,
            "origin": owner.origin,
            "slice": slice_of(owner.member),
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
