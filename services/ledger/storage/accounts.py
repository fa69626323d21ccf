"""Wallets' balances and the programme's own accounts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.lots import LIVES_UNTIL
from services.plumbing.database import array


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """A wallet's counters and the next of its points to expire (microseconds since 1970)."""

    wallet_id: int
    available: int = 0
    pending: int = 0
    qualifying: int = 0
    lifetime: int = 0
    overdrawn: int = 0
    held: int = 0
    expiring: int = 0
    expire_time: int | None = None


def balances(
    connection: Connection, schema: str, wallet_ids: Sequence[int]
) -> dict[int, WalletBalance]:
    rows = connection.exec_driver_sql(
        f"""
        SELECT w.wallet_id, w.available, w.pending, w.qualifying, w.lifetime, w.overdrawn,
               w.held, coalesce(next.points, 0)::bigint, {AS_MICROS.format("next.expire_time")}
        FROM {schema}.wallets w
        LEFT JOIN LATERAL (
            SELECT {LIVES_UNTIL} AS expire_time, sum(remaining) AS points FROM {schema}.lots l
            WHERE l.wallet_id = w.wallet_id AND remaining > 0 AND expire_time IS NOT NULL
            GROUP BY 1 ORDER BY 1 LIMIT 1) AS next ON true
        WHERE w.wallet_id = ANY(%s::bigint[])""",
        (array(wallet_ids),),
    )
    return {row[0]: WalletBalance(*row) for row in rows}


def movements(connection: Connection, schema: str) -> dict[tuple[int, int], int]:
    """What each of the programme's accounts gave to wallets of a shard, by (account, kind)."""
    rows = connection.exec_driver_sql(
        f"SELECT account, kind, sum(points)::bigint FROM {schema}.account_movements"
        " GROUP BY account, kind"
    )
    return {(row[0], row[1]): row[2] for row in rows}


def all_movements(connection: Connection, schemas: Iterable[str]) -> dict[tuple[int, int], int]:
    """The same over several shards."""
    sums: dict[tuple[int, int], int] = {}
    for schema in schemas:
        for key, points in movements(connection, schema).items():
            sums[key] = sums.get(key, 0) + points
    return sums
