from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from services.plumbing import bus_status, inbox, outbox
from services.plumbing.database import engine
from services.plumbing.inbox import Cursor
from services.plumbing.outbox import Event

CONSUMER, SOURCE = "ledger", "members"


@pytest.fixture
def announcing(database: Callable[[str], str]) -> Iterator[Connection]:
    source = engine(database("members"))
    with source.connect() as connection:
        yield connection
    source.dispose()


@pytest.fixture
def consuming(database: Callable[[str], str]) -> Iterator[Connection]:
    source = engine(database("ledger"))
    with source.connect() as connection:
        yield connection
    source.dispose()


def announce(connection: Connection, *, count: int, age: timedelta) -> None:
    time = datetime.now(UTC) - age
    outbox.append(
        connection,
        "public",
        [Event(f"{age}-{number}", "a.Type", "members/1", time, b"") for number in range(count)],
    )
    connection.commit()


def lag(consuming: Connection, announcing: Connection) -> bus_status.Lag:
    [found] = bus_status.lags(consuming, announcing, consumer=CONSUMER, source=SOURCE)
    return found


def test_nothing_is_behind_an_empty_outbox(consuming: Connection, announcing: Connection) -> None:
    assert lag(consuming, announcing) == bus_status.Lag(CONSUMER, SOURCE, "public", 0, 0.0)


def test_a_consumer_that_never_read_is_behind_everything(
    consuming: Connection, announcing: Connection
) -> None:
    announce(announcing, count=3, age=timedelta(seconds=90))
    announce(announcing, count=2, age=timedelta(seconds=10))
    found = lag(consuming, announcing)
    assert found.events == 5
    assert found.oldest_seconds == pytest.approx(90, abs=5)


def test_only_what_lies_past_the_cursor_counts(
    consuming: Connection, announcing: Connection
) -> None:
    announce(announcing, count=3, age=timedelta(seconds=90))
    announce(announcing, count=2, age=timedelta(seconds=10))
    third = outbox.read(announcing, "public", outbox.START, limit=3)[-1]
    inbox.move_cursor(
        consuming,
        consumer=CONSUMER,
        source=SOURCE,
        stream="public",
        to=Cursor(third.position, outbox.origin(announcing, "public").name),
    )
    found = lag(consuming, announcing)
    assert found.events == 2
    assert found.oldest_seconds == pytest.approx(10, abs=5)


def test_counting_stops_at_its_bound(
    consuming: Connection, announcing: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "EVENTS_COUNTED_MAX", 4)
    announce(announcing, count=6, age=timedelta(seconds=5))
    assert lag(consuming, announcing).events == 4


def test_every_schema_with_an_outbox_is_a_stream(consuming: Connection) -> None:
    assert outbox.streams(consuming) == ["ledger_00", "ledger_01", "public"]


@pytest.mark.parametrize(
    "read", [Cursor(1, "another-system/1"), Cursor(7, None)], ids=["another", "shorter"]
)
def test_an_outbox_that_is_not_the_one_that_was_read_is_told(
    consuming: Connection, announcing: Connection, read: Cursor
) -> None:
    announce(announcing, count=2, age=timedelta(seconds=10))
    inbox.move_cursor(consuming, consumer=CONSUMER, source=SOURCE, stream="public", to=read)
    assert lag(consuming, announcing).replaced
