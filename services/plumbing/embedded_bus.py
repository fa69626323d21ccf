"""Delivers events straight from the outboxes to what nameko's `@event_handler` declares.

For one machine and for tests; on RabbitMQ nameko itself does this. Order holds within a stream (an
outbox), every event is applied once, and one that keeps failing is parked.
"""

import inspect
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nameko.events import EventHandler
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR, DependencyProvider
from plumbing.v1 import envelope_pb2
from prometheus_client import Counter, Gauge
from sqlalchemy import Engine

from services.plumbing import inbox, outbox
from services.plumbing.database import connection_was_lost, transaction

log = logging.getLogger("bus")

BATCH = 200
POLL_SECONDS = 0.05
ATTEMPTS_MAX = 5
BACK_OFF_SECONDS = 0.1

DELIVERED = Counter("bus_events_delivered_total", "Events applied.", ["consumer", "source"])
PARKED = Counter("bus_events_parked_total", "Events put aside.", ["consumer", "source"])
LAG_SECONDS = Gauge("bus_lag_seconds", "Age of the last event read.", ["consumer", "source"])


@dataclass(frozen=True, slots=True)
class Source:
    """A service that announces: its database and the schemas that hold an outbox."""

    name: str
    engine: Engine
    streams: Sequence[str]


@dataclass(frozen=True, slots=True)
class Consumer:
    """A nameko service that reacts, and its own database."""

    reactions: type
    engine: Engine
    config: Mapping[str, object]

    @property
    def name(self) -> str:
        return str(self.reactions.name)  # type: ignore[attr-defined]


Reaction = Callable[[bytes], object]


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


class Delivery:
    """One consumer reading one stream of one source."""

    def __init__(
        self,
        consumer: Consumer,
        source: Source,
        stream: str,
        reactions: Mapping[tuple[str, str], Reaction],
    ) -> None:
        self._consumer = consumer
        self._source = source
        self._stream = stream
        self._reactions = {kind: r for (name, kind), r in reactions.items() if name == source.name}
        self._names = {"consumer": consumer.name, "source": source.name}

    def deliver_some(self, told_to_stop: Callable[[], bool] = lambda: False) -> int:
        """Deliver the next batch and note how far it got. Returns how many events were read."""
        place = {**self._names, "stream": self._stream}
        with transaction(self._consumer.engine) as connection:
            after = inbox.cursor(connection, **place)
        with transaction(self._source.engine) as connection:
            batch = outbox.read(connection, self._stream, after, limit=BATCH)
        for stored in batch:
            if told_to_stop():
                break
            self._deliver(stored.event)
            after = stored.position
        if batch:
            with transaction(self._consumer.engine) as connection:
                inbox.move_cursor(connection, **place, to=after)
            age = time.time() - batch[-1].event.time.timestamp()
            LAG_SECONDS.labels(**self._names).set(max(age, 0.0))
        return len(batch)

    def _deliver(self, event: outbox.Event) -> None:
        reaction = self._reactions.get(event.type)
        if reaction is None:
            return
        envelope = envelope_pb2.Envelope(
            id=event.id,
            source=self._source.name,
            type=event.type,
            subject=event.subject,
            data=event.data,
        )
        envelope.time.FromDatetime(event.time)
        payload = envelope.SerializeToString()
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                reaction(payload)
            except Exception as error:
                if connection_was_lost(error):
                    # The database is away; the event is not to blame and waits for it.
                    raise
                log.exception("reaction failed", extra={"event": event.id, "attempt": attempt})
                if attempt == ATTEMPTS_MAX:
                    self._park(event, error)
                else:
                    time.sleep(BACK_OFF_SECONDS * 2**attempt)
            else:
                DELIVERED.labels(**self._names).inc()
                return

    def _park(self, event: outbox.Event, error: Exception) -> None:
        with transaction(self._consumer.engine) as connection:
            inbox.park(connection, event, **self._names, error=type(error).__name__)
        PARKED.labels(**self._names).inc()


class EmbeddedBus:
    """Every consumer's deliveries, a thread for each stream."""

    def __init__(self, sources: Sequence[Source], consumers: Sequence[Consumer]) -> None:
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._containers: list[Container] = []
        self._providers: list[DependencyProvider] = []
        self._deliveries: list[Delivery] = []
        for consumer in consumers:
            container = Container(consumer)
            self._containers.append(container)
            service, providers = instantiate(consumer, container)
            self._providers += providers
            reactions = declared(service)
            listened = {name for name, _ in reactions}
            self._deliveries += [
                Delivery(consumer, source, stream, reactions)
                for source in sources
                if source.name in listened
                for stream in source.streams
            ]

    def start(self) -> None:
        for delivery in self._deliveries:
            thread = threading.Thread(target=self._run, args=(delivery,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End after the events under way."""
        self._stopping.set()
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

    def _run(self, delivery: Delivery) -> None:
        while not self._stopping.is_set():
            try:
                read = delivery.deliver_some(self._stopping.is_set)
            except Exception:
                log.exception("delivery interrupted")
                self._stopping.wait(1.0)
                continue
            if read < BATCH:
                self._stopping.wait(POLL_SECONDS)
