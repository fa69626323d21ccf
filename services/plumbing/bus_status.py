"""How far the bus's consumers are behind, read from outboxes and cursors."""

from dataclasses import dataclass

from sqlalchemy import Connection

from services.plumbing import inbox

# Beyond this many it no longer matters how many; counting stops.
EVENTS_COUNTED_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Lag:
    """What waits in one stream for one consumer. events is counted up to EVENTS_COUNTED_MAX."""

    consumer: str
    source: str
    stream: str
    events: int
    oldest_seconds: float


def streams(connection: Connection) -> list[str]:
    """The schemas of a database that hold an outbox."""
    rows = connection.exec_driver_sql(
        "SELECT schemaname FROM pg_tables WHERE tablename = 'outbox' ORDER BY schemaname"
    )
    return [row[0] for row in rows]


def lags(consuming: Connection, announcing: Connection, *, consumer: str, source: str) -> list[Lag]:
    """A consumer's lag in each stream of a source; the connections are to the database of each."""
    found = []
    for stream in streams(announcing):
        read = inbox.cursor(consuming, consumer=consumer, source=source, stream=stream)
        events, oldest_seconds = announcing.exec_driver_sql(
            "SELECT count(*), extract(epoch FROM clock_timestamp() - min(time))"  # noqa: S608 — a schema
            f" FROM (SELECT time FROM {stream}.outbox WHERE (xid, position) > (%s::xid8, %s)"
            " ORDER BY xid, position LIMIT %s) AS waiting",
            (str(read.xid), read.row, EVENTS_COUNTED_MAX),
        ).one()
        age = max(float(oldest_seconds or 0), 0.0)
        found.append(Lag(consumer, source, stream, events, round(age, 3)))
    return found
