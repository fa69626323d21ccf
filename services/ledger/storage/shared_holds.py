"""Holds over several wallets, their parts, and the requests about them. They lie outside the
shards: each is about wallets of several.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.ledger.domain.shared_holds import (
    UNDER_WAY,
    Move,
    MoveKind,
    Part,
    SharedHold,
    SharedState,
)
from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.posting import MICROS
from services.plumbing.database import array, text_array

TIME = MICROS.format("%s")
HOLD = f"""
    h.shared_hold_id::text, h.request_id::text, h.member_id::text, h.household_id::text, h.points,
    h.own_points_only, h.life, h.purpose, h.actor, {AS_MICROS.format("h.business_time")},
    {AS_MICROS.format("h.create_time")}, {AS_MICROS.format("h.expire_time")}, h.state, h.captured,
    h.step, h.attempt, h.move_id::text, coalesce(h.failure::text, '')"""
PARTS = """
    SELECT ordinal, wallet_id, owner_id::text, pooled, points, hold_id, burn_id, captured, refunded,
           moving
    FROM shared_hold_parts WHERE shared_hold_id = %s ORDER BY ordinal"""
MOVE = f"""
    request_id::text, body_hash::text, shared_hold_id::text, kind, points, reason, actor,
    {AS_MICROS.format("business_time")}, {AS_MICROS.format("create_time")},
    coalesce(answer::text, ''), coalesce(refusal::text, '')"""
# What of a part counts against its owner's limit: what is held until it is known what was burned of
# it, and what was burned and did not come back.
COUNTS = f"""
    CASE WHEN h.state IN ({SharedState.CAPTURED}, {SharedState.REFUNDING}, {SharedState.RELEASED},
                          {SharedState.EXPIRED}) THEN p.captured - p.refunded
         WHEN h.state = {SharedState.REFUSED} THEN 0
         ELSE p.points END"""
_UNDER_WAY = ", ".join(str(state.value) for state in UNDER_WAY)


def find(connection: Connection, shared_hold_id: str, *, lock: bool = False) -> SharedHold | None:
    """A shared hold; with lock nobody else changes it until the end of the transaction."""
    row = connection.exec_driver_sql(
        f"SELECT {HOLD} FROM shared_holds h WHERE shared_hold_id = %s"
        f"{' FOR UPDATE' if lock else ''}",
        (shared_hold_id,),
    ).one_or_none()
    if row is None:
        return None
    parts = connection.exec_driver_sql(PARTS, (shared_hold_id,))
    told: list[Any] = [*row]
    told[12:13] = [SharedState(row[12]), tuple(Part(*part) for part in parts)]
    return SharedHold(*told)


def add(connection: Connection, hold: SharedHold) -> None:
    connection.exec_driver_sql(
        f"""
        INSERT INTO shared_holds (shared_hold_id, request_id, member_id, household_id, points,
            own_points_only, life, purpose, actor, business_time, create_time, expire_time,
            change_time, state, move_id)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, {TIME}, {TIME}, {TIME}, {TIME}, %s, %s)""",
        (
            hold.shared_hold_id,
            hold.request_id,
            hold.member_id,
            hold.household_id,
            hold.points,
            hold.own_points_only,
            hold.life,
            hold.purpose,
            hold.actor,
            hold.business_time,
            hold.create_time,
            hold.expire_time,
            hold.create_time,
            hold.state.value,
            hold.move_id,
        ),
    )
    _add_parts(connection, hold)


def keep(connection: Connection, hold: SharedHold, *, now: int) -> None:
    """Write what became of a locked hold, and of its parts."""
    connection.exec_driver_sql(
        f"""
        UPDATE shared_holds SET points = %s, captured = %s, step = %s, attempt = %s, state = %s,
            move_id = %s, failure = nullif(%s, '')::json, change_time = {TIME}
        WHERE shared_hold_id = %s""",
        (
            hold.points,
            hold.captured,
            hold.step,
            hold.attempt,
            hold.state.value,
            hold.move_id,
            hold.failure,
            now,
            hold.shared_hold_id,
        ),
    )
    connection.exec_driver_sql(
        "DELETE FROM shared_hold_parts WHERE shared_hold_id = %s", (hold.shared_hold_id,)
    )
    _add_parts(connection, hold)


def _add_parts(connection: Connection, hold: SharedHold) -> None:
    parts = hold.parts
    connection.exec_driver_sql(
        "INSERT INTO shared_hold_parts (shared_hold_id, ordinal, wallet_id, owner_id, pooled,"
        " points, hold_id, burn_id, captured, refunded, moving)"
        " SELECT %s, told.* FROM unnest(%s::smallint[], %s::bigint[], %s::uuid[], %s::boolean[],"
        " %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " AS told",
        (
            hold.shared_hold_id,
            *(array(getattr(part, field) for part in parts) for field in Part.__struct_fields__),
        ),
    )


def find_move(connection: Connection, request_id: str) -> Move | None:
    row = connection.exec_driver_sql(
        f"SELECT {MOVE} FROM shared_moves WHERE request_id = %s", (request_id,)
    ).one_or_none()
    if row is None:
        return None
    told: list[Any] = [*row]
    told[3] = MoveKind(row[3])
    return Move(*told)


def add_move(connection: Connection, move: Move) -> bool:
    """Keep a request; whether it was not kept before."""
    added = connection.exec_driver_sql(
        f"""
        INSERT INTO shared_moves (request_id, body_hash, shared_hold_id, kind, points, reason,
            actor, business_time, create_time, answer, refusal)
        VALUES (%s, %s, %s, %s, %s, %s, %s, {TIME}, {TIME}, nullif(%s, '')::json,
                nullif(%s, '')::json)
        ON CONFLICT (request_id) DO NOTHING""",
        (
            move.request_id,
            move.body_hash,
            move.shared_hold_id,
            move.kind.value,
            move.points,
            move.reason,
            move.actor,
            move.business_time,
            move.create_time,
            move.answer,
            move.refusal,
        ),
    )
    return bool(added.rowcount)


def end_move(connection: Connection, request_id: str, *, answer: str, refusal: str) -> None:
    connection.exec_driver_sql(
        "UPDATE shared_moves SET answer = nullif(%s, '')::json, refusal = nullif(%s, '')::json"
        " WHERE request_id = %s AND answer IS NULL AND refusal IS NULL",
        (answer, refusal, request_id),
    )


def left_alone(connection: Connection, *, until: int, now: int, limit: int) -> list[str]:
    """Holds that came no further since a time, and open ones whose life is over; the longest
    first.
    """
    rows = connection.exec_driver_sql(
        f"(SELECT shared_hold_id::text FROM shared_holds WHERE state IN ({_UNDER_WAY})"
        f" AND change_time <= {TIME} ORDER BY change_time LIMIT %s)"
        " UNION ALL"
        f" (SELECT shared_hold_id::text FROM shared_holds WHERE state = {SharedState.OPEN}"
        f" AND expire_time <= {TIME} ORDER BY expire_time LIMIT %s)",
        (until, limit, now, limit),
    )
    return [row[0] for row in rows]


def lent_since(connection: Connection, owner_ids: Collection[str], since: int) -> dict[str, int]:
    """How many points of each owner others hold or have spent since a time."""
    rows = connection.exec_driver_sql(
        f"SELECT p.owner_id::text, sum({COUNTS})::bigint"
        " FROM shared_hold_parts p JOIN shared_holds h USING (shared_hold_id)"
        f" WHERE p.pooled AND p.owner_id = ANY(%s::uuid[]) AND h.create_time > {TIME}"
        " GROUP BY p.owner_id",
        (text_array(owner_ids), since),
    )
    return {row[0]: row[1] for row in rows}


def spenders(connection: Connection, shared_hold_ids: Collection[str]) -> dict[str, str]:
    """Who spends by each of these holds."""
    rows = connection.exec_driver_sql(
        "SELECT shared_hold_id::text, member_id::text FROM shared_holds"
        " WHERE shared_hold_id = ANY(%s::uuid[])",
        (text_array(shared_hold_ids),),
    )
    return {row[0]: row[1] for row in rows}


# A burn of lent points in the order of a listing: when it was held, the hold, the part.
BurnKey = tuple[int, str, int]


class LentBurn(msgspec.Struct, frozen=True):
    """Points of one member that another one of the household spent."""

    shared_hold_id: str
    ordinal: int
    spender_id: str
    owner_id: str
    wallet_id: int
    burn_id: int
    points: int
    refunded: int
    purpose: str
    create_time: int


LENT_BURNS = f"""
    (SELECT h.shared_hold_id::text AS shared_hold_id, p.ordinal, h.member_id::text,
            p.owner_id::text, p.wallet_id, p.burn_id, p.captured, p.refunded, h.purpose,
            {AS_MICROS.format("h.create_time")} AS create_time
     FROM shared_holds h JOIN shared_hold_parts p USING (shared_hold_id)
     WHERE p.pooled AND p.captured > 0 AND {{condition}}
       AND (h.create_time, h.shared_hold_id, p.ordinal) < ({TIME}, %s::uuid, %s)
     ORDER BY h.create_time DESC, h.shared_hold_id DESC, p.ordinal DESC LIMIT %s)"""


def lent_burns(
    connection: Connection,
    *,
    household_id: str | None,
    member_ids: Sequence[str],
    before: BurnKey | None,
    limit: int,
) -> list[LentBurn]:
    """What members of a household burned of each other's points, and what these members burned of
    others' or others of theirs in whatever household; the newest first.
    """
    place = before or (10**18, "ffffffff-ffff-ffff-ffff-ffffffffffff", 0)
    members = text_array(member_ids)
    # Each by an index of its own; a burn may be among several of them.
    branches = {
        "h.household_id = %s": household_id,
        "h.member_id = ANY(%s::uuid[])": members,
        "p.owner_id = ANY(%s::uuid[])": members,
    }
    rows = connection.exec_driver_sql(
        " UNION ".join(LENT_BURNS.format(condition=condition) for condition in branches)
        + " ORDER BY create_time DESC, shared_hold_id DESC, ordinal DESC LIMIT %s",
        (*(v for told in branches.values() for v in (told, *place, limit)), limit),
    )
    return [LentBurn(*row) for row in rows]
