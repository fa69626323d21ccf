"""A ledger of the release before, whose entries and movements had tables of their own, moves on."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from services.cli.audit import run_audit
from services.ledger.main import MIGRATIONS
from services.plumbing.database import engine, transaction
from services.plumbing.migrations import migrate
from tests.service.contents import contents
from tests.service.databases import Databases, upgrade
from tests.service.ledger_history import SHARDS, problems_of

FILLED = """
    SELECT format('%%I.%%I', schemaname, tablename),
           (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
            WHERE attrelid = format('%%I.%%I', schemaname, tablename)::regclass
              AND attnum > 0 AND NOT attisdropped)
    FROM pg_tables WHERE schemaname IN ('public', 'ledger_00', 'ledger_01')
      AND tablename <> 'alembic_version'"""


@pytest.fixture
def release_before(databases: Databases, ledger_with_history: str) -> Iterator[Engine]:
    """A database as the release before would have written the ledger with history."""
    url = databases.create_empty()
    upgrade(url, MIGRATIONS, "0011", shards=SHARDS)
    source, target = engine(ledger_with_history, pool_size=1), engine(url)
    with transaction(source) as newer, transaction(target) as older:
        # The order of foreign keys is not that of names.
        older.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table, columns in older.exec_driver_sql(FILLED, ()).all():
            _copy(newer, older, table, columns)
    source.dispose()
    yield target
    target.dispose()
    databases.drop(url)


def _copy(source: Connection, target: Connection, table: str, columns: str) -> None:
    """What is a table in the one may be a view in the other."""
    rows = io.StringIO()
    reading: Any = source.connection.cursor()
    reading.copy_expert(f"COPY (SELECT {columns} FROM {table}) TO STDOUT", rows)
    rows.seek(0)
    target.exec_driver_sql(f"DELETE FROM {table}")
    writing: Any = target.connection.cursor()
    writing.copy_expert(f"COPY {table} ({columns}) FROM STDIN", rows)


def test_entries_and_movements_come_to_lie_where_they_are_written_now(
    release_before: Engine, ledger_with_history: str
) -> None:
    url = release_before.url.render_as_string(hide_password=False)
    entries = "SELECT count(*) FROM ledger_00.entries"
    with transaction(release_before) as connection:
        assert connection.exec_driver_sql(entries).scalar_one() > 0
    migrate(url, MIGRATIONS, shards=SHARDS)
    assert contents(url) == contents(ledger_with_history)
    assert problems_of(run_audit(url).checks) == {}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_01.entries SET document_id = 99 WHERE document_id = 7",
        "DELETE FROM ledger_01.entries WHERE document_id = 7 AND ordinal = 1",
        "UPDATE ledger_01.entries SET wallet_id = 1 WHERE document_id = 7",
        "DELETE FROM ledger_01.batches WHERE batch_id = 6",
    ],
)
def test_books_that_would_not_come_out_the_same_stay_as_they_are(
    release_before: Engine, change: str
) -> None:
    url = release_before.url.render_as_string(hide_password=False)
    with transaction(release_before) as connection:
        connection.exec_driver_sql(change)
    before = contents(url)
    with pytest.raises(CommandError, match="of ledger_01"):
        migrate(url, MIGRATIONS, shards=SHARDS)
    assert contents(url) == before
