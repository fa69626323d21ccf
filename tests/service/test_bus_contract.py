"""What both runtimes of the bus promise, each as real processes on a real PostgreSQL.

The tests of a runtime share its processes and databases; each looks at members of its own.
"""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.plumbing import inbox, outbox
from services.plumbing.database import transaction
from services.plumbing.embedded_postgres import PostgresServer, embedded_postgres
from services.plumbing.outbox import Event
from tests.disk import spare_the_disk
from tests.service.bus_runtimes import Runtime, embedded, on_rabbitmq
from tests.service.shelf import NOW, Town, build, card_issued
from tests.service.waiting import wait_until


@pytest.fixture(scope="module")
def postgres_to_stop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with embedded_postgres(tmp_path_factory.mktemp("contract")) as server:
        spare_the_disk(server.url_of("postgres"))
        yield server


@pytest.fixture(scope="module", params=["embedded", "rabbitmq"])
def runtime(
    request: pytest.FixtureRequest,
    postgres_to_stop: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runtime]:
    urls = []
    for service in ("members", "shelf"):
        postgres_to_stop.create_database(f"{service}_{request.param}")
        urls.append(postgres_to_stop.url_of(f"{service}_{request.param}"))
    town = build(*urls)
    folder = tmp_path_factory.mktemp("runtime")
    if request.param == "embedded":
        made = embedded(town, folder)
    else:
        made = on_rabbitmq(town, request.getfixturevalue("rabbitmq"), folder)
    made.start()
    yield made
    made.kill()
    town.close()


@pytest.fixture
def town(runtime: Runtime) -> Town:
    """The town of a runtime that is up."""
    runtime.start()
    return runtime.town


def test_events_are_applied_in_the_order_they_were_announced(town: Town) -> None:
    tokens = [f"card-{number}" for number in range(450)]
    town.issue(*tokens[:3], member="members/order")
    town.issue(*tokens[3:], member="members/order")
    wait_until(lambda: len(town.kept("members/order")) == 450)
    assert town.kept("members/order") == tokens


def test_events_of_many_writers_keep_the_order_of_the_row_they_changed(town: Town) -> None:
    with transaction(town.members) as connection:
        connection.exec_driver_sql("CREATE TABLE counter AS SELECT 0 AS number, 0 AS other")

    def count(writer: int) -> None:
        for _ in range(40):
            with transaction(town.members) as connection:
                # Each writer's transaction has its number before it waits for the row.
                connection.exec_driver_sql("CREATE TEMP TABLE early ON COMMIT DROP AS SELECT 1")
                number = connection.exec_driver_sql(
                    "UPDATE counter SET number = number + 1 RETURNING number"
                ).scalar_one()
                outbox.append(connection, "public", [card_issued(f"{number}", "members/counted")])
                if number % 7 == writer:
                    connection.rollback()

    writers = [threading.Thread(target=count, args=(writer,)) for writer in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    with transaction(town.members) as connection:
        last = connection.exec_driver_sql("SELECT number FROM counter").scalar_one()
    wait_until(lambda: len(town.kept("members/counted")) == last)
    assert town.kept("members/counted") == [str(number + 1) for number in range(last)]


def test_an_event_announced_twice_is_applied_once(town: Town) -> None:
    events = town.issue("card-1", "card-2", member="members/twice")
    town.announce(*events)
    town.issue("card-3", member="members/twice")
    wait_until(lambda: "card-3" in town.kept("members/twice"))
    assert town.kept("members/twice") == ["card-1", "card-2", "card-3"]


def test_poison_is_parked_with_its_error_and_holds_nobody_up(town: Town) -> None:
    [_, poison, _] = town.issue("card-1", "poison-1", "card-2", member="members/poisoned")
    unreadable = replace(poison, id="unreadable", data=b"\xff\xff\xff")
    town.announce(unreadable)
    town.issue("card-3", member="members/poisoned")
    wait_until(lambda: "card-3" in town.kept("members/poisoned"))
    assert town.kept("members/poisoned") == ["card-1", "card-2", "card-3"]
    parked = town.parked()
    # The kind of the error and its place: its text could quote what is personal.
    assert parked[poison.id].startswith("ValueError in card_issued (shelf.py:")
    assert parked["unreadable"].startswith("DecodeError in ")


def test_a_parked_event_comes_back_when_it_is_asked_for(town: Town) -> None:
    [poison] = town.issue("poison-2", member="members/cured")
    wait_until(lambda: poison.id in town.parked())
    ask_for_replay(town, poison)
    assert "ValueError" in town.parked()[poison.id]
    assert town.kept("members/cured") == []
    with transaction(town.shelf) as connection:
        connection.exec_driver_sql("INSERT INTO cures VALUES ('it')")
    ask_for_replay(town, poison)
    assert poison.id not in town.parked()
    assert town.kept("members/cured") == ["poison-2"]
    with transaction(town.shelf) as connection:
        connection.exec_driver_sql("DELETE FROM cures")


def ask_for_replay(town: Town, event: Event) -> None:
    """And wait until it was tried."""
    with transaction(town.shelf) as connection:
        assert inbox.ask_for_replay(connection, [event.id]) == 1

    def tried() -> bool:
        with transaction(town.shelf) as connection:
            return not inbox.parked(connection, limit=10, to_replay=True)

    wait_until(tried)


def test_a_lock_that_is_not_given_is_tried_for_again_and_parked_at_last(town: Town) -> None:
    with transaction(town.shelf) as connection:
        connection.exec_driver_sql("LOCK TABLE shelf IN EXCLUSIVE MODE")
        [locked_out] = town.issue("card-1", member="members/locked")
        wait_until(lambda: locked_out.id in town.parked())
    # 55P03 is PostgreSQL's code for it.
    assert town.parked()[locked_out.id].startswith("OperationalError 55P03")


def test_events_nobody_reacts_to_are_passed_over(town: Town) -> None:
    for kind in ("loyalty.members.v1.MemberEnrolled", "loyalty.members.v9.CardMelted"):
        town.announce(Event(f"other-{kind}", kind, "members/other", NOW, b"\xff"))
    town.issue("card-1", member="members/other")
    wait_until(lambda: town.kept("members/other") == ["card-1"])
    assert not any(event_id.startswith("other-") for event_id in town.parked())


def test_events_of_no_concern_are_passed_over_without_a_note(town: Town) -> None:
    events = town.issue("dull-1", "card-1", "dull-2", "card-2", member="members/calm")
    wait_until(lambda: town.kept("members/calm") == ["card-1", "card-2"])
    with transaction(town.shelf) as connection:
        noted = set(connection.exec_driver_sql("SELECT event_id FROM inbox").scalars())
    assert noted & {event.id for event in events} == {events[1].id, events[3].id}


def test_what_was_announced_while_nothing_ran_is_caught_up_with(runtime: Runtime) -> None:
    town = runtime.town
    runtime.stop()
    tokens = [f"card-{number}" for number in range(300)]
    town.issue(*tokens, member="members/late")
    runtime.start()
    wait_until(lambda: len(town.kept("members/late")) == 300)
    assert town.kept("members/late") == tokens


def test_kills_in_the_middle_lose_nothing_and_repeat_nothing(runtime: Runtime, town: Town) -> None:
    tokens = [f"card-{number}" for number in range(1_200)]
    town.issue(*tokens, member="members/killed")
    for reached in (1, 400):
        wait_until(lambda reached=reached: len(town.kept("members/killed")) >= reached)  # type: ignore[misc]
        runtime.kill()
        runtime.start()
    wait_until(lambda: len(town.kept("members/killed")) >= 1_200)
    assert town.kept("members/killed") == tokens


def test_a_database_that_restarts_is_waited_for(
    town: Town, postgres_to_stop: PostgresServer
) -> None:
    town.issue("card-1", member="members/restart")
    wait_until(lambda: town.kept("members/restart") == ["card-1"])
    parked = town.parked()
    postgres_to_stop.stop()
    # Long enough for a reaction to meet the absence, were it blamed on the event.
    threading.Event().wait(0.5)
    postgres_to_stop.start()
    town.issue("card-2", "card-3", member="members/restart")
    wait_until(lambda: town.kept("members/restart") == ["card-1", "card-2", "card-3"])
    assert town.parked() == parked


def test_an_outbox_that_was_restored_is_noticed_and_read_after_a_rewind(runtime: Runtime) -> None:
    town = runtime.town
    owner = town.shelf if runtime.reader == "shelf" else town.members
    place = {"consumer": runtime.reader, "source": "members", "stream": "public"}
    runtime.stop()
    with transaction(owner) as connection:
        read = inbox.cursor(connection, **place)
        assert read.origin is not None
        elsewhere = replace(read, origin="another-system/1")
        inbox.move_cursor(connection, **place, to=elsewhere)
    town.issue("card-1", member="members/restored")
    runtime.start()
    log = runtime.announcing.log
    wait_until(lambda: "was it restored?" in log.read_text())
    assert f"loyalty events rewind {runtime.reader} members" in log.read_text()
    assert town.kept("members/restored") == []
    runtime.stop()
    with transaction(owner) as connection:
        assert inbox.rewind(connection, consumer=runtime.reader, source="members") == 1
    before = town.kept("members/order")
    runtime.start()
    wait_until(lambda: town.kept("members/restored") == ["card-1"])
    assert town.kept("members/order") == before


def test_both_export_what_was_applied_and_what_was_put_aside(runtime: Runtime, town: Town) -> None:
    labels = '{consumer="shelf",source="members"}'
    delivered = f"bus_events_delivered_total{labels}"
    before = runtime.metrics().get(delivered, 0.0)
    town.issue("card-1", "poison-3", "card-2", member="members/measured")
    wait_until(lambda: runtime.metrics().get(delivered, 0.0) == before + 2)
    found = runtime.metrics()
    assert found[f"bus_events_parked_total{labels}"] >= 1
    assert found[f"bus_event_applied_seconds_count{labels}"] >= 2
    wait_until(lambda: runtime.metrics()[f"bus_lag_seconds{labels}"] == 0)
    stream = '{source="members",stream="public"}'
    wait_until(lambda: runtime.metrics()[f"bus_outbox_depth{stream}"] == 0)
    assert runtime.metrics()[f"bus_outbox_age_seconds{stream}"] == 0
