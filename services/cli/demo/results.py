"""What the year came to, as the ledger's books say; nothing the client counted goes in."""

from dataclasses import dataclass

from sqlalchemy import Connection

from services.cli.demo.policy import PRODUCE_RULE
from services.ledger.domain.documents import DocumentType
from services.ledger.domain.policy import PointKind
from services.ledger.storage import shards
from services.plumbing.database import engine, transaction


@dataclass(frozen=True, slots=True)
class Results:
    """Sums over all shards; points_issued are redeemable, produce_points by the extra rule."""

    sales: int = 0
    lines: int = 0
    members: int = 0
    points_issued: int = 0
    qualifying_points: int = 0
    produce_points: int = 0
    entries: int = 0


def read_results(ledger_database_url: str) -> Results:
    source = engine(ledger_database_url, pool_size=1)
    try:
        with transaction(source) as connection:
            return _read(connection)
    finally:
        source.dispose()


def _read(connection: Connection) -> Results:
    members: int = connection.exec_driver_sql("SELECT count(*) FROM members").scalar_one()
    sums = [_shard_sums(connection, schema) for schema in shards.schemas(connection)]
    sales, lines, points, qualifying, produce, entries = map(sum, zip(*sums, strict=True))
    return Results(
        sales=sales,
        lines=lines,
        members=members,
        points_issued=points,
        qualifying_points=qualifying,
        produce_points=produce,
        entries=entries,
    )


def _shard_sums(connection: Connection, schema: str) -> tuple[int, ...]:
    connection.exec_driver_sql("SELECT set_config('search_path', %s, true)", (schema,))
    row = connection.exec_driver_sql(
        _SUMS,
        {
            "sale": DocumentType.SALE.value,
            "redeemable": PointKind.REDEEMABLE.value,
            "qualifying": PointKind.QUALIFYING.value,
            "produce": PRODUCE_RULE,
        },
    ).one()
    return tuple(row)


_SUMS = """
SELECT sold.sales, sold.lines, earned.*
FROM (
    SELECT count(*) AS sales, coalesce(sum(json_array_length(lines)), 0)::bigint AS lines
    FROM journal WHERE type = %(sale)s AND refusal IS NULL
) AS sold, (
    SELECT coalesce(sum(points) FILTER (WHERE kind = %(redeemable)s), 0)::bigint,
        coalesce(sum(points) FILTER (WHERE kind = %(qualifying)s), 0)::bigint,
        coalesce(sum(points) FILTER (WHERE rule = %(produce)s), 0)::bigint, count(*)
    FROM entries
) AS earned
"""
