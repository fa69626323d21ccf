"""Runs a nameko service's `@event_handler` methods from RabbitMQ, in the order of events.

nameko gives each method a queue of its own, so that a card's replacement could overtake its issue.
Here a service has one queue for each source, and hands on the events of one stream one by one;
streams do not wait for each other. The declaration and all else of the service stay nameko's.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import eventlet
from eventlet.event import Event as Signal
from eventlet.queue import Empty, Queue
from nameko.containers import ServiceContainer
from nameko.events import EventHandler
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import Entrypoint, iter_extensions

from services.plumbing import inbox, rabbitmq
from services.plumbing.database import engine, transaction
from services.plumbing.delivery import (
    LAG_SECONDS,
    Deliverer,
    Reaction,
    Stopped,
    concerns,
    event_in,
)
from services.plumbing.inbox import Cursor
from services.plumbing.outbox import Event

log = logging.getLogger("bus")

PREFETCH = 50
RETRY_SECONDS = 1.0
POLL_SECONDS = 0.05
REPLAY_POLL_SECONDS = 1.0
# Cursors only say how far a consumer is; what was applied is known by its note.
CURSORS_NOTED_SECONDS = 1.0
STOP_SECONDS_MAX = 15.0

Kind = tuple[str, str]


class OrderedContainer(ServiceContainer):  # type: ignore[misc]
    """nameko's container, with one subscription in the place of all its event handlers."""

    def __init__(self, service_cls: type, config: dict[str, Any]) -> None:
        super().__init__(service_cls, config)
        handlers = [found for found in self.entrypoints if isinstance(found, EventHandler)]
        for handler in handlers:
            self.entrypoints.discard(handler)
            self.subextensions.difference_update(iter_extensions(handler))
        if handlers:
            subscription = Subscription().bind(self.interface, "subscription")
            subscription.handlers = {(h.source_service, h.event_type): h for h in handlers}
            self.entrypoints.add(subscription)


class Lane:
    """The events of one stream that wait for each other."""

    def __init__(self) -> None:
        self.waiting: Queue = Queue()
        self.age_seconds = 0.0


class Subscription(Entrypoint):  # type: ignore[misc]
    """Receives for all event handlers of a service."""

    handlers: dict[Kind, EventHandler]

    def setup(self) -> None:
        config = self.container.config
        self._url: str = config["AMQP_URI"]
        self._prefetch: int = config.get("PREFETCH", PREFETCH)
        self._engine = engine(config["DATABASE_URL"], pool_size=4)
        self._stopping = False
        self._threads: list[Any] = []
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._generation = 0
        self._done: list[tuple[int, int]] = []
        self._cursors: dict[tuple[str, str], Cursor] = {}
        self._deliverer = Deliverer(self.container.service_name, self._engine, self._pause)

    @property
    def _consumer(self) -> str:
        return str(self.container.service_name)

    def start(self) -> None:
        self._spawn(self._receive)
        self._spawn(self._replay)

    def stop(self) -> None:
        """End after the events under way; the rest comes again, to whoever is next."""
        self._stopping = True
        with eventlet.Timeout(STOP_SECONDS_MAX, False):
            for thread in self._threads:
                thread.wait()
        self._engine.dispose()

    def _spawn(self, work: Callable[[], None]) -> None:
        self._threads.append(self.container.spawn_managed_thread(work))

    def _pause(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < end:
            eventlet.sleep(min(POLL_SECONDS, seconds))
        return self._stopping

    def _receive(self) -> None:
        while not self._stopping:
            try:
                self._receive_until_it_breaks()
            except Exception:
                log.exception("RabbitMQ is away")
                self._pause(RETRY_SECONDS)

    def _receive_until_it_breaks(self) -> None:
        connection = rabbitmq.connect(self._url)
        try:
            self._generation += 1
            self._done.clear()
            channel = connection.default_channel
            sources = sorted({source for source, _ in self.handlers})
            rabbitmq.declare_queues(channel, self._consumer, sources)
            channel.basic_qos(0, self._prefetch, False)
            for source in sources:
                queue = rabbitmq.queue_name(self._consumer, source)
                channel.basic_consume(queue, callback=self._taker(source, self._generation))
            rejected = rabbitmq.rejected_queue_name(self._consumer)
            channel.basic_consume(rejected, callback=self._park_rejected)
            self._drain(connection, channel, sources)
        finally:
            connection.release()

    def _drain(self, connection: Any, channel: Any, sources: list[str]) -> None:
        noted = time.monotonic()
        while True:
            try:
                connection.drain_events(timeout=POLL_SECONDS)
            except TimeoutError:
                connection.heartbeat_check()
                if not any(lane.waiting.qsize() for lane in self._lanes.values()):
                    for source in sources:
                        LAG_SECONDS.labels(self._consumer, source).set(0)
            busy = self._acknowledge(channel)
            if time.monotonic() > noted + CURSORS_NOTED_SECONDS:
                self._note_cursors()
                noted = time.monotonic()
            if self._stopping and not busy:
                self._note_cursors()
                return

    def _acknowledge(self, channel: Any) -> bool:
        """Tell of what was applied. Returns whether an event is still being applied."""
        done, self._done = self._done, []
        for generation, tag in done:
            if generation == self._generation:
                channel.basic_ack(tag)
        return any(lane.waiting.unfinished_tasks for lane in self._lanes.values())

    def _taker(self, source: str, generation: int) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            stream = str((message.headers or {}).get(rabbitmq.STREAM_HEADER, ""))
            self._lane(source, stream).waiting.put((generation, message))

        return take

    def _lane(self, source: str, stream: str) -> Lane:
        lane = self._lanes.get((source, stream))
        if lane is None:
            lane = self._lanes[source, stream] = Lane()
            self._spawn(lambda: self._work(source, stream, lane))
        return lane

    def _work(self, source: str, stream: str, lane: Lane) -> None:
        while not self._stopping:
            try:
                generation, message = lane.waiting.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            try:
                # What an earlier connection brought and did not begin comes again in its place.
                if generation == self._generation:
                    self._apply(source, stream, message)
                    self._done.append((generation, message.delivery_tag))
            except Stopped:
                return
            finally:
                lane.waiting.task_done()
        while not lane.waiting.empty():
            lane.waiting.get_nowait()
            lane.waiting.task_done()

    def _apply(self, source: str, stream: str, message: Any) -> None:
        payload = bytes(message.body)
        event = event_in(payload)
        while True:
            try:
                if not event.type:
                    self._deliverer.park(source, event, "DecodeError")
                elif reaction := self._reaction_to_event(source, event):
                    self._deliverer.deliver(source, payload, reaction, announced=event.time)
                break
            except Stopped:
                raise
            except Exception:
                log.exception("delivery interrupted")
                if self._pause(RETRY_SECONDS):
                    raise Stopped from None
        LAG_SECONDS.labels(self._consumer, source).set(
            max(time.time() - event.time.timestamp(), 0.0)
        )
        headers = message.headers or {}
        if rabbitmq.POSITION_HEADER in headers:
            position = int(headers[rabbitmq.POSITION_HEADER])
            origin = str(headers.get(rabbitmq.ORIGIN_HEADER, ""))
            self._cursors[source, stream] = Cursor(position, origin)

    def _reaction_to_event(self, source: str, event: Event) -> Reaction | None:
        """Nobody's, where it would do nothing about the event."""
        handler = self.handlers.get((source, event.type))
        if handler is None:
            return None
        method = getattr(self.container.service_cls, handler.method_name)
        return self._reaction_to(source, event.type) if concerns(method, event.data) else None

    def _reaction_to(self, source: str, kind: str) -> Reaction | None:
        handler = self.handlers.get((source, kind))
        return None if handler is None else lambda payload: self._call(handler, payload)

    def _call(self, handler: EventHandler, payload: bytes) -> None:
        """Run a reaction as a nameko worker and wait for it. Raises what it raises."""
        ended = Signal()

        def handle_result(_context: object, result: object, exc_info: Any) -> tuple[None, None]:
            ended.send(result) if exc_info is None else ended.send_exception(*exc_info)
            return None, None

        try:
            self.container.spawn_worker(handler, (payload,), {}, handle_result=handle_result)
        except ContainerBeingKilled:
            raise Stopped from None
        ended.wait()

    def _note_cursors(self) -> None:
        noted, self._cursors = self._cursors, {}
        if not noted:
            return
        try:
            with transaction(self._engine) as connection:
                for (source, stream), cursor in noted.items():
                    place = {"consumer": self._consumer, "source": source, "stream": stream}
                    inbox.move_cursor(connection, **place, to=cursor)
        except Exception:
            # They are only looked at; the next ones tell as much.
            log.exception("cursors were not noted")

    def _park_rejected(self, message: Any) -> None:
        deaths = (message.headers or {}).get("x-death") or [{}]
        queue = str(deaths[0].get("queue", ""))
        source = queue.removeprefix(f"{self._consumer}.")
        self._deliverer.park(source, event_in(bytes(message.body)), "DeliveredTooOften")
        message.channel.basic_ack(message.delivery_tag)

    def _replay(self) -> None:
        while not self._pause(REPLAY_POLL_SECONDS):
            try:
                self._deliverer.replay(self._reaction_to)
            except Stopped:
                return
            except Exception:
                log.exception("replay interrupted")
