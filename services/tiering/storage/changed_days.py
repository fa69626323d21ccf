"""Whose days changed since they were evaluated, and what that came to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection

from services.plumbing.prepared import Statement
from services.tiering.domain.columns import Booleans, Int32s
from services.tiering.storage.columns import Columns, literal, packed, run_packed
from services.tiering.storage.slices import numbers_of

SUMS = ("points", "spend_minor", "visits")
NAMES = ", ".join(SUMS)
TAKEN_COLUMNS = {"member": "i4", "first": "i4", "unknown": "i8", **dict.fromkeys(SUMS, "i8")}
TAKE = Statement(
    "take_changed",
    "int",
    "WITH taken AS (DELETE FROM changed_days WHERE day <= $1 RETURNING *),"
    " told AS (SELECT day, told.* FROM taken CROSS JOIN LATERAL"
    f" unnest(taken.members, {', '.join(f'taken.{name}' for name in SUMS)})"
    f" AS told (number, {NAMES})), found AS (SELECT"
    " coalesce(root, number) AS member, min(day) AS first, count(*) - count(points) AS unknown, "
    + ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in SUMS)
    + " FROM told CROSS JOIN LATERAL"
    " (SELECT root FROM members WHERE number = told.number LIMIT 1) AS whose GROUP BY 1)"
    f" SELECT {packed(TAKEN_COLUMNS)} FROM found",
)


class Insertion(NamedTuple):
    statement: str
    values: Sequence[object]


def insertions(changed: Columns) -> Iterator[Insertion]:
    """What notes changes: a row a day. Sorted by day and member, each pair once, with SUMS."""
    days, begins = np.unique(changed["day"], return_index=True)
    ends = np.append(begins, len(changed["day"]))[1:]
    for day, begin, end in zip(days.tolist(), begins, ends, strict=True):
        yield Insertion(
            f"INSERT INTO changed_days (day, members, {NAMES})"
            " VALUES (%s, %s::int[], %s::bigint[], %s::bigint[], %s::bigint[])",
            (day, *(literal(changed[name][begin:end]) for name in ("member", *SUMS))),
        )


def touch(connection: Connection, numbers: Sequence[int], day: int) -> None:
    """Have members evaluated anew at the next close, from a day on."""
    members = numbers_of(numbers)
    nothing = np.zeros(len(members), np.int64)
    changed = {"day": np.full(len(members), day), "member": members}
    for statement, values in insertions(changed | dict.fromkeys(SUMS, nothing)):
        connection.exec_driver_sql(statement, tuple(values))


@dataclass(frozen=True, slots=True)
class Changed:
    """Members, by their numbers, whose days changed, and the first of these days of each; sums are
    what that came to where it is known.
    """

    numbers: Int32s
    first_days: Int32s
    is_known: Booleans
    sums: Columns

    def on(self, day: int) -> "Changed":
        """Those of whom nothing older than a day changed."""
        return self._only(self.first_days == day)

    def before(self, day: int) -> Int32s:
        """Those of whom something older did."""
        return self.numbers[self.first_days < day]

    def among(self, numbers: Int32s) -> "Changed":
        return self._only(np.isin(self.numbers, numbers))

    def _only(self, chosen: Booleans) -> "Changed":
        sums = {name: column[chosen] for name, column in self.sums.items()}
        return Changed(self.numbers[chosen], self.first_days[chosen], self.is_known[chosen], sums)


def take(connection: Connection, through: int) -> Changed:
    """Members whose days up to one changed since they were last taken, sorted by number.

    What changed of a merged member has changed of whom they are now.
    """
    taken = run_packed(connection, TAKE, TAKEN_COLUMNS, through)
    order = np.argsort(taken["member"])
    sums = {name: taken[name][order] for name in SUMS}
    is_known = taken["unknown"][order] == 0
    return Changed(taken["member"][order], taken["first"][order], is_known, sums)
