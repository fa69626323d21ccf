"""Looks whether anything was announced: one session a source, for all who read its outboxes."""

import logging
import math
import threading
import time
from collections.abc import Sequence

from sqlalchemy import Engine

from services.plumbing import outbox

log = logging.getLogger("bus")

# Looking for events waits longer the longer none came: a share of the time since the last, within
# bounds. Notifications would come at once, but every commit that sends one waits for all others.
POLL_SECONDS_MIN = 0.005
POLL_SECONDS_MAX = 0.2
QUIET_SHARE = 0.05
RETRY_SECONDS = 1.0


def pause_seconds(quiet_seconds: float) -> float:
    """How long to wait before looking again, so long after the last event."""
    return min(max(quiet_seconds * QUIET_SHARE, POLL_SECONDS_MIN), POLL_SECONDS_MAX)


class Watch:
    """The newest position of each outbox of a database, until told to stop."""

    def __init__(
        self, engine: Engine, streams: Sequence[str], *, stopping: threading.Event
    ) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._streams = streams
        self._stopping = stopping
        self._newest: dict[str, int] = {}
        self._changed = threading.Condition()

    def wait(self, stream: str, position: int, *, seconds_max: float) -> bool:
        """Wait until something stands behind a position, or for so long; says whether it does."""

        def is_over() -> bool:
            return self._stopping.is_set() or self._newest.get(stream, outbox.START) > position

        with self._changed:
            return self._changed.wait_for(is_over, seconds_max)

    def run(self) -> None:
        """Look, whatever goes away meanwhile."""
        while not self._stopping.is_set():
            try:
                self._look()
            except Exception:
                log.exception("cannot look for events")
                self._stopping.wait(RETRY_SECONDS)
        with self._changed:
            self._changed.notify_all()

    def _look(self) -> None:
        last_event = -math.inf
        with self._engine.connect() as connection:
            while not self._stopping.is_set():
                newest = outbox.newest(connection, self._streams)
                if newest != self._newest:
                    last_event = time.monotonic()
                    with self._changed:
                        self._newest = newest
                        self._changed.notify_all()
                self._stopping.wait(pause_seconds(time.monotonic() - last_event))
