"""Transactions of a session that is kept, and rows in COPY's binary format, on PostgreSQL."""

import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from services.plumbing.batch_session import BatchSession, Rows
from services.plumbing.binary_copy import (
    EPOCH_MICROS,
    NULL,
    fixed_columns,
    int_array,
    repeated_text,
    text,
)
from services.plumbing.database import connection_was_lost, engine, transaction
from tests.service.databases import Databases

TARGET = "row_kept (big, whole, small, id, moment, words, numbers)"
FIXED = fixed_columns("qihuq")
BIG, WHOLE, SMALL = (st.integers(-(2**b), 2**b - 1) for b in (63, 31, 15))
# What both Python and PostgreSQL can say: the years 1 to 9999.
MOMENTS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
Row = tuple[int, int, int, uuid.UUID, int, str | None, tuple[int, ...]]
ROWS = st.lists(
    st.tuples(
        *(BIG, WHOLE, SMALL, st.uuids(), MOMENTS, st.none() | WORDS, st.lists(WHOLE).map(tuple))
    ),
    max_size=20,
)


@pytest.fixture(scope="module")
def database(databases: Databases) -> Iterator[Engine]:
    made = engine(databases.create_empty(), pool_size=2)
    with transaction(made) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE row_kept (place serial, big bigint, whole integer, small smallint,"
            " id uuid, moment timestamptz, words text, numbers integer[]);"
            "CREATE TABLE noted (word text PRIMARY KEY)"
        )
    yield made
    made.dispose()


@pytest.fixture
def session(database: Engine) -> Iterator[BatchSession]:
    with transaction(database) as connection:
        connection.exec_driver_sql("TRUNCATE row_kept, noted")
    made = BatchSession(database)
    yield made
    made.close()


def packed(row: Row) -> bytes:
    big, whole, small, identifier, moment, words, numbers = row
    return (
        FIXED.pack(
            7,
            *(8, big, 4, whole, 2, small, 16, identifier.bytes, 8, moment - EPOCH_MICROS),
        )
        + (NULL if words is None else text(words))
        + int_array(numbers)
    )


def commit(session: BatchSession, copies: list[Rows]) -> None:
    with session.transaction() as batch:
        batch.later("INSERT INTO noted VALUES ('waited')")
        batch.commit(copies)


def words_noted(database: Engine) -> list[str]:
    with transaction(database) as connection:
        found = connection.exec_driver_sql("SELECT word FROM noted ORDER BY word")
        return [row[0] for row in found]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=ROWS)
def test_rows_arrive_as_they_were_packed(session: BatchSession, rows: list[Row]) -> None:
    with session.transaction() as batch:
        batch.later("TRUNCATE row_kept")
        batch.commit([(TARGET, b"".join(map(packed, rows)))])
    with session.transaction() as batch:
        found = batch.rows(
            "SELECT big, whole, small, id::text,"
            " (extract(epoch FROM moment) * 1000000)::bigint, words, numbers"
            " FROM row_kept ORDER BY place"
        )
    assert found == [(*row[:3], str(row[3]), *row[4:6], list(row[6])) for row in rows]


def test_a_text_that_comes_again_is_the_same(session: BatchSession) -> None:
    with session.transaction() as batch:
        rows = b"".join([b"\x00\x01" + repeated_text(word) for word in ("a\tb\\n", "ü")])
        batch.commit([("noted (word)", rows)])
        assert batch.ended
    assert repeated_text("ü") is repeated_text("ü")


def test_statements_that_wait_run_in_their_order_and_commit_together(
    database: Engine, session: BatchSession
) -> None:
    with session.transaction() as batch:
        batch.later("INSERT INTO noted VALUES (%s)", ["one; it's %s"])
        batch.later("UPDATE noted SET word = word || '!'")
        assert words_noted(database) == []
        assert batch.rows("SELECT word FROM noted") == [("one; it's %s!",)]
        batch.connection.exec_driver_sql("INSERT INTO noted VALUES ('two')")
        assert words_noted(database) == []
        batch.later("INSERT INTO noted VALUES ('three')")
        batch.commit([("noted (word)", b""), ("noted (word)", b"\x00\x01" + text("four"))])
    assert words_noted(database) == ["four", "one; it's %s!", "three", "two"]


def test_a_block_that_does_not_commit_leaves_nothing(
    database: Engine, session: BatchSession
) -> None:
    with session.transaction() as batch:
        assert batch.rows("INSERT INTO noted VALUES ('lost') RETURNING word") == [("lost",)]
    assert words_noted(database) == []


def test_a_block_that_raises_leaves_nothing_and_the_session_goes_on(
    database: Engine, session: BatchSession
) -> None:
    def insert_and_fail() -> None:
        with session.transaction() as batch:
            batch.rows("INSERT INTO noted VALUES ('lost') RETURNING word")
            raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        insert_and_fail()
    with session.transaction() as batch:
        batch.later("INSERT INTO noted VALUES ('kept')")
        batch.commit([])
    assert words_noted(database) == ["kept"]


@pytest.mark.parametrize("place", ["first", "last"])
def test_rows_that_are_refused_half_way_take_the_whole_batch_back(
    database: Engine, session: BatchSession, place: str
) -> None:
    """The second row has a key that the first has; the copy before it had gone through."""
    twice = ("noted (word)", (b"\x00\x01" + text("twice")) * 2)
    once = ("noted (word)", b"\x00\x01" + text("once"))
    copies = [twice, once] if place == "first" else [once, twice]
    with pytest.raises(DBAPIError) as error:
        commit(session, copies)
    assert getattr(error.value.orig, "pgcode", None) == "23505"
    assert not connection_was_lost(error.value)
    assert words_noted(database) == []
    with session.transaction() as batch:
        batch.commit([once])
    assert words_noted(database) == ["once"]


def test_rows_that_end_too_soon_are_refused_whole(database: Engine, session: BatchSession) -> None:
    with pytest.raises(DBAPIError), session.transaction() as batch:
        batch.commit([("noted (word)", b"\x00\x01" + text("cut off")[:-3])])
    assert words_noted(database) == []


def test_a_session_that_was_ended_is_lost_and_the_next_transaction_has_another(
    database: Engine, session: BatchSession
) -> None:
    with session.transaction() as batch:
        batch.prepare("one", "bigint", "SELECT $1")
        [(number, one)] = batch.rows("SELECT pg_backend_pid(), 1")
        assert batch.rows("EXECUTE one(1)") == [(one,)]
    with transaction(database) as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (number,))
    with pytest.raises(DBAPIError) as error, session.transaction() as batch:
        batch.rows("SELECT 1")
    assert connection_was_lost(error.value)
    with session.transaction() as batch:
        batch.prepare("one", "bigint", "SELECT $1")
        assert batch.rows("EXECUTE one(1)") == [(1,)]
        [(other,)] = batch.rows("SELECT pg_backend_pid()")
    assert other != number
