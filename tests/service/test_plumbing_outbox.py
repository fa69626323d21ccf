"""Events on their way out: none lost, none twice, whoever commits late."""

import random
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine

from services.plumbing import outbox
from services.plumbing.database import engine, transaction
from services.plumbing.outbox import START, Event, Reader, Stored
from tests.service.databases import Databases

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WRITERS = 8
TRANSACTIONS = 40


@pytest.fixture
def database(databases: Databases) -> Iterator[Engine]:
    """A database with an outbox and nothing else."""
    url = databases.create_empty()
    made = engine(url, pool_size=WRITERS + 4)
    with transaction(made) as connection:
        connection.exec_driver_sql(outbox.create_table("public"))
    yield made
    made.dispose()
    databases.drop(url)


def event(subject: str = "members/1", event_id: str | None = None) -> Event:
    return Event(event_id or uuid.uuid4().hex, "Happened", subject, NOW, b"\x00data\xff")


def read(database: Engine, after: int = START, limit: int = 1000) -> list[Stored]:
    with transaction(database) as connection:
        return outbox.read(connection, "public", after, limit=limit)


def ids(stored: list[Stored]) -> list[str]:
    return [each.event.id for each in stored]


def append(connection: Connection, *event_ids: str) -> None:
    outbox.append(connection, "public", [event(event_id=each) for each in event_ids])


def test_event_is_read_as_it_was_written(database: Engine) -> None:
    written = Event("id-1", 'a "quoted" \\ type', "members/ä {},", NOW, bytes(range(256)))
    with transaction(database) as connection:
        outbox.append(connection, "public", [written])
    assert [each.event for each in read(database)] == [written]


def test_events_of_a_transaction_stay_in_their_order(database: Engine) -> None:
    with transaction(database) as connection:
        append(connection, "a", "b")
        append(connection, "c")
    assert ids(read(database)) == ["a", "b", "c"]


def test_no_events_are_nothing(database: Engine) -> None:
    with transaction(database) as connection:
        outbox.append(connection, "public", [])
    assert read(database) == []


def test_what_is_rolled_back_was_never_announced(database: Engine) -> None:
    def fail() -> None:
        with transaction(database) as connection:
            append(connection, "a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read(database) == []


def test_a_late_committer_is_waited_for_and_not_lost(database: Engine) -> None:
    reader = Reader("public")
    with database.connect() as late, database.connect() as reading:
        append(late, "late")
        with transaction(database) as connection:
            append(connection, "early")
        # "early" has committed, but a transaction with a smaller position still runs.
        assert reader.read(reading, START, limit=10) == []
        late.commit()
        assert ids(reader.read(reading, START, limit=10)) == ["late", "early"]


def test_what_never_comes_is_not_waited_for_however_busy_the_others_are(database: Engine) -> None:
    reader = Reader("public")
    with (
        database.connect() as failing,
        database.connect() as busy,
        database.connect() as busier,
        database.connect() as reading,
    ):
        append(failing, "never")
        append(busy, "second")
        with transaction(database) as connection:
            append(connection, "third")
        assert reader.read(reading, START, limit=10) == []
        failing.rollback()
        append(busier, "fourth")
        busy.commit()
        # Whoever still writes began to after the gap was seen.
        assert ids(reader.read(reading, START, limit=10)) == ["second", "third"]
        busier.commit()
        assert ids(reader.read(reading, START, limit=10)) == ["second", "third", "fourth"]


def test_an_update_of_another_table_by_a_long_transaction_holds_no_reader_up(
    database: Engine,
) -> None:
    with database.connect() as long, database.connect() as failing:
        long.exec_driver_sql("CREATE TABLE elsewhere (id int)")
        append(failing, "never")
        failing.rollback()
        with transaction(database) as connection:
            append(connection, "behind the gap")
        assert ids(read(database)) == ["behind the gap"]


def test_events_about_a_row_stand_in_the_order_it_was_changed_in(database: Engine) -> None:
    """However early a transaction got its number, or late it commits."""
    with transaction(database) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE wallets AS SELECT id FROM generate_series(1, 2) id"
        )
    with database.connect() as first, database.connect() as second:
        first.exec_driver_sql("SELECT FROM wallets WHERE id = 1 FOR UPDATE")
        # Its number is the greater, yet it changes the second wallet before the other does.
        second.exec_driver_sql("SELECT FROM wallets WHERE id = 2 FOR UPDATE")
        append(second, "second's")
        second.commit()
        first.exec_driver_sql("SELECT FROM wallets WHERE id = 2 FOR UPDATE")
        append(first, "first's")
        first.commit()
    assert ids(read(database)) == ["second's", "first's"]


def test_reading_goes_on_where_it_ended(database: Engine) -> None:
    for name in "abcde":
        with transaction(database) as connection:
            append(connection, f"{name}1", f"{name}2")
    seen: list[str] = []
    after = START
    while batch := read(database, after, limit=3):
        assert len(batch) <= 3
        seen += ids(batch)
        after = batch[-1].position
    assert seen == [f"{name}{n}" for name in "abcde" for n in (1, 2)]


def test_a_reader_beside_many_writers_sees_every_event_once(database: Engine) -> None:
    written: list[list[str]] = [[] for _ in range(WRITERS)]

    def write(number: int) -> None:
        choose = random.Random(number)  # noqa: S311 — no secret is made of it
        for turn in range(TRANSACTIONS):
            with database.connect() as connection:
                names = [f"{number}-{turn}-{n}" for n in range(choose.randint(1, 3))]
                append(connection, *names)
                # Hold the transaction open for a while, so that others overtake it.
                connection.exec_driver_sql("SELECT pg_sleep(%s)", (choose.random() / 100,))
                if choose.random() < 0.2:
                    connection.rollback()
                else:
                    connection.commit()
                    written[number] += names

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    seen: list[str] = []
    after = START
    reader = Reader("public")
    writing = True
    with database.connect() as reading:
        while writing:
            # Asked before reading: what the last writer commits is read after it has ended.
            writing = any(thread.is_alive() for thread in threads)
            while batch := reader.read(reading, after, limit=7):
                seen += ids(batch)
                after = batch[-1].position
    for thread in threads:
        thread.join()
    assert len(seen) == len(set(seen))
    assert sorted(seen) == sorted(name for names in written for name in names)
    for number, names in enumerate(written):
        assert [each for each in seen if each.startswith(f"{number}-")] == names


def test_events_of_a_locked_subject_stand_in_the_order_they_happened(database: Engine) -> None:
    with transaction(database) as connection:
        connection.exec_driver_sql("CREATE TABLE counter AS SELECT 0 AS number")

    def count() -> None:
        for _ in range(TRANSACTIONS):
            with transaction(database) as connection:
                outbox.lock_subject(connection, "members/1")
                number = connection.exec_driver_sql(
                    "UPDATE counter SET number = number + 1 RETURNING number"
                ).scalar_one()
                append(connection, str(number))

    threads = [threading.Thread(target=count) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [str(number + 1) for number in range(WRITERS * TRANSACTIONS)]
    assert ids(read(database)) == expected


def test_one_subject_s_lock_does_not_hold_another(database: Engine) -> None:
    with transaction(database) as one, transaction(database) as other:
        outbox.lock_subject(one, "members/1")
        outbox.lock_subject(other, "members/2")
        granted = other.exec_driver_sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).scalar_one()
        assert granted == 2


def test_old_events_up_to_a_position_are_dropped_and_it_is_noted(database: Engine) -> None:
    with transaction(database) as connection:
        append(connection, "a", "b", "c")
    later = NOW + timedelta(days=1)
    with transaction(database) as connection:
        outbox.append(connection, "public", [replace(event(event_id="d"), time=later)])
        assert outbox.prune(connection, "public", through=2, before=later, limit=10) == 2
        assert outbox.prune(connection, "public", through=9, before=later, limit=10) == 1
        before = connection.exec_driver_sql("SELECT before FROM outbox_pruning").scalar_one()
    assert ids(read(database)) == ["d"]
    assert before == later


def test_an_outbox_restored_from_a_dump_has_another_origin(database: Engine) -> None:
    with transaction(database) as connection:
        append(connection, "a", "b")
        before = outbox.origin(connection, "public")
        assert before.last_position == 2
        # As pg_restore does: the table is made anew, with the rows and the last position.
        connection.exec_driver_sql(
            "CREATE TABLE kept AS SELECT * FROM outbox; DROP TABLE outbox, outbox_pruning"
        )
        connection.exec_driver_sql(outbox.create_table("public"))
        connection.exec_driver_sql(
            "INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM kept;"
            "SELECT setval(pg_get_serial_sequence('outbox', 'position'), 2)"
        )
        after = outbox.origin(connection, "public")
    assert after.last_position == 2
    assert after.name != before.name
