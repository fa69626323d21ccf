"""The engine's states, a row a member and group."""

from dataclasses import fields, replace

import numpy as np
from sqlalchemy import Connection

from services.plumbing.prepared import Statement
from services.tiering.domain.columns import Int32s, MemberStates, new_states
from services.tiering.storage.columns import literal, packed, run_packed

SQL_TYPES = {"int8": "smallint", "int32": "int", "int64": "bigint"}
STORED = {"smallint": "i2", "int": "i4", "bigint": "i8"}
# As the engine's columns; who enrolled when stands with the member.
TYPES = {
    field.name: SQL_TYPES[getattr(new_states(np.zeros(0, np.int32)), field.name).dtype.name]
    for field in fields(MemberStates)
    if field.name != "enrolled"
}
NAMES = ", ".join(TYPES)
COLUMNS = {"member": "i4", **{name: STORED[kind] for name, kind in TYPES.items()}}
READ = Statement(
    "states_of",
    "smallint, int[]",
    f"SELECT {packed(COLUMNS)} FROM unnest($2) AS wanted CROSS JOIN LATERAL"
    " (SELECT * FROM states WHERE group_id = $1 AND member = wanted LIMIT 1) AS found",
)
AWAKE_COLUMNS = {"member": "i4"}
AWAKE = Statement(
    "states_awake",
    "smallint, int",
    # So that no plan goes along a whole group instead of along the days.
    f"SELECT {packed(AWAKE_COLUMNS)} FROM states WHERE group_id + 0 = $1 AND wake_day <= $2",
)


def read(connection: Connection, group_id: int, numbers: Int32s, enrolled: Int32s) -> MemberStates:
    """The states of members, whose numbers are sorted; who has none is as members begin."""
    rows = run_packed(connection, READ, COLUMNS, group_id, literal(numbers))
    place = np.searchsorted(numbers, rows["member"])
    states = new_states(enrolled)
    filled = {}
    for name in TYPES:
        column = getattr(states, name).copy()
        column[place] = rows[name].astype(column.dtype)
        filled[name] = column
    return replace(states, **filled)


def write(
    connection: Connection,
    group_id: int,
    numbers: Int32s,
    states: MemberStates,
    *,
    before: MemberStates,
) -> None:
    """Write those that are other than they stood before, or than members begin."""
    differs = [getattr(states, name) != getattr(before, name) for name in TYPES]
    changed = np.logical_or.reduce(differs)
    if not changed.any():
        return
    columns = ", ".join(f"%({name})s::{kind}[]" for name, kind in TYPES.items())
    changes = ", ".join(f"{name} = excluded.{name}" for name in TYPES)
    values = {name: literal(getattr(states, name)[changed]) for name in TYPES}
    connection.exec_driver_sql(
        f"INSERT INTO states (group_id, member, {NAMES})"
        f" SELECT {group_id}, * FROM unnest(%(numbers)s::int[], {columns})"
        f" ON CONFLICT (group_id, member) DO UPDATE SET {changes}",
        {"numbers": literal(numbers[changed]), **values},
    )


def forget_merged(connection: Connection, group_id: int) -> None:
    """Forget what was decided of merged members, by rules that are in force no more."""
    connection.exec_driver_sql(
        "DELETE FROM states USING members"
        " WHERE group_id = %s AND states.member = number AND root IS NOT NULL",
        (group_id,),
    )


def awake(connection: Connection, group_id: int, day: int) -> Int32s:
    """Members whose tier the close of a day may change though nothing new is known of them."""
    found: Int32s = run_packed(connection, AWAKE, AWAKE_COLUMNS, group_id, day)["member"]
    return found
