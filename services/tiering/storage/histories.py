"""What the engine computes from: members' days, grants and enrolments, as columns."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from services.plumbing.prepared import Statement
from services.tiering.domain.columns import NEVER, Assignments, Int32s, Int64s, MemberDays
from services.tiering.domain.rules import Measure
from services.tiering.storage.columns import (
    Columns,
    copy_columns,
    copy_packed_columns,
    literal,
    packed,
    plan_by_index,
    plan_by_size,
    run_packed,
)

SUMMED_COLUMNS = {
    "member": "i4",
    "day": "i4",
    "points": "i8",
    "spend_minor": "i8",
    "visits": "i4",
}
ACTIVITY_COLUMNS = SUMMED_COLUMNS | {"base_points": "i8", "base_points_before": "i8"}
PEOPLE_COLUMNS = {"number": "i4", "enrolled": "i4"}
# A statement looks its members up one by one, whatever the planner thinks of tables that are still
# small.
ROWS = Statement(
    "activity_of",
    "int[], int[], int[]",
    f"SELECT {packed(SUMMED_COLUMNS)}"
    " FROM unnest($1, $2, $3) AS wanted (number, from_day, before_day) CROSS JOIN LATERAL"
    " (SELECT * FROM activity WHERE slice = mod(number, 32)::smallint AND member = number"
    "  AND day >= from_day AND day < before_day OFFSET 0) AS found",
)
PEOPLE = Statement(
    "people",
    "int[]",
    f"SELECT {packed(PEOPLE_COLUMNS)} FROM unnest($1) AS wanted CROSS JOIN LATERAL"
    " (SELECT number, coalesce(enrol_day, heard_day) AS enrolled FROM members"
    "  WHERE number = wanted LIMIT 1) AS found",
)
GRANTS = Statement(
    "grants_of",
    "smallint, int, int",
    "SELECT id, member, kind, name, from_day, end_day FROM grants WHERE member BETWEEN $2 AND $3"
    " AND (group_id = $1 OR group_id IS NULL) AND end_day > from_day",
)

MEASURED = {Measure.POINTS: "points", Measure.SPEND: "spend_minor", Measure.VISITS: "visits"}


@dataclass(frozen=True, slots=True)
class History:
    """Members by their numbers, sorted; in all else a member is the place of their number."""

    numbers: Int32s
    enrolled: Int32s
    days: MemberDays
    grants: Assignments


def of_members(connection: Connection, group_id: int, numbers: Int32s, *, from_day: int) -> History:
    """What some members did from a day on; numbers are sorted. Of baskets it says nothing."""
    from_days, before_days = (np.full(len(numbers), day, np.int32) for day in (from_day, NEVER))
    rows = rows_of(connection, numbers, from_days, before_days)
    return with_rows(connection, group_id, numbers, rows)


def with_rows(connection: Connection, group_id: int, numbers: Int32s, rows: Columns) -> History:
    """The same of rows that were read already. Numbers are sorted."""
    people = run_packed(connection, PEOPLE, PEOPLE_COLUMNS, literal(numbers))
    return _history(connection, group_id, rows, people)


def rows_of(
    connection: Connection, numbers: Int32s, from_days: Int32s, before_days: Int32s
) -> Columns:
    """The rows of members, each from a day on and before another."""
    if not len(numbers):
        return {name: np.zeros(0, kind) for name, kind in SUMMED_COLUMNS.items()}
    plan_by_index(connection)
    ranges = [literal(column) for column in (numbers, from_days, before_days)]
    return run_packed(connection, ROWS, SUMMED_COLUMNS, *ranges)


def of_slice(
    connection: Connection,
    group_id: int,
    number: int,
    *,
    from_day: int,
    measures: Collection[Measure] = tuple(Measure),
) -> History:
    """What the members of a slice did from a day on, but for the merged: they are others now.

    Measures that are not named are zero.
    """
    plan_by_size(connection)
    left_out = {"day", *(MEASURED[measure] for measure in Measure if measure not in measures)}
    rows = copy_packed_columns(
        connection,
        f"activity WHERE slice = {number} AND day >= {from_day}",
        {name: kind for name, kind in ACTIVITY_COLUMNS.items() if name not in left_out},
        by="day",
    )
    people = copy_columns(
        connection,
        "SELECT number, coalesce(enrol_day, heard_day) AS enrolled FROM members"
        f" WHERE slice = {number} AND root IS NULL ORDER BY number",
        PEOPLE_COLUMNS,
    )
    return _history(connection, group_id, rows, people)


def _history(connection: Connection, group_id: int, rows: Columns, people: Columns) -> History:
    numbers: Int32s = people["number"]
    return History(
        numbers=numbers,
        enrolled=people["enrolled"],
        days=member_days(rows, numbers),
        grants=_grants(connection, group_id, numbers),
    )


def member_days(rows: Columns, numbers: Int32s) -> MemberDays:
    """Rows of activity, in any order, summed by member and day; a column not there is zero."""
    places = np.zeros(numbers[-1] + 1 if len(numbers) else 0, np.int64)
    places[numbers] = np.arange(len(numbers))
    keys = (places[rows["member"]] << 32) + rows["day"]
    order = np.argsort(keys)
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1)) if len(keys) else keys
    bases, offsets = np.zeros(0, np.int64), np.zeros(len(first) + 1, np.int64)
    if "base_points" in rows:
        bases, offsets = _baskets(rows, order, keys, first)

    def sums(name: str) -> Int64s:
        if name not in rows or not len(first):
            return np.zeros(len(first), np.int64)
        return np.add.reduceat(rows[name][order].astype(np.int64), first)

    return MemberDays(
        member=(keys[first] >> 32).astype(np.int32),
        day=rows["day"][order][first],
        points=sums("points"),
        spend_minor=sums("spend_minor"),
        visits=sums("visits"),
        base_offsets=offsets,
        bases=bases,
    )


def _baskets(
    rows: Columns, order: NDArray[np.intp], keys: Int64s, first: Int64s
) -> tuple[Int64s, Int64s]:
    """The base points of each basket that stands, by days, and where each day's begin.

    A return put a basket in the place of another: the one before counts no more.
    """
    now, before = rows["base_points"][order], rows["base_points_before"][order]
    group = np.zeros(len(keys), np.int64)
    group[first[1:]] = 1
    group = np.cumsum(group)
    standing, replaced = now != 0, before != 0
    groups, bases = group[standing], now[standing]
    if replaced.any():
        groups, bases = _without(groups, bases, group[replaced], before[replaced])
    offsets = np.zeros(len(first) + 1, np.int64)
    np.cumsum(np.bincount(groups, minlength=len(first)), out=offsets[1:])
    return bases, offsets


def _without(
    groups: Int64s, bases: Int64s, gone_groups: Int64s, gone: Int64s
) -> tuple[Int64s, Int64s]:
    """Baskets, in the order of their groups, less those that are gone, one for one."""
    # Few days lose a basket, and to pair off is dear: the others' are left alone.
    losing = np.zeros(max(groups.max(initial=0), gone_groups.max()) + 1, np.bool_)
    losing[gone_groups] = True
    asked = np.flatnonzero(losing[groups])
    left = np.ones(len(groups), np.bool_)
    left[asked[_paired_off(groups[asked], bases[asked], gone_groups, gone)]] = False
    return groups[left], bases[left]


def _paired_off(groups: Int64s, bases: Int64s, gone_groups: Int64s, gone: Int64s) -> Int64s:
    """The places of the baskets that are gone."""
    pairs = np.stack([np.concatenate([gone_groups, groups]), np.concatenate([gone, bases])])
    order = np.lexsort(pairs)
    pairs = pairs[:, order]
    begins = np.flatnonzero(np.concatenate([[True], (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)]))
    # The sort is stable: of each pair those that are gone come first, then as many that stood.
    is_gone = order < len(gone)
    times = np.add.reduceat(is_gone.astype(np.int64), begins)
    nth = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    times = np.repeat(times, np.diff(begins, append=len(order)))
    chosen: Int64s = order[~is_gone & (nth < 2 * times)] - len(gone)
    return chosen


def _grants(connection: Connection, group_id: int, numbers: Int32s) -> Assignments:
    """What was granted to members that a group's rules may look at, and was in force at all."""
    first, last = (int(numbers[0]), int(numbers[-1])) if len(numbers) else (0, -1)
    # Sorted here: the plan must go by the members, not along all ids.
    found = sorted(GRANTS.run(connection, group_id, first, last))
    wanted = set(numbers.tolist()) if found else set()
    rows = [row[1:] for row in found if row[1] in wanted]
    names = tuple(sorted({row[2] for row in rows}))
    index = {name: place for place, name in enumerate(names)}

    def column(place: int) -> Int32s:
        return np.array([row[place] for row in rows], np.int32)

    return Assignments(
        member=np.searchsorted(numbers, column(0)).astype(np.int32),
        kind=np.array([row[1] for row in rows], np.int8),
        name=np.array([index[row[2]] for row in rows], np.int32),
        from_day=column(3),
        end_day=column(4),
        names=names,
    )
