"""What the year came to, as the ledger's books say; nothing the client counted goes in."""

from dataclasses import dataclass

from sqlalchemy import Connection

from services.cli.demo.policy import PRODUCE_RULE
from services.ledger.domain.documents import Account, DocumentType
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
    redeemed_points: int = 0
    expired_points: int = 0
    # What members hold at the end.
    liability_points: int = 0


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
    sums_of_shards = map(sum, zip(*sums, strict=True))
    sales, lines, held, points, qualifying, produce, entries, redeemed, expired = sums_of_shards
    return Results(
        sales=sales,
        lines=lines,
        members=members,
        points_issued=points,
        qualifying_points=qualifying,
        produce_points=produce,
        entries=entries,
        redeemed_points=redeemed,
        expired_points=expired,
        liability_points=held,
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
            "issuance": Account.ISSUANCE.value,
            "redemption": Account.REDEMPTION.value,
            "breakage": Account.BREAKAGE.value,
        },
    ).one()
    return tuple(row)


_SUMS = """
SELECT sold.sales, sold.lines, outstanding.points, earned.*
FROM (
    SELECT count(*) AS sales, coalesce(sum(json_array_length(lines)), 0)::bigint AS lines
    FROM journal WHERE type = %(sale)s AND refusal IS NULL
) AS sold, (
    SELECT coalesce(sum(available + pending + held), 0)::bigint AS points FROM wallets
) AS outstanding, (
    SELECT coalesce(sum(points) FILTER (
            WHERE kind = %(redeemable)s AND account = %(issuance)s), 0)::bigint,
        coalesce(sum(points) FILTER (WHERE kind = %(qualifying)s), 0)::bigint,
        coalesce(sum(points) FILTER (WHERE rule = %(produce)s), 0)::bigint, count(*),
        -coalesce(sum(points) FILTER (WHERE account = %(redemption)s), 0)::bigint,
        -coalesce(sum(points) FILTER (WHERE account = %(breakage)s), 0)::bigint
    FROM entries
) AS earned
"""
