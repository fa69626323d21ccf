"""How far the bus's consumers are behind, read from outboxes and cursors."""

from dataclasses import dataclass

from sqlalchemy import Connection

from services.plumbing import inbox, outbox
from services.plumbing.inbox import Cursor
from services.plumbing.outbox import Origin

# Who reads a service's outboxes for RabbitMQ; its cursor lies in the service's own database.
RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Lag:
    """What waits in one stream for one consumer, events counted up to EVENTS_COUNTED_MAX.

    replaced says that the outbox is another than the one the consumer has read: it waits for
    `loyalty events rewind`.
    """

    consumer: str
    source: str
    stream: str
    events: int
    oldest_seconds: float
    replaced: bool = False


class StreamReplaced(Exception):  # noqa: N818 — an answer, not an accident
    """The outbox is not the one that was read before: its database was restored from a dump."""

    def __init__(self, consumer: str, source: str, stream: str) -> None:
        super().__init__(
            f"the outbox {stream} of {source} is another than {consumer} has read: was it restored?"
            f" To read it from its beginning: loyalty events rewind {consumer} {source}"
        )


def is_replaced(cursor: Cursor, origin: Origin) -> bool:
    """Whether a cursor is of another outbox, or of the same with a future that never came."""
    if cursor.position > origin.last_position:
        return True
    return cursor.origin is not None and cursor.origin != origin.name


def lags(consuming: Connection, announcing: Connection, *, consumer: str, source: str) -> list[Lag]:
    """A consumer's lag in each stream of a source; the connections are to the database of each."""
    found = []
    for stream in outbox.streams(announcing):
        read = inbox.cursor(consuming, consumer=consumer, source=source, stream=stream)
        waiting = outbox.waiting(announcing, stream, read.position)
        replaced = is_replaced(read, outbox.origin(announcing, stream))
        found.append(
            Lag(consumer, source, stream, waiting.events, waiting.oldest_seconds, replaced)
        )
    return found
