"""What counted in members' windows at their last close, so that the next need not sum a year."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection

from services.plumbing.prepared import Statement
from services.tiering.domain.columns import NEVER, Int32s, Int64s, MemberDays
from services.tiering.domain.rules import Measure, Window
from services.tiering.domain.sums import first_day_counted
from services.tiering.storage import activity, histories
from services.tiering.storage.changed_days import Changed
from services.tiering.storage.columns import Columns, literal, packed, run_packed

COLUMNS = {Measure.POINTS: "points", Measure.SPEND: "spend_minor", Measure.VISITS: "visits"}
NAMES = ", ".join(COLUMNS.values())
KEPT_COLUMNS = {"member": "i4", "day": "i4", **dict.fromkeys(COLUMNS.values(), "i8")}
KEPT = Statement(
    "window_sums_of",
    "smallint, int[]",
    f"SELECT {packed(KEPT_COLUMNS)} FROM unnest($2) AS wanted CROSS JOIN LATERAL"
    " (SELECT * FROM window_sums WHERE group_id = $1 AND member = wanted LIMIT 1) AS kept",
)
KEEP = Statement(
    "keep_window_sums",
    "smallint, int, int[], bigint[], bigint[], bigint[]",
    f"INSERT INTO window_sums (group_id, member, day, {NAMES}) SELECT $1, member, $2, {NAMES}"
    f" FROM unnest($3, $4, $5, $6) AS given (member, {NAMES})"
    " ON CONFLICT (group_id, member) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ("day", *COLUMNS.values())),
)


@dataclass(frozen=True, slots=True)
class Begun:
    """What counts at a close without the rows given with it, by the members' places."""

    sums: Mapping[Measure, Int64s]
    rows: Columns


def read(
    connection: Connection,
    group_id: int,
    numbers: Int32s,
    window: Window,
    day: int,
    *,
    changed: Changed,
) -> Begun:
    """What counts of members, whose numbers are sorted, at the close of a day: what did at their
    last close, less what has left the window since; the rows are those that came since, as changed
    says. Of whom nothing is kept nothing is counted, and all rows of the window are there.
    """
    kept = run_packed(connection, KEPT, KEPT_COLUMNS, group_id, literal(numbers))
    place = np.searchsorted(numbers, kept["member"])
    first = first_day_counted(window, day)
    from_days = np.full(len(numbers), first, np.int32)
    from_days[place] = np.maximum(kept["day"] + 1, first)
    known = _known(changed, kept["member"], day)
    is_asked = np.ones(len(numbers), np.bool_)
    # Of whom something is kept all that is new is said to have changed.
    is_asked[place] = np.isin(kept["member"], changed.numbers[~changed.is_known])
    leaving = _leaving(connection, window, kept, first)
    rows = histories.rows_of(
        connection,
        np.concatenate([numbers[is_asked], leaving.member]),
        np.concatenate([from_days[is_asked], leaving.from_day]),
        np.concatenate([np.full(int(is_asked.sum()), NEVER), leaving.before_day]),
    )
    left = rows["day"] < first
    gone = np.searchsorted(numbers, rows["member"][left])
    sums = {measure: np.zeros(len(numbers), np.int64) for measure in COLUMNS}
    for measure, name in COLUMNS.items():
        sums[measure][place] = kept[name]
        np.subtract.at(sums[measure], gone, rows[name][left])
    return Begun(sums, {name: np.concatenate([rows[name][~left], known[name]]) for name in rows})


def _known(changed: Changed, kept: Int32s, day: int) -> Columns:
    """The rows that came since of members of whom sums are kept, as far as they need no look."""
    chosen = changed.is_known & np.isin(changed.numbers, kept)
    numbers = changed.numbers[chosen]
    sums = {name: column[chosen] for name, column in changed.sums.items()}
    return {"member": numbers, "day": np.full(len(numbers), day, np.int32), **sums}


class _Ranges(NamedTuple):
    """Members, and days of each: from one on and before another."""

    member: Int32s
    from_day: Int32s
    before_day: Int32s


def _leaving(connection: Connection, window: Window, kept: Columns, first: int) -> _Ranges:
    """The days that counted when sums were kept and are before the first that counts."""
    oldest = activity.oldest_day(connection)
    from_days = np.maximum(_first_days(window, kept["day"]), oldest)
    before_days = np.minimum(kept["day"] + 1, first)
    some = from_days < before_days
    return _Ranges(kept["member"][some], from_days[some], before_days[some])


def _first_days(window: Window, days: Int32s) -> Int32s:
    """The first day that counted at the close of each of these."""
    closes, nth = np.unique(days, return_inverse=True)
    return np.array([first_day_counted(window, day) for day in closes.tolist()], np.int32)[nth]


def keep(
    connection: Connection,
    group_id: int,
    numbers: Int32s,
    day: int,
    *,
    sums: Mapping[Measure, Int64s],
    counted: MemberDays,
) -> None:
    """Keep what counts of members at the close of a day; of whom a day counted that took away,
    nothing.
    """
    negative = (counted.points < 0) | (counted.spend_minor < 0) | (counted.visits < 0)
    lasting = np.ones(len(numbers), np.bool_)
    lasting[counted.member[negative]] = False
    forget(connection, group_id, numbers[~lasting])
    lists = [literal(numbers[lasting]), *(literal(sums[measure][lasting]) for measure in COLUMNS)]
    KEEP.run(connection, group_id, day, *lists)


def forget(connection: Connection, group_id: int, numbers: Int32s) -> None:
    """Have the windows of members summed anew at their next close."""
    if len(numbers):
        connection.exec_driver_sql(
            f"DELETE FROM window_sums WHERE group_id = {group_id}"
            f" AND member = ANY('{literal(numbers)}'::int[])"
        )


def forget_all(connection: Connection, group_id: int) -> None:
    """The same of everybody: other rules have other windows."""
    connection.exec_driver_sql("DELETE FROM window_sums WHERE group_id = %s", (group_id,))
