"""Transactions of a session that is kept, and rows in COPY's binary format, on PostgreSQL."""

import time
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from services.plumbing.batch_session import INSERTED_MAX, BatchSession, BatchTransaction, Rows
from services.plumbing.binary_copy import (
    EPOCH_MICROS,
    NULL,
    bigint_array,
    fixed_columns,
    int_array,
    repeated_text,
    text,
)
from services.plumbing.database import connection_was_lost, engine, transaction
from services.plumbing.pipeline import LOOK_SECONDS, Pipeline
from services.plumbing.prepared import Statement
from services.plumbing.sql_state import sql_state
from tests.service.databases import Databases

TRUNCATE = Statement("truncate", "", "DELETE FROM row_kept")
KEPT = Statement(
    "kept",
    "",
    """
    SELECT big, whole, small, id::text, (extract(epoch FROM moment) * 1000000)::bigint, words,
           numbers
    FROM row_kept ORDER BY place""",
)
NOTE = Statement("note", "text", "INSERT INTO noted VALUES ($1)")
NOTED = Statement("noted", "", "SELECT word FROM noted")
ANSWER = Statement("answer", "text", "INSERT INTO answered VALUES ($1)")
SHOUT = Statement("shout", "", "UPDATE noted SET word = word || '!'")
LENGTHY = Statement("lengthy", "text", "SELECT $1")
SAME_NUMBERS = Statement("same_numbers", "bigint[]", "SELECT $1")
SLEEP = Statement("sleep", "double precision", "SELECT pg_sleep($1)")
PROCESS = Statement("process", "", "SELECT pg_backend_pid()")
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
            "CREATE TABLE noted (word text PRIMARY KEY);"
            "CREATE TABLE answered (word text REFERENCES noted DEFERRABLE INITIALLY DEFERRED)"
        )
    yield made
    made.dispose()


@pytest.fixture
def session(database: Engine) -> Iterator[BatchSession]:
    with transaction(database) as connection:
        connection.exec_driver_sql("TRUNCATE row_kept, noted, answered")
    made = BatchSession(database.url)
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


def words(*noted: str) -> Rows:
    return Rows("noted (word)", b"".join([b"\x00\x01" + text(word) for word in noted]), len(noted))


def add_and_commit(batch: BatchTransaction, added: list[Rows]) -> None:
    for rows in added:
        batch.add(rows)
    batch.commit()


def commit(session: BatchSession, added: list[Rows]) -> None:
    with session.transaction() as batch:
        batch.later(NOTE, "waited")
        add_and_commit(batch, added)


def words_noted(database: Engine) -> list[str]:
    with transaction(database) as connection:
        found = connection.exec_driver_sql("SELECT word FROM noted ORDER BY word")
        return [row[0] for row in found]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=ROWS)
def test_rows_arrive_as_they_were_packed(session: BatchSession, rows: list[Row]) -> None:
    with session.transaction() as batch:
        batch.later(TRUNCATE)
        add_and_commit(batch, [Rows(TARGET, b"".join(map(packed, rows)), len(rows))])
    with session.transaction() as batch:
        found = batch.rows(KEPT)
    assert found == [(*row[:3], str(row[3]), *row[4:6], list(row[6])) for row in rows]


def test_a_text_that_comes_again_is_the_same(session: BatchSession) -> None:
    with session.transaction() as batch:
        rows = b"".join([b"\x00\x01" + repeated_text(word) for word in ("a\tb\\n", "ü")])
        add_and_commit(batch, [Rows("noted (word)", rows, 2)])
    assert batch.ended
    assert repeated_text("ü") is repeated_text("ü")


def test_statements_that_wait_run_in_their_order_and_commit_together(
    database: Engine, session: BatchSession
) -> None:
    with session.transaction() as batch:
        batch.later(NOTE, "one; it's %s")
        earlier = batch.ask(NOTED)
        batch.later(SHOUT)
        assert words_noted(database) == []
        assert batch.rows(NOTED) == [("one; it's %s!",)]
        assert earlier.rows() == [("one; it's %s",)]
        batch.connection.exec_driver_sql("INSERT INTO noted VALUES ('two')")
        assert words_noted(database) == []
        batch.later(NOTE, "three")
        add_and_commit(batch, [words(), words("four")])
    assert words_noted(database) == ["four", "one; it's %s!", "three", "two"]


def test_statements_that_were_started_run_before_those_that_are_new_to_the_session(
    database: Engine, session: BatchSession
) -> None:
    with session.transaction() as batch:
        batch.later(NOTE, "one")
        earlier = batch.ask(NOTED)
        batch.start()
        batch.later(SHOUT)
        batch.start()
        assert batch.rows(NOTED) == [("one!",)]
        assert earlier.rows() == [("one",)]
        batch.later(NOTE, "two")
        batch.start()
        add_and_commit(batch, [words("three")])
    assert words_noted(database) == ["one!", "three", "two"]


def test_what_was_asked_can_be_read_after_the_commit(
    database: Engine, session: BatchSession
) -> None:
    with session.transaction() as batch:
        batch.later(NOTE, "one")
        asked = batch.ask(NOTED)
        batch.commit()
        assert asked.rows() == [("one",)]
        assert words_noted(database) == ["one"]
    commit(session, [words("two")])
    assert words_noted(database) == ["one", "two", "waited"]


@pytest.mark.parametrize("count", [1, INSERTED_MAX + 1])
def test_a_commit_that_is_refused_is_known_when_the_block_ends(
    database: Engine, session: BatchSession, count: int
) -> None:
    """What refers to a row is looked at as late as the COMMIT; whether rows are inserted or
    copied.
    """
    reached = []

    def answer_nobody() -> None:
        with session.transaction() as batch:
            batch.later(ANSWER, "nobody")
            add_and_commit(batch, [words(*map(str, range(count)))])
            reached.append(not batch.ended)

    with pytest.raises(DBAPIError) as error:
        answer_nobody()
    assert reached == [True]
    assert sql_state(error.value) == "23503"
    assert words_noted(database) == []
    commit(session, [words("kept")])
    assert words_noted(database) == ["kept", "waited"]


def test_a_block_that_raises_after_its_commit_says_so_and_the_session_goes_on(
    database: Engine, session: BatchSession
) -> None:
    def commit_and_fail() -> None:
        with session.transaction() as batch:
            add_and_commit(batch, [words("committed or not")])
            raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        commit_and_fail()
    commit(session, [words("kept")])
    assert {"kept", "waited"} <= set(words_noted(database))


def test_a_block_that_does_not_commit_leaves_nothing(
    database: Engine, session: BatchSession
) -> None:
    with session.transaction() as batch:
        batch.later(NOTE, "lost")
        assert batch.rows(NOTED) == [("lost",)]
    assert words_noted(database) == []


def test_a_block_that_raises_leaves_nothing_and_the_session_goes_on(
    database: Engine, session: BatchSession
) -> None:
    def insert_and_fail() -> None:
        with session.transaction() as batch:
            batch.later(NOTE, "lost")
            assert batch.rows(NOTED) == [("lost",)]
            raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        insert_and_fail()
    with session.transaction() as batch:
        batch.later(NOTE, "kept")
        batch.commit()
    assert words_noted(database) == ["kept"]


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("count", [2, INSERTED_MAX + 1])
def test_rows_that_are_refused_half_way_take_the_whole_batch_back(
    database: Engine, session: BatchSession, place: str, count: int
) -> None:
    """The last row has a key that another has, whether rows are inserted or copied."""
    twice = words(*map(str, range(count - 1)), "0")
    once = words(*(f"once {number}" for number in range(count)))
    added = [twice, once] if place == "first" else [once, twice]
    with pytest.raises(DBAPIError) as error:
        commit(session, added)
    assert sql_state(error.value) == "23505"
    assert not connection_was_lost(error.value)
    assert words_noted(database) == []
    with session.transaction() as batch:
        add_and_commit(batch, [once])
    assert len(words_noted(database)) == count


def test_nothing_runs_after_a_statement_that_fails(database: Engine, session: BatchSession) -> None:
    def note_twice() -> None:
        with session.transaction() as batch:
            batch.later(NOTE, "twice")
            batch.later(NOTE, "twice")
            batch.rows(NOTED)

    with pytest.raises(DBAPIError) as error:
        note_twice()
    assert sql_state(error.value) == "23505"
    commit(session, [words("once")])
    assert words_noted(database) == ["once", "waited"]


@pytest.mark.parametrize("count", [1, INSERTED_MAX + 1])
def test_rows_that_end_too_soon_are_refused_whole(
    database: Engine, session: BatchSession, count: int
) -> None:
    cut_off = b"".join([b"\x00\x01" + text(str(number)) for number in range(count)])[:-1]
    with pytest.raises((DBAPIError, ValueError)), session.transaction() as batch:
        add_and_commit(batch, [Rows("noted (word)", cut_off, count)])
    assert words_noted(database) == []


def test_large_rows_and_answers_pass_in_both_directions(session: BatchSession) -> None:
    """More than sockets hold: who only sends would wait for who only answers."""
    large = ["x" * 2_000_000 + str(number) for number in range(3)]
    with session.transaction() as batch:
        for word in large:
            batch.later(LENGTHY, word)
        answers = [batch.ask(LENGTHY, word) for word in large]
        assert [len(each.rows()[0][0]) for each in answers] == [len(word) for word in large]
        add_and_commit(batch, [words(*(str(number) * 2_000 for number in range(2_000)))])


@pytest.mark.parametrize("count", [0, 1, 2, 370])
def test_numbers_go_as_they_are(session: BatchSession, count: int) -> None:
    numbers = [(-1) ** number * (2**63 - 1 - number) for number in range(count)]
    with session.transaction() as batch:
        assert batch.rows(SAME_NUMBERS, bigint_array(numbers)) == [(numbers,)]
        batch.commit()


@pytest.mark.parametrize("seconds", [0.0, LOOK_SECONDS, 0.5])
def test_an_urgent_transaction_looks_for_answers_and_sleeps_where_they_take_long(
    database: Engine, session: BatchSession, seconds: float
) -> None:
    with session.transaction(is_urgent=True) as batch:
        batch.rows(SLEEP, 0)
        busy = time.thread_time()
        batch.rows(SLEEP, seconds)
        busy = time.thread_time() - busy
        batch.later(NOTE, "noted")
        batch.commit()
    assert words_noted(database) == ["noted"]
    # A hundred times as long as it may look.
    assert busy < 100 * LOOK_SECONDS


def test_a_session_that_was_ended_is_lost_and_the_next_transaction_has_another(
    database: Engine, session: BatchSession
) -> None:
    with session.transaction() as batch:
        [(number,)] = batch.rows(PROCESS)
    with transaction(database) as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (number,))
    with pytest.raises(DBAPIError) as error, session.transaction() as batch:
        batch.rows(PROCESS)
    assert connection_was_lost(error.value)
    with session.transaction() as batch:
        [(other,)] = batch.rows(PROCESS)
    assert other != number


def test_a_session_that_is_lost_as_it_is_made_is_lost_and_the_next_transaction_has_another(
    database: Engine, session: BatchSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Pipeline.prepare

    def prepare_without_server(pipeline: Pipeline, name: bytes, statement: str) -> None:
        with transaction(database) as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        prepare(pipeline, name, statement)

    with monkeypatch.context() as patched:
        patched.setattr(Pipeline, "prepare", prepare_without_server)
        with pytest.raises(DBAPIError) as error:
            commit(session, [words("lost")])
    assert connection_was_lost(error.value)
    commit(session, [words("kept")])
    assert words_noted(database) == ["kept", "waited"]
