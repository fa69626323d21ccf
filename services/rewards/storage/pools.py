"""Pools of codes that were uploaded: each code is given to one redemption."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.database import array, text_array
from services.rewards.domain.refusals import CodePoolNotFound
from services.rewards.domain.uploads import Chunk, Outcome

# To say that few are left is enough; to count millions would cost more than it tells.
LEFT_COUNTED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class CodePool:
    pool: str
    codes: int
    codes_left: int


def begin_pool(connection: Connection, pool: str, now: datetime) -> None:
    """Make a pool where there is none."""
    connection.exec_driver_sql(
        "INSERT INTO code_pools (pool, create_time) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (pool, now),
    )


def add_codes(connection: Connection, pool: str, codes: Mapping[str, str]) -> set[str]:
    """Put codes, by what tells them apart, into a pool. Returns those that were not there yet."""
    if not codes:
        return set()
    # By key: uploads of the same codes must not deadlock.
    keys = sorted(codes)
    rows = connection.exec_driver_sql(
        "INSERT INTO pool_codes (code_key, pool, code)"
        " SELECT key, %s, code FROM unnest(%s::text[], %s::text[]) AS line (key, code)"
        " WHERE NOT EXISTS (SELECT FROM vouchers WHERE vouchers.code_key = key)"
        " ON CONFLICT DO NOTHING RETURNING code_key",
        (pool, text_array(keys), text_array(codes[key] for key in keys)),
    )
    return set(rows.scalars())


def note_chunk(connection: Connection, chunk: Chunk, outcome: Outcome, now: datetime) -> None:
    connection.exec_driver_sql(
        "INSERT INTO code_uploads (upload_id, first_line, pool, fingerprint, loaded, duplicates,"
        " bad, duplicate_lines, bad_lines, create_time)"
        " VALUES (%s::uuid, %s, %s, %s, %s, %s, %s, %s::bigint[], %s::bigint[], %s)",
        (
            str(chunk.upload_id),
            chunk.first_line,
            chunk.pool,
            chunk.fingerprint,
            outcome.loaded,
            outcome.duplicates,
            outcome.bad,
            array(outcome.duplicate_lines),
            array(outcome.bad_lines),
            now,
        ),
    )


def noted_chunk(connection: Connection, chunk: Chunk) -> tuple[bytes, Outcome] | None:
    """What became of a chunk that was loaded before, and its fingerprint.

    Nobody else loads a chunk of the same upload until the connection's transaction ends.
    """
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (str(chunk.upload_id),)
    )
    row = connection.exec_driver_sql(
        "SELECT fingerprint, loaded, duplicates, bad, duplicate_lines, bad_lines FROM code_uploads"
        " WHERE upload_id = %s::uuid AND first_line = %s",
        (str(chunk.upload_id), chunk.first_line),
    ).one_or_none()
    if row is None:
        return None
    return bytes(row[0]), Outcome(row[1], row[2], row[3], tuple(row[4]), tuple(row[5]))


def read_pool(connection: Connection, pool: str) -> CodePool:
    """Refuses: CodePoolNotFound."""
    row = connection.exec_driver_sql(
        "SELECT (SELECT sum(loaded)::bigint FROM code_uploads"
        " WHERE code_uploads.pool = code_pools.pool),"
        " (SELECT count(*) FROM pool_codes WHERE pool_codes.pool = code_pools.pool"
        " AND redemption_id IS NULL) FROM code_pools WHERE pool = %s",
        (pool,),
    ).one_or_none()
    if row is None:
        raise CodePoolNotFound
    return CodePool(pool, row[0], row[1])


def forget_uploads(connection: Connection, before: datetime, *, limit: int) -> int:
    """Drop what became of chunks that were loaded before a time. Returns how many."""
    return connection.exec_driver_sql(
        "DELETE FROM code_uploads WHERE (upload_id, first_line) IN (SELECT upload_id, first_line"
        " FROM code_uploads WHERE create_time < %s LIMIT %s FOR UPDATE SKIP LOCKED)",
        (before, limit),
    ).rowcount


def codes_left(connection: Connection, pools: Sequence[str]) -> dict[str, int]:
    """How many codes each pool has left, counted up to LEFT_COUNTED_MAX."""
    rows = connection.exec_driver_sql(
        "SELECT asked.pool, (SELECT count(*) FROM (SELECT FROM pool_codes"
        " WHERE pool_codes.pool = asked.pool AND redemption_id IS NULL LIMIT %s) AS few)"
        " FROM unnest(%s::text[]) AS asked (pool)",
        (LEFT_COUNTED_MAX, text_array(pools)),
    )
    return {row[0]: row[1] for row in rows}


def take_codes(connection: Connection, wanted: Sequence[tuple[UUID, str]]) -> set[UUID]:
    """Give redemptions a code each, the oldest of the pool first. wanted are (redemption, pool).

    Returns the redemptions that got one. Codes that others are about to take are passed over.
    """
    served: set[UUID] = set()
    by_pool: dict[str, list[UUID]] = {}
    for redemption_id, pool in wanted:
        by_pool.setdefault(pool, []).append(redemption_id)
    for pool, redemption_ids in sorted(by_pool.items()):
        rows = connection.exec_driver_sql(
            "WITH free AS MATERIALIZED (SELECT position FROM pool_codes"
            " WHERE pool = %s AND redemption_id IS NULL ORDER BY position LIMIT %s"
            " FOR UPDATE SKIP LOCKED),"
            " numbered AS (SELECT position, row_number() OVER (ORDER BY position) AS place"
            " FROM free)"
            " UPDATE pool_codes SET redemption_id = taker.id FROM numbered"
            " JOIN unnest(%s::uuid[]) WITH ORDINALITY AS taker (id, place) USING (place)"
            " WHERE pool_codes.position = numbered.position RETURNING redemption_id",
            (pool, len(redemption_ids), array(redemption_ids)),
        )
        served.update(rows.scalars())
    return served


def return_codes(connection: Connection, redemption_ids: Sequence[UUID]) -> None:
    """Put the codes of redemptions that come to nothing back; nobody has seen them."""
    connection.exec_driver_sql(
        "UPDATE pool_codes SET redemption_id = NULL WHERE redemption_id = ANY(%s::uuid[])",
        (array(redemption_ids),),
    )


def codes_of(connection: Connection, redemption_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The codes that redemptions have taken."""
    rows = connection.exec_driver_sql(
        "SELECT redemption_id, code FROM pool_codes WHERE redemption_id = ANY(%s::uuid[])",
        (array(redemption_ids),),
    )
    return {row[0]: row[1] for row in rows}
