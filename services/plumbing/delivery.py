"""Handing events to reactions: again after an error, aside after too many.

What both runtimes share; they differ in how an event reaches them and in how a reaction is called.
"""

import hashlib
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf.message import DecodeError
from plumbing.v1 import envelope_pb2
from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import Engine

from services.plumbing import inbox, outbox
from services.plumbing.database import database_is_away, looking, transaction
from services.plumbing.inbox import Cursor
from services.plumbing.sql_state import sql_state

log = logging.getLogger("bus")

ATTEMPTS_MAX = 5
BACK_OFF_SECONDS = 0.1
REPLAYS_MAX = 100

DELIVERED = Counter("bus_events_delivered_total", "Events applied.", ["consumer", "source"])
PARKED = Counter("bus_events_parked_total", "Events put aside.", ["consumer", "source"])
LAG_SECONDS = Gauge(
    "bus_lag_seconds",
    "Age of the last event read; zero when there is none left to read.",
    ["consumer", "source"],
)

APPLIED_SECONDS = Histogram(
    "bus_event_applied_seconds",
    "From an event's time, right before its announcer's COMMIT, to its consumer's.",
    ["consumer", "source"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3_600.0),
)

# Calls what reacts to a type of event; raises what it raises.
Reaction = Callable[[bytes], object]


class Stopped(Exception):  # noqa: N818 — an answer, not an accident
    """The consumer is told to end; the event was not applied and comes again."""


class CursorMoved(Exception):  # noqa: N818 — an answer, not an accident
    """Somebody moved the consumer's cursor meanwhile; the events were not applied together."""


# An attribute of a reaction: which events, by their data, it has anything to do about.
CONCERNS = "concerns"


def concerns(reaction: Reaction, data: bytes) -> bool:
    """Whether a reaction would do anything about an event; of others no note need be kept."""
    found: Callable[[bytes], bool] | None = getattr(reaction, CONCERNS, None)
    return found is None or found(data)


def envelope_of(source: str, event: outbox.Event) -> bytes:
    """An event as reactions receive it."""
    envelope = envelope_pb2.Envelope(
        id=event.id, source=source, type=event.type, subject=event.subject, data=event.data
    )
    envelope.time.FromDatetime(event.time)
    return envelope.SerializeToString()


def event_in(payload: bytes) -> outbox.Event:
    """The event of an envelope. What is none is made one, so that it can be put aside and seen."""
    try:
        envelope = envelope_pb2.Envelope.FromString(payload)
        time = envelope.time.ToDatetime(tzinfo=UTC)
    except (DecodeError, ValueError, OverflowError):
        digest = hashlib.sha256(payload).hexdigest()
        return outbox.Event(f"unreadable-{digest[:32]}", "", "", datetime.now(UTC), payload)
    return outbox.Event(envelope.id, envelope.type, envelope.subject, time, envelope.data)


def description(error: BaseException) -> str:
    """The kind of an error and where it was raised; its text could quote what is personal."""
    frames = traceback.extract_tb(error.__traceback__)
    code = sql_state(error)
    where = f" in {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
    return type(error).__name__ + (f" {code}" if code else "") + (where if frames else "")


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Applies the events that one consumer hears of.

    pause sleeps for some seconds and says whether the consumer is told to stop.
    """

    consumer: str
    engine: Engine
    pause: Callable[[float], bool]

    def deliver(
        self, source: str, payload: bytes, reaction: Reaction, *, announced: datetime
    ) -> None:
        """Apply one event, or park it; announced is its time.

        Refuses: Stopped, and what the database raises while it is away; the event is not to blame
        then, and waits for it.
        """
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                reaction(payload)
            except Stopped:
                raise
            except Exception as error:
                if database_is_away(error):
                    raise
                log.exception("reaction failed", extra={"attempt": attempt, "source": source})
                if attempt == ATTEMPTS_MAX:
                    self.park(source, event_in(payload), description(error))
                elif self.pause(BACK_OFF_SECONDS * 2**attempt):
                    raise Stopped from None
            else:
                self._count(source, announced)
                return

    def deliver_together(
        self,
        source: str,
        events: Sequence[tuple[outbox.Event, Reaction]],
        *,
        stream: str,
        at: Cursor,
        to: Cursor,
    ) -> None:
        """Apply events in one transaction, and note in it how far the consumer got in their stream.

        Refuses: CursorMoved, whatever one of them raises; then none was applied, and each may be
        delivered.
        """
        place = {"consumer": self.consumer, "source": source}
        ids = [event.id for event, _ in events]
        with inbox.applied_together(self.engine, **place, event_ids=ids) as connection:
            for event, reaction in events:
                reaction(envelope_of(source, event))
            if not inbox.move_cursor_from(connection, **place, stream=stream, at=at, to=to):
                raise CursorMoved
        for event, _ in events:
            self._count(source, event.time)

    def _count(self, source: str, announced: datetime) -> None:
        DELIVERED.labels(self.consumer, source).inc()
        seconds = (datetime.now(UTC) - announced).total_seconds()
        APPLIED_SECONDS.labels(self.consumer, source).observe(max(seconds, 0.0))

    def park(self, source: str, event: outbox.Event, error: str) -> None:
        with transaction(self.engine) as connection:
            inbox.park(connection, event, consumer=self.consumer, source=source, error=error)
        PARKED.labels(self.consumer, source).inc()

    def replay(self, reaction_to: Callable[[str, str], Reaction | None]) -> int:
        """Apply the parked events that somebody asked for. Returns how many.

        Each once: one that fails again is parked with its new error.
        """
        with looking(self.engine) as connection:
            asked = inbox.parked(connection, limit=REPLAYS_MAX, to_replay=True)
        mine = [each for each in asked if each.consumer == self.consumer]
        for each in mine:
            key = {"consumer": each.consumer, "source": each.source}
            reaction = reaction_to(each.source, each.event.type)
            try:
                if reaction is None:
                    raise LookupError(each.event.type)
                reaction(envelope_of(each.source, each.event))
            except Stopped:
                raise
            except Exception as error:
                if database_is_away(error):
                    raise
                log.exception("reaction failed again", extra={"event": each.event.id})
                with transaction(self.engine) as connection:
                    inbox.park(connection, each.event, **key, error=description(error))
            else:
                with transaction(self.engine) as connection:
                    inbox.forget_parked(connection, **key, event_id=each.event.id)
        return len(mine)
