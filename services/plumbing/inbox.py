"""Events on their way in: applied once, in order, with poison put aside."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from services.plumbing.database import text_array, transaction
from services.plumbing.outbox import START, Event
from services.plumbing.prepared import Statement

CURSORS = """
    CREATE TABLE inbox_cursors (
        consumer text NOT NULL,
        source text NOT NULL,
        stream text NOT NULL,
        position bigint NOT NULL,
        -- Which outbox the position is one of; null for the next that is found.
        origin text,
        PRIMARY KEY (consumer, source, stream)
    )"""
TABLES = f"""
    CREATE TABLE inbox (
        consumer text NOT NULL,
        source text NOT NULL,
        event_id text NOT NULL,
        apply_time timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, source, event_id)
    );
    {CURSORS};
    CREATE TABLE inbox_parked (
        consumer text NOT NULL,
        source text NOT NULL,
        event_id text NOT NULL,
        type text NOT NULL,
        subject text NOT NULL,
        time timestamptz NOT NULL,
        data bytea NOT NULL,
        error text NOT NULL,
        park_time timestamptz NOT NULL DEFAULT now(),
        -- Since when it is to be applied again; null while nobody wants that.
        replay_time timestamptz,
        PRIMARY KEY (consumer, source, event_id)
    )"""


def upgrade(connection: Connection) -> None:
    """Bring the tables of the first release to today's.

    Cursors by transaction numbers say nothing any more: everything is read again, and what was
    applied is known by its note.
    """
    connection.exec_driver_sql(
        f"DROP TABLE inbox_cursors; {CURSORS};"
        "ALTER TABLE inbox_parked ADD COLUMN IF NOT EXISTS replay_time timestamptz"
    )


NOTE = Statement(
    "note_applied",
    "text, text, text[]",
    "INSERT INTO inbox (consumer, source, event_id) SELECT $1, $2, unnest($3)"
    " ON CONFLICT DO NOTHING RETURNING event_id",
)
CURSOR = Statement(
    "inbox_cursor",
    "text, text, text",
    "SELECT position, origin FROM inbox_cursors"
    " WHERE consumer = $1 AND source = $2 AND stream = $3",
)
POSITIONS = Statement(
    "inbox_positions",
    "text, text",
    "SELECT stream, position FROM inbox_cursors WHERE consumer = $1 AND source = $2",
)
MOVE_CURSOR_FROM = Statement(
    "move_cursor_from",
    "text, text, text, bigint, text, bigint",
    "UPDATE inbox_cursors SET position = $4, origin = $5"
    " WHERE consumer = $1 AND source = $2 AND stream = $3 AND position = $6 RETURNING position",
)
# Where nothing was read yet there may be none.
MOVE_CURSOR_FROM_START = Statement(
    "move_cursor_from_start",
    MOVE_CURSOR_FROM.parameters,
    "INSERT INTO inbox_cursors AS c VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (consumer, source, stream)"
    " DO UPDATE SET position = excluded.position, origin = excluded.origin"
    " WHERE c.position = $6 RETURNING position",
)

Item = TypeVar("Item")
Apply = Callable[[Connection, Sequence[Item]], None]


@dataclass(slots=True)
class _Joint:
    """A transaction that several events take part in, and what of them is still to be done."""

    connection: Connection
    # Which of the events are still to be applied.
    fresh: set[str]
    apply: Apply[Any] | None = None
    items: list[Any] = field(default_factory=list)

    def take(self, event_id: str) -> bool:
        """Whether an event is to be applied, now and not again."""
        is_fresh = event_id in self.fresh
        self.fresh.discard(event_id)
        return is_fresh

    def gather(self, apply: Apply[Item], item: Item) -> None:
        if self.apply is not apply:
            self.settle()
            self.apply = apply
        self.items.append(item)

    def settle(self) -> None:
        """Do what was gathered so far, before anything that came after it."""
        if self.apply is not None:
            self.apply(self.connection, self.items)
        self.apply, self.items = None, []


# What is applied in this thread takes part in it, where there is one.
_joint: ContextVar[_Joint | None] = ContextVar("joint", default=None)


@contextmanager
def applied_together(
    engine: Engine, *, consumer: str, source: str, event_ids: Sequence[str]
) -> Iterator[Connection]:
    """A transaction that these events, applied in the block, take part in: all, or none."""
    with transaction(engine) as connection:
        noted = NOTE.run(connection, consumer, source, text_array(event_ids)) if event_ids else ()
        joint = _Joint(connection, {row[0] for row in noted})
        token = _joint.set(joint)
        try:
            yield connection
            joint.settle()
        finally:
            _joint.reset(token)


@contextmanager
def applied_once(
    engine: Engine, *, consumer: str, source: str, event_id: str, gathers: bool = False
) -> Iterator[Connection | None]:
    """A transaction in which to apply an event, or None when it was applied before.

    The note that it was applied commits with what it did. Who does not gather finds done what was
    gathered of the events before.
    """
    joint = _joint.get()
    if joint is not None:
        if not gathers:
            joint.settle()
        yield joint.connection if joint.take(event_id) else None
        return
    with transaction(engine) as connection:
        noted = NOTE.run(connection, consumer, source, text_array([event_id]))
        yield connection if noted else None


def gather(connection: Connection, apply: Apply[Item], item: Item) -> None:
    """Apply an item together with those of the events that stand right before and behind its own,
    in their order; at once where the event has a transaction to itself.
    """
    joint = _joint.get()
    if joint is None:
        apply(connection, [item])
    else:
        joint.gather(apply, item)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a consumer has read a stream; origin is the outbox's name, None when not yet seen."""

    position: int
    origin: str | None


def cursor(connection: Connection, *, consumer: str, source: str, stream: str) -> Cursor:
    """How far a consumer has read a source's stream."""
    rows = CURSOR.run(connection, consumer, source, stream)
    return Cursor(rows[0][0], rows[0][1]) if rows else Cursor(START, None)


def positions(connection: Connection, *, consumer: str, source: str) -> dict[str, int]:
    """How far a consumer has read each stream of a source that it has read anything of."""
    return dict(POSITIONS.run(connection, consumer, source))


def move_cursor(
    connection: Connection, *, consumer: str, source: str, stream: str, to: Cursor
) -> None:
    connection.exec_driver_sql(
        "INSERT INTO inbox_cursors VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (consumer, source, stream)"
        " DO UPDATE SET position = excluded.position, origin = excluded.origin",
        (consumer, source, stream, to.position, to.origin),
    )


def move_cursor_from(
    connection: Connection, *, consumer: str, source: str, stream: str, at: Cursor, to: Cursor
) -> bool:
    """Move a cursor unless somebody else did meanwhile; says whether it was moved."""
    move = MOVE_CURSOR_FROM_START if at.position == START else MOVE_CURSOR_FROM
    place = (consumer, source, stream)
    return bool(move.run(connection, *place, to.position, to.origin, at.position))


def rewind(connection: Connection, *, consumer: str, source: str) -> int:
    """Let a consumer read a source from the beginning, whichever outboxes it has now.

    What it applied before is known by its note. Returns how many streams.
    """
    return connection.exec_driver_sql(
        "UPDATE inbox_cursors SET position = %s, origin = NULL WHERE consumer = %s AND source = %s",
        (START, consumer, source),
    ).rowcount


def park(connection: Connection, event: Event, *, consumer: str, source: str, error: str) -> None:
    """Put an event aside with the error it met, so that those behind it go on."""
    connection.exec_driver_sql(
        "INSERT INTO inbox_parked (consumer, source, event_id, type, subject, time, data, error)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (consumer, source, event_id)"
        " DO UPDATE SET error = excluded.error, replay_time = NULL",
        (consumer, source, event.id, event.type, event.subject, event.time, event.data, error),
    )


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that was put aside, and why."""

    consumer: str
    source: str
    event: Event
    error: str
    park_time: datetime
    replay_time: datetime | None


def parked(connection: Connection, *, limit: int, to_replay: bool = False) -> list[Parked]:
    """Events put aside, the oldest first; only those somebody wants replayed, if told so."""
    wanted = " WHERE replay_time IS NOT NULL" if to_replay else ""
    rows = connection.exec_driver_sql(
        "SELECT consumer, source, event_id, type, subject, time, data, error, park_time,"  # noqa: S608 — no value
        f" replay_time FROM inbox_parked{wanted} ORDER BY park_time, event_id LIMIT %s",
        (limit,),
    )
    return [
        Parked(
            row[0],
            row[1],
            Event(row[2], row[3], row[4], row[5], bytes(row[6])),
            row[7],
            row[8],
            row[9],
        )
        for row in rows
    ]


def ask_for_replay(connection: Connection, event_ids: Sequence[str]) -> int:
    """Have parked events applied again, all without ids. Returns how many."""
    chosen = " AND event_id = ANY(%s::text[])" if event_ids else ""
    return connection.exec_driver_sql(
        f"UPDATE inbox_parked SET replay_time = now() WHERE replay_time IS NULL{chosen}",  # noqa: S608 — no value
        (text_array(event_ids),) if event_ids else (),
    ).rowcount


def forget_parked(connection: Connection, *, consumer: str, source: str, event_id: str) -> None:
    connection.exec_driver_sql(
        "DELETE FROM inbox_parked WHERE consumer = %s AND source = %s AND event_id = %s",
        (consumer, source, event_id),
    )


def parked_count(connection: Connection) -> int:
    found: int = connection.exec_driver_sql("SELECT count(*) FROM inbox_parked").scalar_one()
    return found


def forget_before(connection: Connection, time: datetime) -> int:
    """Drop notes of events applied before a time; none older can come again. Returns how many."""
    return connection.exec_driver_sql("DELETE FROM inbox WHERE apply_time < %s", (time,)).rowcount
