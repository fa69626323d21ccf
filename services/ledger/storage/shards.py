"""Shards: a schema each, and which wallet lies in which."""

from sqlalchemy import Connection

# A wallet's ids come from one sequence, so the remainder spreads them evenly; for good, as the
# count never changes.


def schema(shard: int) -> str:
    return f"ledger_{shard:02d}"


def count(connection: Connection) -> int:
    found: int = connection.exec_driver_sql("SELECT shards FROM programme").scalar_one()
    return found


def schemas(connection: Connection) -> list[str]:
    return [schema(shard) for shard in range(count(connection))]


def shard_of(wallet_id: int, shards: int) -> int:
    return wallet_id % shards
