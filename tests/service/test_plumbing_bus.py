"""The embedded bus: in order, once, past poison, and through a database that goes away."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, create_engine

from services.plumbing import doorbell, inbox, outbox
from services.plumbing.database import transaction
from services.plumbing.delivery import CursorMoved, Deliverer
from services.plumbing.embedded_bus import Consumer, Container, declared, instantiate
from services.plumbing.embedded_postgres import PostgresServer
from services.plumbing.outbox import Event
from services.plumbing.stream_delivery import Source, StreamDelivery
from services.plumbing.watching import Watch, pause_seconds
from tests.service.databases import Databases
from tests.service.shelf import NOW, Shelf, Town, build, card_issued, embedded_bus
from tests.service.waiting import wait_until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell poison in less time than in production."""
    monkeypatch.setattr("services.plumbing.delivery.BACK_OFF_SECONDS", 0.001)


@pytest.fixture
def quiet_town(databases: Databases) -> Iterator[Town]:
    urls = databases.create_empty(), databases.create_empty()
    made = build(*urls)
    yield made
    made.close()
    for url in urls:
        databases.drop(url)


def test_events_are_applied_in_the_order_they_were_announced(quiet_town: Town) -> None:
    bus = embedded_bus(quiet_town)
    tokens = [f"card-{number}" for number in range(450)]
    quiet_town.issue(*tokens[:3])
    quiet_town.issue(*tokens[3:])
    assert bus.drain() == 450
    assert quiet_town.kept() == tokens
    assert bus.drain() == 0
    bus.stop()


def test_an_event_announced_twice_is_applied_once(quiet_town: Town) -> None:
    bus = embedded_bus(quiet_town)
    events = quiet_town.issue("card-1", "card-2")
    quiet_town.announce(*events)
    assert bus.drain() == 4
    assert quiet_town.kept() == ["card-1", "card-2"]
    bus.stop()


def test_an_event_delivered_again_after_the_cursor_was_lost_is_applied_once(
    quiet_town: Town,
) -> None:
    quiet_town.issue("card-1", "card-2")
    first = embedded_bus(quiet_town)
    first.drain()
    first.stop()
    with transaction(quiet_town.shelf) as connection:
        connection.exec_driver_sql("DELETE FROM inbox_cursors")
    second = embedded_bus(quiet_town)
    assert second.drain() == 2
    assert quiet_town.kept() == ["card-1", "card-2"]
    second.stop()


def test_a_bus_goes_on_where_the_last_one_ended(quiet_town: Town) -> None:
    quiet_town.issue("card-1")
    first = embedded_bus(quiet_town)
    first.drain()
    first.stop()
    quiet_town.issue("card-2")
    second = embedded_bus(quiet_town)
    assert second.drain() == 1
    assert quiet_town.kept() == ["card-1", "card-2"]
    second.stop()


def test_poison_is_parked_and_holds_nobody_up(quiet_town: Town) -> None:
    bus = embedded_bus(quiet_town)
    events = quiet_town.issue("card-1", "poison", "card-2")
    unreadable = replace(events[0], id="unreadable", data=b"\xff\xff\xff")
    quiet_town.announce(unreadable)
    quiet_town.issue("card-3")
    bus.drain()
    assert quiet_town.kept() == ["card-1", "card-2", "card-3"]
    parked = quiet_town.parked()
    assert list(parked) == [events[1].id, "unreadable"]
    # The kind of the error and its place: its text could quote what is personal.
    assert parked[events[1].id].startswith("ValueError in card_issued (shelf.py:")
    assert parked["unreadable"].startswith("DecodeError in ")
    assert bus.drain() == 0
    bus.stop()


def transactions_that_kept(town: Town) -> int:
    """How many transactions wrote the cards on the shelf, their notes and the cursor."""
    with transaction(town.shelf) as connection:
        found: int = connection.exec_driver_sql(
            "SELECT count(*) FROM (SELECT xmin::text FROM shelf UNION SELECT xmin::text FROM inbox"
            " UNION SELECT xmin::text FROM inbox_cursors) AS writing"
        ).scalar_one()
        return found


def test_events_that_queued_are_applied_in_one_transaction(quiet_town: Town) -> None:
    bus = embedded_bus(quiet_town)
    quiet_town.issue("card-1", "card-2", "card-3")
    assert bus.drain() == 3
    assert quiet_town.kept() == ["card-1", "card-2", "card-3"]
    assert transactions_that_kept(quiet_town) == 1
    assert position(quiet_town) == 3
    bus.stop()


def test_events_that_queued_with_poison_are_applied_each_for_itself(quiet_town: Town) -> None:
    bus = embedded_bus(quiet_town)
    events = quiet_town.issue("card-1", "poison", "card-2")
    assert bus.drain() == 3
    assert quiet_town.kept() == ["card-1", "card-2"]
    assert list(quiet_town.parked()) == [events[1].id]
    # Two cards with their notes, and the cursor behind all three.
    assert transactions_that_kept(quiet_town) == 3
    assert position(quiet_town) == 3
    bus.stop()


def test_a_lock_timeout_is_tried_again_and_parked_at_last(
    quiet_town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.plumbing.database.LOCK_TIMEOUT_MS", 20)
    bus = embedded_bus(quiet_town)
    events = quiet_town.issue("card-1")
    with transaction(quiet_town.shelf) as connection:
        connection.exec_driver_sql("LOCK TABLE shelf IN EXCLUSIVE MODE")
        bus.drain()
    assert list(quiet_town.parked()) == [events[0].id]
    assert quiet_town.parked()[events[0].id].startswith("OperationalError 55P03")
    bus.stop()


def test_events_nobody_reacts_to_are_passed_over(quiet_town: Town) -> None:
    bus = embedded_bus(quiet_town)
    quiet_town.announce(Event("other", "loyalty.members.v1.MemberEnrolled", "members/1", NOW, b""))
    quiet_town.issue("card-1")
    assert bus.drain() == 2
    assert quiet_town.kept() == ["card-1"]
    bus.stop()


def test_notes_of_old_events_can_be_forgotten(quiet_town: Town) -> None:
    bus = embedded_bus(quiet_town)
    quiet_town.issue("card-1", "poison")
    bus.drain()
    bus.stop()
    with transaction(quiet_town.shelf) as connection:
        assert inbox.parked_count(connection) == 1
        now = datetime.now(UTC)
        assert inbox.forget_before(connection, now - timedelta(hours=1)) == 0
        assert inbox.forget_before(connection, now + timedelta(hours=1)) == 1


def test_what_an_event_did_and_the_note_of_it_are_undone_together(quiet_town: Town) -> None:
    def apply_and_fail() -> None:
        with inbox.applied_once(
            quiet_town.shelf, consumer="shelf", source="members", event_id="1"
        ) as connection:
            assert connection is not None
            connection.exec_driver_sql(
                "INSERT INTO shelf (member, token) VALUES ('members/1', 'card-1')"
            )
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        apply_and_fail()
    assert quiet_town.kept() == []
    with inbox.applied_once(
        quiet_town.shelf, consumer="shelf", source="members", event_id="1"
    ) as connection:
        assert connection is not None
    with inbox.applied_once(
        quiet_town.shelf, consumer="shelf", source="members", event_id="1"
    ) as connection:
        assert connection is None


def test_what_events_gather_is_done_together_and_before_what_comes_behind(
    quiet_town: Town,
) -> None:
    done: list[tuple[str, ...]] = []

    def react(event_id: str, *, gathers: bool) -> None:
        with inbox.applied_once(
            quiet_town.shelf, consumer="s", source="m", event_id=event_id, gathers=gathers
        ) as connection:
            if connection is not None and gathers:
                inbox.gather(connection, apply, event_id)
            elif connection is not None:
                done.append((event_id,))

    def apply(_connection: Connection, items: Sequence[str]) -> None:
        done.append(tuple(items))

    react("1", gathers=True)
    ids = [str(number) for number in range(1, 7)]
    with inbox.applied_together(quiet_town.shelf, consumer="s", source="m", event_ids=ids):
        for event_id in [*ids[:3], "2", ids[3]]:
            react(event_id, gathers=event_id != "4")
        for event_id in ids[4:]:
            react(event_id, gathers=True)
    assert done == [("1",), ("2", "3"), ("4",), ("5", "6")]


def test_a_watch_waits_while_a_stream_is_busy_and_no_longer() -> None:
    stopping = threading.Event()
    watch = Watch(create_engine("postgresql+psycopg2://"), ["busy", "calm"], stopping=stopping)
    watch.settle("calm", quiet_seconds=3_600, seconds_max=3_600)
    watch.note({"busy": 1, "calm": 1})
    began = time.monotonic()
    watch.settle("busy", quiet_seconds=3_600, seconds_max=0.05)
    assert time.monotonic() - began >= 0.05
    watch.settle("calm", quiet_seconds=0.05, seconds_max=3_600)
    assert not watch.note({"busy": 1, "calm": 1})
    watch.note({"calm": 2})
    stopping.set()
    watch.settle("calm", quiet_seconds=3_600, seconds_max=3_600)


def test_a_ring_comes_after_commit_and_not_after_rollback(
    quiet_town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[tuple[str, int]] = []

    def ring(database: str) -> None:
        with transaction(quiet_town.members) as connection:
            rung.append((database, outbox.newest(connection, ["public"])["public"]))

    monkeypatch.setattr("services.plumbing.doorbell.ring", ring)
    quiet_town.issue("card-1", "card-2")
    database = str(quiet_town.members.url.database)
    assert rung == [(database, 2)]
    with suppress(ZeroDivisionError), transaction(quiet_town.members) as connection:
        outbox.append(connection, "public", [card_issued("card-3")])
        _ = 1 / 0
    with transaction(quiet_town.members) as connection:
        outbox.newest(connection, ["public"])
    assert rung == [(database, 2)]


@contextmanager
def rung_by_us(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process ring at an address while the block runs."""
    monkeypatch.setenv("BUS_DOORBELL", address)
    doorbell.bell.cache_clear()
    opened = doorbell.bell()
    assert opened is not None
    try:
        yield
    finally:
        opened.close()
        doorbell.bell.cache_clear()


def test_a_bus_with_a_doorbell_looks_when_it_is_rung_for(
    quiet_town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the test may last: what is heard was rung for.
    monkeypatch.setattr("services.plumbing.watching.POLL_SECONDS_MAX", 3_600.0)
    monkeypatch.setattr("services.plumbing.embedded_bus.CURSOR_SECONDS", 3_600.0)
    bus = embedded_bus(quiet_town, doorbell="127.0.0.1:0")
    bus.start()
    with rung_by_us(bus.doorbell, monkeypatch):
        quiet_town.issue("card-1")
        wait_until(lambda: quiet_town.kept() == ["card-1"])
        quiet_town.issue("card-2")
        wait_until(lambda: quiet_town.kept() == ["card-1", "card-2"])
        bus.stop()
        # Nobody listens any more, and nobody minds.
        quiet_town.issue("card-3")
        quiet_town.issue("card-4")
    assert quiet_town.kept() == ["card-1", "card-2"]


def test_a_bus_whose_doorbell_is_taken_looks_by_itself(quiet_town: Town) -> None:
    taken = doorbell.Doorbell("127.0.0.1:0")
    bus = embedded_bus(quiet_town, doorbell=taken.address)
    bus.start()
    quiet_town.issue("card-1")
    wait_until(lambda: quiet_town.kept() == ["card-1"])
    assert bus.doorbell == ""
    bus.stop()
    told = threading.Event()
    told.set()
    taken.listen(lambda *_: None, told)


def position(town: Town) -> int:
    """How far the shelf has read."""
    with transaction(town.shelf) as connection:
        place = {"consumer": "shelf", "source": "members", "stream": "public"}
        return inbox.cursor(connection, **place).position


def test_a_running_bus_notices_that_its_cursor_was_moved_back(quiet_town: Town) -> None:
    bus = embedded_bus(quiet_town)
    bus.start()
    try:
        quiet_town.issue("card-1")
        wait_until(lambda: position(quiet_town) == 1)
        with transaction(quiet_town.shelf) as connection:
            connection.exec_driver_sql("DELETE FROM inbox; DELETE FROM inbox_cursors")
        wait_until(lambda: quiet_town.kept() == ["card-1", "card-1"])
        assert position(quiet_town) == 1
        assert quiet_town.parked() == {}
    finally:
        bus.stop()


def test_a_cursor_that_others_moved_is_not_moved_back_by_who_goes_on(quiet_town: Town) -> None:
    consumer = Consumer(Shelf, quiet_town.shelf, {"DATABASE_URL": quiet_town.shelf_url})
    container = Container(consumer)
    service, providers = instantiate(consumer, container)
    deliverer = Deliverer("shelf", quiet_town.shelf, lambda _: False)
    source = Source("members", quiet_town.members, ["public"])
    delivery = StreamDelivery(deliverer, source, "public", declared(service))
    quiet_town.issue("card-1")
    assert delivery.deliver_some() == 1
    with transaction(quiet_town.shelf) as connection:
        inbox.rewind(connection, consumer="shelf", source="members")
    for token in ("dull", "card-2"):
        quiet_town.issue(token)
        with pytest.raises(CursorMoved):
            delivery.deliver_some(goes_on=True)
    assert quiet_town.kept() == ["card-1"]
    assert position(quiet_town) == 0
    assert delivery.deliver_some() == 3
    assert quiet_town.kept() == ["card-1", "card-2"]
    assert delivery.deliver_some(goes_on=True) == 0
    assert position(quiet_town) == 3
    with transaction(quiet_town.shelf) as connection:
        connection.exec_driver_sql("DELETE FROM inbox_cursors")
    quiet_town.issue("card-3")
    with pytest.raises(CursorMoved):
        delivery.deliver_some(goes_on=True)
    assert quiet_town.kept() == ["card-1", "card-2"]
    for provider in providers:
        provider.stop()


@pytest.mark.parametrize(
    ("quiet_seconds", "expected_seconds"),
    [(0, 0.005), (0.1, 0.005), (1, 0.05), (4, 0.2), (3600, 0.2), (math.inf, 0.2)],
)
def test_the_bus_looks_less_often_the_longer_nothing_came(
    quiet_seconds: float, expected_seconds: float
) -> None:
    assert pause_seconds(quiet_seconds) == pytest.approx(expected_seconds)


def test_the_bus_survives_a_restart_of_the_database(own_postgres: PostgresServer) -> None:
    urls = []
    for name in ("members", "shelf"):
        own_postgres.create_database(name)
        urls.append(own_postgres.url_of(name))
    stopped = build(*urls)
    bus = embedded_bus(stopped)
    bus.start()
    try:
        stopped.issue("card-1")
        wait_until(lambda: stopped.kept() == ["card-1"])
        own_postgres.stop()
        # Long enough for a reaction to meet the absence, were it blamed on the event.
        threading.Event().wait(0.5)
        own_postgres.start()
        stopped.issue("card-2", "card-3")
        wait_until(lambda: stopped.kept() == ["card-1", "card-2", "card-3"])
        assert stopped.parked() == {}
    finally:
        bus.stop()
        stopped.close()
