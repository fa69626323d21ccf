"""Delivers events straight from the outboxes to what nameko's `@event_handler` declares.

For one machine and for tests; on RabbitMQ the workers do this. Order holds within a stream (an
outbox), every event is applied once, and one that keeps failing is parked.
"""

import inspect
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nameko.events import EventHandler
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR, DependencyProvider
from sqlalchemy import Engine

from services.plumbing import housekeeping, outbox, outbox_metrics
from services.plumbing.bus_status import StreamReplaced
from services.plumbing.database import transaction
from services.plumbing.delivery import CursorMoved, Deliverer, Reaction
from services.plumbing.doorbell import HURRY, Address, Doorbell
from services.plumbing.stream_delivery import BATCH, Source, StreamDelivery
from services.plumbing.watching import Watch

log = logging.getLogger("bus")

# Of a stream that is busy, events gather: a transaction for ten costs little more than one for a
# single event, and the till is waiting for the same cores. One that falls quiet waits no longer,
# and one of lone events never did.
BUSY_PER_SECOND = 5.0
BUSY_SECONDS = 1.0
GATHER_SECONDS_MAX = 0.7
QUIET_SECONDS = 0.15
# What stands behind a gap is known and cannot be read yet.
GAP_SECONDS = 0.003
# A cursor may be moved by others; where nothing is new it is read so often.
CURSOR_SECONDS = 1.0
REPLAY_POLL_SECONDS = 1.0
RETENTION_DAYS = 30


@dataclass(frozen=True, slots=True)
class Consumer:
    """A nameko service that reacts, and its own database."""

    reactions: type
    engine: Engine
    config: Mapping[str, object]

    @property
    def name(self) -> str:
        return str(self.reactions.name)  # type: ignore[attr-defined]


class Container:
    """As much of nameko's container as dependency providers look at."""

    def __init__(self, consumer: Consumer) -> None:
        self.service_name = consumer.name
        self.config = dict(consumer.config)


def instantiate(consumer: Consumer, container: Container) -> tuple[Any, list[DependencyProvider]]:
    """An instance of the reactions with its dependencies, as nameko would make it for a worker.

    The dependencies refer to the container weakly; it must be kept for as long as they are used.
    """
    service = consumer.reactions()
    providers = []
    for attribute, found in inspect.getmembers(
        consumer.reactions, lambda member: isinstance(member, DependencyProvider)
    ):
        provider = found.bind(container, attribute)
        provider.setup()
        provider.start()
        setattr(service, attribute, provider.get_dependency(None))
        providers.append(provider)
    return service, providers


def declared(service: Any) -> dict[tuple[str, str], Reaction]:
    """The reactions of a nameko service by (source, event type), from `@event_handler`."""
    found: dict[tuple[str, str], Reaction] = {}
    for _, method in inspect.getmembers(service, inspect.ismethod):
        for entrypoint in getattr(method, ENTRYPOINT_EXTENSIONS_ATTR, ()):
            if isinstance(entrypoint, EventHandler):
                found[entrypoint.source_service, entrypoint.event_type] = method
    return found


def _find(reactions: Mapping[tuple[str, str], Reaction], source: str, kind: str) -> Reaction | None:
    return reactions.get((source, kind))


class Pace:
    """Whether a stream is busy: by how many events a second came between two of its deliveries, and
    for a moment longer.
    """

    def __init__(self, now: float) -> None:
        self._last_time = now
        self._busy_until = now

    def note(self, events: int, now: float) -> None:
        passed, self._last_time = now - self._last_time, now
        if events >= BATCH:
            # What filled a whole batch is behind, and catches up.
            self._busy_until = now
        elif events > max(BUSY_PER_SECOND * passed, 1.0):
            self._busy_until = now + BUSY_SECONDS

    def is_busy(self, now: float) -> bool:
        return now < self._busy_until


class EmbeddedBus:
    """Every consumer's deliveries, a thread for each stream."""

    def __init__(
        self,
        sources: Sequence[Source],
        consumers: Sequence[Consumer],
        *,
        retention_days: int = RETENTION_DAYS,
        doorbell: str = "",
    ) -> None:
        """Announcers ring at doorbell, "host:port"; without one the bus keeps looking."""
        self._address = doorbell
        self._doorbell: Doorbell | None = None
        self._sources = sources
        self._retention_days = retention_days
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._watches = {
            source.name: Watch(source.engine, source.streams, stopping=self._stopping)
            for source in sources
        }
        self._containers: list[Container] = []
        self._providers: list[DependencyProvider] = []
        self._deliveries: list[StreamDelivery] = []
        self._replays: list[tuple[Deliverer, dict[tuple[str, str], Reaction]]] = []
        for consumer in consumers:
            self._add(consumer)

    def _add(self, consumer: Consumer) -> None:
        container = Container(consumer)
        self._containers.append(container)
        service, providers = instantiate(consumer, container)
        self._providers += providers
        reactions = declared(service)
        listened = {name for name, _ in reactions}
        deliverer = Deliverer(consumer.name, consumer.engine, self._stopping.wait)
        self._replays.append((deliverer, reactions))
        self._deliveries += [
            StreamDelivery(deliverer, source, stream, reactions)
            for source in self._sources
            if source.name in listened
            for stream in source.streams
        ]

    def start(self) -> None:
        for source in self._sources:
            for stream in source.streams:
                outbox_metrics.watch(source.name, stream, partial(self._waiting, source, stream))
        targets: list[Callable[[], None]] = [
            *(watch.run for watch in self._watches.values()),
            *(partial(self._run, delivery) for delivery in self._deliveries),
            partial(self._repeat, REPLAY_POLL_SECONDS, self.replay),
            partial(self._repeat, housekeeping.EVERY_SECONDS, self.prune),
        ]
        if listen := self._heed_doorbell():
            targets.append(listen)
        for target in targets:
            thread = threading.Thread(target=target, daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def doorbell(self) -> str:
        """Where announcers ring; empty while nobody listens."""
        return "" if self._doorbell is None else self._doorbell.address

    def _heed_doorbell(self) -> Callable[[], None] | None:
        """What listens at the doorbell; nothing does where there is none to be had."""
        if not self._address:
            return None
        try:
            self._doorbell = Doorbell(self._address)
        except OSError:
            log.warning("no doorbell at %s; events are looked for all the time", self._address)
            return None
        watches = {}
        for source in self._sources:
            watch = self._watches[source.name]
            watch.rely_on_rings()
            watches[source.engine.url.database] = watch

        def on_ring(name: str, ringer: Address) -> None:
            if (watch := watches.get(name.removeprefix(HURRY))) is not None:
                watch.hurry(ringer) if name.startswith(HURRY) else watch.ring()

        return partial(self._doorbell.listen, on_ring, self._stopping)

    def stop(self) -> None:
        """End after the events under way."""
        self._stopping.set()
        for watch in self._watches.values():
            watch.ring()
        if self._doorbell is not None:
            self._doorbell.wake()
        for thread in self._threads:
            thread.join()
        for provider in self._providers:
            provider.stop()

    def drain(self) -> int:
        """Deliver all there is, in the calling thread. Returns how many events were read."""
        total = 0
        while read := sum(delivery.deliver_some() for delivery in self._deliveries):
            total += read
        return total

    def replay(self) -> int:
        """Apply the parked events that somebody asked for. Returns how many."""
        return sum(
            deliverer.replay(partial(_find, reactions)) for deliverer, reactions in self._replays
        )

    def prune(self) -> int:
        """Drop events that every consumer has read, and notes nobody needs. Returns how many."""
        pruned = 0
        for source in self._sources:
            for stream in source.streams:
                pruned += housekeeping.prune_outbox(
                    source.engine,
                    source.name,
                    stream,
                    through=self._read_by_all(source, stream),
                    retention_days=self._retention_days,
                )
        for deliverer, _ in self._replays:
            housekeeping.prune_notes(deliverer.engine, retention_days=self._retention_days)
        return pruned

    def _waiting(self, source: Source, stream: str) -> outbox.Waiting:
        read = self._read_by_all(source, stream)
        with transaction(source.engine) as connection:
            return outbox.waiting(connection, stream, read)

    def _read_by_all(self, source: Source, stream: str) -> int:
        """The position up to which every consumer has read a stream."""
        readers = [d for d in self._deliveries if (d.source, d.stream) == (source, stream)]
        if readers:
            return min(reader.cursor().position for reader in readers)
        with transaction(source.engine) as connection:
            return outbox.origin(connection, stream).last_position

    def _repeat(self, seconds: float, work: Callable[[], object]) -> None:
        while not self._stopping.wait(seconds):
            try:
                work()
            except Exception:
                log.exception("interrupted")

    def _run(self, delivery: StreamDelivery) -> None:
        watch = self._watches[delivery.source.name]
        pace = Pace(time.monotonic())
        while not self._stopping.is_set():
            due = watch.wait(delivery.stream, delivery.reached, seconds_max=CURSOR_SECONDS)
            if due and pace.is_busy(time.monotonic()):
                watch.settle(
                    delivery.stream, quiet_seconds=QUIET_SECONDS, seconds_max=GATHER_SECONDS_MAX
                )
            try:
                if not due and delivery.is_at_rest():
                    read = 0
                else:
                    read = delivery.deliver_some(self._stopping.is_set, goes_on=due)
            except CursorMoved:
                delivery.forget_origin()
            except StreamReplaced as refused:
                delivery.forget_origin()
                log.error("%s", refused)
                self._stopping.wait(10.0)
            except Exception:
                delivery.forget_origin()
                log.exception("delivery interrupted")
                self._stopping.wait(1.0)
            else:
                pace.note(read, time.monotonic())
                if read and self._doorbell is not None:
                    self._doorbell.tell(watch.waiting())
                if due and not read:
                    self._stopping.wait(GAP_SECONDS)
