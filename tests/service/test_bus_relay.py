"""The relay: one leads and another takes over, the broker may go away, and nothing is lost."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from amqp.basic_message import Message

from loadtests.broker import Broker
from services.plumbing import inbox, outbox, rabbitmq
from services.plumbing.database import transaction
from services.plumbing.delivery import event_in
from services.plumbing.relay import prune
from tests.processes import wait_for
from tests.service.bus_runtimes import BusProcess, on_rabbitmq, relay_of
from tests.service.databases import Databases
from tests.service.shelf import CARD_ISSUED, Town, build
from tests.service.waiting import wait_until

TAKEOVER_SECONDS_MAX = 5.0
LEADS = 'bus_relay_leads{source="members"}'


@pytest.fixture
def town(databases: Databases) -> Iterator[Town]:
    urls = databases.create_empty(), databases.create_empty()
    made = build(*urls)
    yield made
    made.close()
    for url in urls:
        databases.drop(url)


class Probe:
    """A consumer that sees messages as they lie in its queue; it sends back what it is told to."""

    def __init__(self, broker: Broker, name: str = "probe", *, sends_back: bool = False) -> None:
        self._name = name
        self._sends_back = sends_back
        self._connection = rabbitmq.connect(broker.url)
        self.channel: Any = self._connection.channel()
        rabbitmq.declare_queues(self.channel, name, ["members"])
        self.rejected: list[Any] = []
        self.deliveries = 0
        self._ids: list[str] = []
        consume = self.channel.basic_consume
        self._consumers = [
            consume(f"{name}.members", callback=self._take),
            consume(f"{name}.rejected", callback=self.rejected.append, no_ack=True),
        ]

    def ids(self) -> list[str]:
        """The ids of the events that arrived so far, each once, in the order of their arrival."""
        with suppress(TimeoutError):
            while True:
                self._connection.drain_events(timeout=0.05)
        return list(dict.fromkeys(self._ids))

    def close(self) -> None:
        for number in self._consumers:
            self.channel.basic_cancel(number)
        self.channel.close()
        channel = self._connection.channel()
        for queue in ("members", "rejected"):
            channel.queue_delete(f"{self._name}.{queue}")
        self._connection.release()

    def _take(self, message: Any) -> None:
        self.deliveries += 1
        if self._sends_back:
            self.channel.basic_reject(message.delivery_tag, requeue=True)
        else:
            self._ids.append(event_in(bytes(message.body)).id)
            self.channel.basic_ack(message.delivery_tag)


@pytest.fixture
def probe(rabbitmq: Broker) -> Iterator[Probe]:
    made = Probe(rabbitmq)
    yield made
    made.close()


@pytest.fixture
def relays(town: Town, rabbitmq: Broker, tmp_path: Path) -> Iterator[list[BusProcess]]:
    """Two relays of a service."""
    made = [relay_of(town, rabbitmq, tmp_path / f"relay-{number}.log") for number in range(2)]
    for relay in made:
        relay.start()
    for relay in made:
        relay.wait_until_up()
    yield made
    for relay in made:
        relay.kill()


def leading(relays: list[BusProcess]) -> BusProcess:
    """The one relay that leads, when there is one."""
    wait_for(lambda: sum(leads(relay) for relay in relays) == 1, what="one leader")
    return next(relay for relay in relays if leads(relay))


def leads(relay: BusProcess) -> bool:
    return relay.metrics()[LEADS] == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_another_relay_takes_over_from_one_that_died_or_hangs(
    town: Town, probe: Probe, relays: list[BusProcess], number: signal.Signals
) -> None:
    leader = leading(relays)
    [other] = [relay for relay in relays if relay is not leader]
    first = town.issue(*(f"card-{each}" for each in range(20)))
    wait_until(lambda: len(probe.ids()) == 20)
    leader.send(number)
    gone = time.monotonic()
    second = town.issue(*(f"card-{each}" for each in range(20, 40)))
    wait_until(lambda: len(probe.ids()) == 40)
    assert time.monotonic() - gone < TAKEOVER_SECONDS_MAX
    assert leads(other)
    third = town.issue()
    if number is signal.SIGSTOP:
        leader.send(signal.SIGCONT)
        wait_for(lambda: not leads(leader), what="an end of the old lead")
        third = town.issue("card-41")
        wait_until(lambda: len(probe.ids()) == 41)
    assert probe.ids() == [event.id for event in (*first, *second, *third)]


def test_a_message_that_ends_its_consumer_again_and_again_is_set_aside(
    town: Town, rabbitmq: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.plumbing.rabbitmq.DELIVERIES_MAX", 3)
    probe = Probe(rabbitmq, "dying", sends_back=True)
    relay = relay_of(town, rabbitmq, tmp_path / "relay.log")
    relay.start()
    try:
        [event] = town.issue("card-1")
        wait_until(lambda: probe.ids() or probe.rejected)
        [message] = probe.rejected
        assert event_in(bytes(message.body)) == event
        assert message.headers["x-death"][0]["queue"] == "dying.members"
        assert probe.deliveries == 4
    finally:
        relay.kill()
        probe.close()


def test_what_is_no_event_is_parked(town: Town, rabbitmq: Broker, tmp_path: Path) -> None:
    runtime = on_rabbitmq(town, rabbitmq, tmp_path)
    runtime.start()
    probe = Probe(rabbitmq)
    try:
        exchange = "members.events"
        probe.channel.basic_publish(Message(b"\xff\xff"), exchange, CARD_ISSUED)
        probe.channel.basic_publish(Message(b"\xff\xfe"), "", "shelf.rejected")
        wait_until(lambda: len(town.parked()) == 2)
        assert all(event_id.startswith("unreadable-") for event_id in town.parked())
        assert sorted(town.parked().values()) == ["DecodeError", "DeliveredTooOften"]
        town.issue("card-1")
        wait_until(lambda: town.kept() == ["card-1"])
    finally:
        probe.close()
        runtime.kill()


def test_a_broker_that_is_away_is_waited_for(town: Town, rabbitmq: Broker, tmp_path: Path) -> None:
    runtime = on_rabbitmq(town, rabbitmq, tmp_path)
    runtime.start()
    try:
        town.issue("card-1")
        wait_until(lambda: town.kept() == ["card-1"])
        # Everybody's, but nobody else's now; it comes back with all it had.
        with away(rabbitmq):
            town.issue("card-2")
            depth = 'bus_outbox_depth{source="members",stream="public"}'
            wait_for(lambda: runtime.announcing.metrics()[depth] == 1, what="an event that waits")
        town.issue("card-3")
        wait_until(lambda: len(town.kept()) == 3, 30.0)
        assert town.kept() == ["card-1", "card-2", "card-3"]
        wait_until(lambda: runtime.announcing.metrics()[depth] == 0)
    finally:
        runtime.kill()


@contextmanager
def away(broker: Broker) -> Iterator[None]:
    """While the block runs it is down. Told to end: of queues that were deleted and declared anew
    a moment ago RabbitMQ 3.10 does not find the new ones again when it is killed.
    """
    broker.stop()
    try:
        yield
    finally:
        broker.start()


def test_what_was_relayed_and_is_old_is_dropped_and_nothing_else(
    town: Town, rabbitmq: Broker, probe: Probe, tmp_path: Path
) -> None:
    relay = relay_of(town, rabbitmq, tmp_path / "relay.log")
    relay.start()
    try:
        old = town.issue("card-1", "card-2")
        wait_until(lambda: len(probe.ids()) == 2 and relayed(town) == 2)
    finally:
        relay.kill()
    town.issue("card-3")
    with transaction(town.members) as connection:
        connection.exec_driver_sql("UPDATE outbox SET time = now() WHERE id = %s", (old[1].id,))
    prune(town.members, "members", retention_days=30)
    with transaction(town.members) as connection:
        left = outbox.read(connection, "public", outbox.START, limit=10)
    # The second is young; the third is of January, but on no broker yet.
    assert [each.position for each in left] == [2, 3]


def relayed(town: Town) -> int:
    with transaction(town.members) as connection:
        place = {"consumer": "relay", "source": "members", "stream": "public"}
        return inbox.cursor(connection, **place).position
