"""One consumer of the embedded bus reading one outbox: how far it got, and what comes next."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from services.plumbing import inbox, outbox
from services.plumbing.bus_status import StreamReplaced, is_replaced
from services.plumbing.database import database_is_away, looking
from services.plumbing.delivery import (
    LAG_SECONDS,
    CursorMoved,
    Deliverer,
    Reaction,
    Stopped,
    concerns,
    envelope_of,
)
from services.plumbing.inbox import Cursor

log = logging.getLogger("bus")

BATCH = 200
# More would be locked for longer than others like to wait for it.
TOGETHER_MAX = 40


@dataclass(frozen=True, slots=True)
class Source:
    """A service that announces: its database and the schemas that hold an outbox."""

    name: str
    engine: Engine
    streams: Sequence[str]


class StreamDelivery:
    """Hands the events of one stream of one source to one consumer, in their order."""

    def __init__(
        self,
        deliverer: Deliverer,
        source: Source,
        stream: str,
        reactions: Mapping[tuple[str, str], Reaction],
    ) -> None:
        self._deliverer = deliverer
        self._source = source
        self._stream = stream
        self._reactions = reactions
        self._reader = outbox.Reader(stream)
        self._origin: str | None = None
        # How far it had got when it last read.
        self.reached = outbox.START

    @property
    def source(self) -> Source:
        return self._source

    @property
    def stream(self) -> str:
        return self._stream

    def cursor(self) -> Cursor:
        with looking(self._deliverer.engine) as connection:
            return inbox.cursor(connection, **self._place())

    def deliver_some(
        self, told_to_stop: Callable[[], bool] = lambda: False, *, goes_on: bool = False
    ) -> int:
        """Deliver the next batch and note how far it got. Returns how many events were read.

        It begins at the cursor; if it goes on, where it ended, unless others moved the cursor
        meanwhile. Refuses: StreamReplaced, CursorMoved.
        """
        if self._origin is None or not goes_on:
            at = self.cursor()
            self.reached = at.position
        else:
            at = Cursor(self.reached, self._origin)
        with looking(self._source.engine) as connection:
            if self._origin is None:
                self._origin = self._check_origin(connection, at)
            batch = self._reader.read(connection, at.position, limit=BATCH)
        for start in range(0, len(batch), TOGETHER_MAX):
            if told_to_stop():
                break
            self._deliver_part(batch[start : start + TOGETHER_MAX], told_to_stop)
        age = time.time() - batch[-1].event.time.timestamp() if batch else 0.0
        self._note_age(age)
        return len(batch)

    def is_at_rest(self) -> bool:
        """Whether all that was delivered stays delivered: others may have moved the cursor."""
        stays = self.cursor().position == self.reached
        if stays:
            self._note_age(0.0)
        return stays

    def _note_age(self, seconds: float) -> None:
        LAG_SECONDS.labels(self._deliverer.consumer, self._source.name).set(max(seconds, 0.0))

    def forget_origin(self) -> None:
        """Look again which outbox it is: the database may be another after it was away."""
        self._origin = None

    def _check_origin(self, connection: Any, at: Cursor) -> str:
        origin = outbox.origin(connection, self._stream)
        if is_replaced(at, origin):
            raise StreamReplaced(self._deliverer.consumer, self._source.name, self._stream)
        return origin.name

    def _deliver_part(
        self, part: Sequence[outbox.Stored], told_to_stop: Callable[[], bool]
    ) -> None:
        """Together, where none of them is to blame for anything, else one by one."""
        found = [(each.event, self._reaction_to(each.event)) for each in part]
        heard = [(event, reaction) for event, reaction in found if reaction is not None]
        at, to = (Cursor(place, self._origin) for place in (self.reached, part[-1].position))
        try:
            if heard:
                self._deliverer.deliver_together(
                    self._source.name, heard, stream=self._stream, at=at, to=to
                )
            else:
                self._move_cursor(at, to)
        except CursorMoved:
            raise
        except Exception as error:
            if database_is_away(error):
                raise
            log.info("not together", extra={"source": self._source.name, "events": len(part)})
            self._deliver_one_by_one(part, told_to_stop)
        else:
            self.reached = to.position

    def _deliver_one_by_one(
        self, part: Sequence[outbox.Stored], told_to_stop: Callable[[], bool]
    ) -> None:
        reached = self.reached
        for stored in part:
            if told_to_stop():
                break
            try:
                self._deliver(stored.event)
            except Stopped:
                break
            reached = stored.position
        self._move_cursor(Cursor(self.reached, self._origin), Cursor(reached, self._origin))
        self.reached = reached

    def _deliver(self, event: outbox.Event) -> None:
        reaction = self._reaction_to(event)
        if reaction is not None:
            payload = envelope_of(self._source.name, event)
            self._deliverer.deliver(self._source.name, payload, reaction, announced=event.time)

    def _move_cursor(self, at: Cursor, to: Cursor) -> None:
        """Refuses: CursorMoved."""
        with looking(self._deliverer.engine) as connection:
            if not inbox.move_cursor_from(connection, **self._place(), at=at, to=to):
                raise CursorMoved

    def _reaction_to(self, event: outbox.Event) -> Reaction | None:
        """Nobody's, where it would do nothing about the event."""
        reaction = self._reactions.get((self._source.name, event.type))
        return reaction if reaction is not None and concerns(reaction, event.data) else None

    def _place(self) -> dict[str, str]:
        return {
            "consumer": self._deliverer.consumer,
            "source": self._source.name,
            "stream": self._stream,
        }
