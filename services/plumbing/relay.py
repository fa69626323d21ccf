"""Carries events from a service's outboxes to RabbitMQ.

Of several relays of a service one leads, by a lock in the service's database; when its session ends
another takes over. An event counts as relayed when the broker has confirmed it; what was published
and not noted is published again, and consumers drop it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from amqp.basic_message import Message
from prometheus_client import Counter
from sqlalchemy import Connection, Engine

from services.plumbing import housekeeping, inbox, outbox, rabbitmq
from services.plumbing.bus_status import RELAY, StreamReplaced, is_replaced
from services.plumbing.database import engine, transaction
from services.plumbing.delivery import envelope_of
from services.plumbing.inbox import Cursor

log = logging.getLogger("relay")

BATCH = 100
POLL_SECONDS = 0.05
RETRY_SECONDS = 0.5
REPLACED_SECONDS = 10.0
LEADER_LOCK = 7_190
# Shorter than a leader that hangs may be waited for, longer than anything a leader waits for.
IDLE_SESSION_MS = 3_000
CONFIRM_SECONDS_MAX = 2.0
PERSISTENT = 2
LEADING = {
    "idle_session_timeout": str(IDLE_SESSION_MS),
    # A machine that is gone says nothing; the database asks after it.
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
}

PUBLISHED = Counter(
    "bus_events_published_total", "Events confirmed by RabbitMQ.", ["source", "stream"]
)


class NotConfirmed(Exception):  # noqa: N818 — an answer, not an accident
    """RabbitMQ did not take an event, or did not say so in time."""


@dataclass(slots=True)
class Publisher:
    """A channel on which the broker confirms what it has taken."""

    # What rabbitmq.connect gives.
    connection: Any
    source: str
    _channel: Any = field(init=False)
    _unconfirmed: set[int] = field(init=False, default_factory=set)
    _published: int = field(init=False, default=0)
    _refused: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._channel = self.connection.channel()
        rabbitmq.declare_exchange(self._channel, self.source)
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._confirmed)
        self._channel.events["basic_nack"].add(self._nacked)

    def publish(self, stream: str, origin: str, stored: outbox.Stored) -> None:
        event = stored.event
        message = Message(
            envelope_of(self.source, event),
            content_type="application/protobuf",
            delivery_mode=PERSISTENT,
            message_id=event.id,
            type=event.type,
            application_headers={
                rabbitmq.STREAM_HEADER: stream,
                rabbitmq.POSITION_HEADER: stored.position,
                rabbitmq.ORIGIN_HEADER: origin,
            },
        )
        self._published += 1
        self._unconfirmed.add(self._published)
        self._channel.basic_publish(message, rabbitmq.exchange_name(self.source), event.type)

    def wait_until_confirmed(self) -> None:
        """Refuses: NotConfirmed."""
        deadline = time.monotonic() + CONFIRM_SECONDS_MAX
        while self._unconfirmed and not self._refused:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotConfirmed
            try:
                self.connection.drain_events(timeout=left)
            except TimeoutError:
                raise NotConfirmed from None
        if self._refused:
            raise NotConfirmed

    def stay_alive(self) -> None:
        """Read what the broker says in between. Refuses: OSError where it says nothing at all."""
        self.connection.heartbeat_check()
        with suppress(TimeoutError):
            self.connection.drain_events(timeout=0.001)

    def _confirmed(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._unconfirmed = {number for number in self._unconfirmed if number > tag}
        else:
            self._unconfirmed.discard(tag)

    def _nacked(self, _tag: int, _multiple: bool) -> None:
        self._refused = True


class Relay:
    """One relay of a service; several may run."""

    def __init__(
        self,
        database_url: str,
        source: str,
        amqp_url: str,
        *,
        pause: Callable[[float], bool],
    ) -> None:
        # The session that holds the lock.
        self._leading = engine(database_url, pool_size=1, settings=LEADING)
        self._source = source
        self._amqp_url = amqp_url
        self._pause = pause
        self.leads = False

    def run(self) -> None:
        """Relay until told to stop, whatever goes away meanwhile."""
        while not self._pause(0):
            seconds = RETRY_SECONDS
            try:
                # Every statement for itself: a leader's session is never within a transaction.
                leading = self._leading.execution_options(isolation_level="AUTOCOMMIT")
                with leading.connect() as connection:
                    if _take_lock(connection):
                        self.leads = True
                        log.info("leads", extra={"source": self._source})
                        self._lead(connection)
            except StreamReplaced as refused:
                log.error("%s", refused)
                seconds = REPLACED_SECONDS
            except Exception:
                log.exception("interrupted")
            finally:
                self.leads = False
                # Whatever became of it: with the session ends the lock.
                self._leading.dispose()
            self._pause(seconds)

    def _lead(self, connection: Connection) -> None:
        streams = [Stream(self._source, name, connection) for name in outbox.streams(connection)]
        broker = rabbitmq.connect(self._amqp_url)
        try:
            publisher = Publisher(broker, self._source)
            while not self._pause(0):
                if not self._relay_some(connection, publisher, streams):
                    publisher.stay_alive()
                    self._pause(POLL_SECONDS)
        finally:
            broker.release()

    def _relay_some(
        self, connection: Connection, publisher: Publisher, streams: Sequence["Stream"]
    ) -> int:
        heads = _heads(connection, self._source, [stream.name for stream in streams])
        for stream in streams:
            # Others move it too: an operator who rewinds, another leader while we hung.
            if heads[stream.name].cursor != stream.cursor.position:
                raise LostLead
        batches = [
            (stream, batch)
            for stream in streams
            if heads[stream.name].newest > stream.cursor.position
            and (batch := stream.read(connection))
        ]
        for stream, batch in batches:
            for stored in batch:
                publisher.publish(stream.name, stream.origin, stored)
        publisher.wait_until_confirmed()
        for stream, batch in batches:
            stream.move(connection, batch[-1].position)
            PUBLISHED.labels(self._source, stream.name).inc(len(batch))
        return sum(len(batch) for _, batch in batches)


class LostLead(Exception):  # noqa: N818 — an answer, not an accident
    """Somebody else has moved the cursor."""


class Stream:
    """An outbox on its way to RabbitMQ, and how far it is there. Refuses: StreamReplaced."""

    def __init__(self, source: str, name: str, connection: Connection) -> None:
        self.name = name
        self._place = {"consumer": RELAY, "source": source, "stream": name}
        self._reader = outbox.Reader(name)
        self.cursor = inbox.cursor(connection, **self._place)
        found = outbox.origin(connection, name)
        if is_replaced(self.cursor, found):
            raise StreamReplaced(RELAY, source, name)
        self.origin = found.name

    def read(self, connection: Connection) -> list[outbox.Stored]:
        return self._reader.read(connection, self.cursor.position, limit=BATCH)

    def move(self, connection: Connection, position: int) -> None:
        """Refuses: LostLead."""
        to = Cursor(position, self.origin)
        moved = inbox.move_cursor_from(connection, **self._place, at=self.cursor, to=to)
        if not moved:
            raise LostLead
        self.cursor = to


def _take_lock(connection: Connection) -> bool:
    taken: bool = connection.exec_driver_sql(
        "SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)
    ).scalar_one()
    return taken


@dataclass(frozen=True, slots=True)
class Head:
    """The newest position of a stream, and how far it is relayed."""

    newest: int
    cursor: int


def _heads(connection: Connection, source: str, streams: Sequence[str]) -> dict[str, Head]:
    newest = " UNION ALL ".join(
        f"SELECT '{stream}' AS stream, (SELECT max(position) FROM {stream}.outbox) AS position"  # noqa: S608 — a schema
        for stream in streams
    )
    rows = connection.exec_driver_sql(
        "SELECT h.stream, coalesce(h.position, 0), coalesce(c.position, 0)"  # noqa: S608 — as above
        f" FROM ({newest}) AS h LEFT JOIN inbox_cursors c"
        " ON c.consumer = %s AND c.source = %s AND c.stream = h.stream",
        (RELAY, source),
    )
    return {row[0]: Head(row[1], row[2]) for row in rows}


def waiting(source: Engine, name: str, stream: str) -> outbox.Waiting:
    """What is not yet relayed of a stream."""
    with transaction(source) as connection:
        cursor = inbox.cursor(connection, consumer=RELAY, source=name, stream=stream)
        return outbox.waiting(connection, stream, cursor.position)


def prune(source: Engine, name: str, *, retention_days: int) -> None:
    """Drop what was relayed and is older than the retention. Any relay may, not only the leader."""
    with transaction(source) as connection:
        relayed = {
            stream: inbox.cursor(connection, consumer=RELAY, source=name, stream=stream).position
            for stream in outbox.streams(connection)
        }
    for stream, through in relayed.items():
        housekeeping.prune_outbox(
            source, name, stream, through=through, retention_days=retention_days
        )
    housekeeping.prune_notes(source, retention_days=retention_days)
