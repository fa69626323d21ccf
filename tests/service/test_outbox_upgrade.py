"""The outbox and cursors of the first release, which were read by transaction numbers, move on."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from services.plumbing import inbox, outbox
from services.plumbing.database import engine, transaction
from services.plumbing.inbox import Cursor
from services.plumbing.outbox import Event
from tests.service.databases import Databases

FIRST_RELEASE = """
    CREATE TABLE outbox (
        position bigint GENERATED ALWAYS AS IDENTITY (CACHE 32),
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        id text NOT NULL, type text NOT NULL, subject text NOT NULL, time timestamptz NOT NULL,
        data bytea STORAGE EXTERNAL NOT NULL,
        PRIMARY KEY (xid, position));
    CREATE TABLE inbox_cursors (
        consumer text NOT NULL, source text NOT NULL, stream text NOT NULL,
        xid xid8 NOT NULL, position bigint NOT NULL,
        PRIMARY KEY (consumer, source, stream));
    CREATE TABLE inbox_parked (
        consumer text NOT NULL, source text NOT NULL, event_id text NOT NULL, type text NOT NULL,
        subject text NOT NULL, time timestamptz NOT NULL, data bytea NOT NULL, error text NOT NULL,
        park_time timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, source, event_id));
    INSERT INTO inbox_cursors VALUES ('ledger', 'members', 'public', '99', 3)"""
INSERT = "INSERT INTO outbox (id, type, subject, time, data) VALUES (%s, 'T', 's', now(), '')"


@pytest.fixture
def database(databases: Databases) -> Iterator[Engine]:
    url = databases.create_empty()
    made = engine(url)
    with transaction(made) as connection:
        connection.exec_driver_sql(FIRST_RELEASE)
    yield made
    made.dispose()
    databases.drop(url)


def test_events_stay_and_new_ones_stand_behind_all_numbers_a_session_had_taken(
    database: Engine,
) -> None:
    with database.connect() as old_session:
        old_session.exec_driver_sql(INSERT, ("old",))
        old_session.commit()
        with transaction(database) as connection:
            outbox.upgrade(connection, "public")
            outbox.upgrade(connection, "public")
            inbox.upgrade(connection)
            time = datetime.now(UTC)
            outbox.append(connection, "public", [Event("new", "T", "s", time, b"")])
        # It had taken 32 numbers, and would go on with the second.
        old_session.exec_driver_sql(INSERT, ("late",))
        old_session.commit()
    with transaction(database) as connection:
        found = outbox.read(connection, "public", outbox.START, limit=10)
        read = inbox.cursor(connection, consumer="ledger", source="members", stream="public")
    assert [stored.event.id for stored in found] == ["old", "new", "late"]
    assert [stored.position for stored in found] == [1, 33, 34]
    assert read == Cursor(outbox.START, None)
