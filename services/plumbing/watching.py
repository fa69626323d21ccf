"""Looks whether anything was announced: one session a source, for all who read its outboxes."""

import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from services.plumbing import outbox
from services.plumbing.database import looking
from services.plumbing.doorbell import Address

log = logging.getLogger("bus")

# Who is not rung for waits longer the longer nothing came: a share of the time since the last
# event, within bounds. PostgreSQL's notifications would do, but every commit that sends one waits
# for all others.
POLL_SECONDS_MIN = 0.005
POLL_SECONDS_MAX = 0.2
QUIET_SHARE = 0.05
RETRY_SECONDS = 1.0
# So long after a ring events are left to gather: whoever rang is still being answered, often on the
# same core, and more rings may follow. Where they come one after the other a look finds many; who
# settles waits for several looks without news.
RING_SECONDS = 0.02
BUSY_RING_SECONDS = 0.05
# Who waits for events says so this often at least.
HURRY_SECONDS = 0.02


def pause_seconds(quiet_seconds: float) -> float:
    """How long to wait before looking again, so long after the last event."""
    return min(max(quiet_seconds * QUIET_SHARE, POLL_SECONDS_MIN), POLL_SECONDS_MAX)


class Watch:
    """The newest position of each outbox of a database, until told to stop."""

    def __init__(
        self, engine: Engine, streams: Sequence[str], *, stopping: threading.Event
    ) -> None:
        self._engine = engine
        self._streams = streams
        self._stopping = stopping
        self._newest: dict[str, int] = {}
        self._changed_times: dict[str, float] = {}
        self._rung = threading.Event()
        self._hears_rings = False
        self._hurried_times: dict[Address, float] = {}
        self._changed = threading.Condition()

    def wait(self, stream: str, position: int, *, seconds_max: float) -> bool:
        """Wait until something stands behind a position, or for so long; says whether it does."""

        def is_over() -> bool:
            return self._stopping.is_set() or self._newest.get(stream, outbox.START) > position

        with self._changed:
            return self._changed.wait_for(is_over, seconds_max)

    def settle(self, stream: str, *, quiet_seconds: float, seconds_max: float) -> None:
        """Wait until nothing was announced for so long, or for seconds_max at most; not while
        somebody else waits for it.
        """
        until = time.monotonic() + seconds_max
        with self._changed:
            while not (self._stopping.is_set() or self._is_hurried()):
                quiet_from = self._changed_times.get(stream, -math.inf) + quiet_seconds
                left = min(quiet_from, until) - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)

    def note(self, newest: Mapping[str, int]) -> bool:
        """Keep the newest position of each stream, and wake who waits; whether one moved."""
        moved = [stream for stream, at in newest.items() if self._newest.get(stream) != at]
        if moved:
            with self._changed:
                self._newest |= newest
                self._changed_times |= dict.fromkeys(moved, time.monotonic())
                self._changed.notify_all()
        return bool(moved)

    def rely_on_rings(self) -> None:
        """From now on somebody rings whenever there may be news."""
        self._hears_rings = True

    def waiting(self) -> list[Address]:
        """Who waits for all that is announced."""
        since = time.monotonic() - HURRY_SECONDS
        return [who for who, last_time in self._hurried_times.items() if last_time > since]

    def _is_hurried(self) -> bool:
        return bool(self._hurried_times and self.waiting())

    def ring(self) -> None:
        """Look soon."""
        self._rung.set()

    def hurry(self, who: Address) -> None:
        """Somebody waits for all that is announced: look now, and for a moment leave nothing to
        gather.
        """
        with self._changed:
            waiting = self.waiting()
            # Of who waits no more nothing is kept.
            self._hurried_times = {
                each: self._hurried_times[each] for each in waiting if each != who
            } | {who: time.monotonic()}
            if not waiting:
                self._rung.set()
                self._changed.notify_all()

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
        with looking(self._engine) as connection:
            while not self._stopping.is_set():
                # Before the look: who rings while it is under way is heard the next time.
                self._rung.clear()
                is_busy = time.monotonic() - last_event < 2 * BUSY_RING_SECONDS
                if self.note(outbox.newest(connection, self._streams)):
                    last_event = time.monotonic()
                if self._hears_rings:
                    if self._rung.wait(POLL_SECONDS_MAX):
                        self._let_gather(BUSY_RING_SECONDS if is_busy else RING_SECONDS)
                else:
                    self._stopping.wait(pause_seconds(time.monotonic() - last_event))

    def _let_gather(self, seconds: float) -> None:
        """Leave alone what was rung for, unless somebody waits for it."""

        def is_over() -> bool:
            return self._stopping.is_set() or self._is_hurried()

        with self._changed:
            self._changed.wait_for(is_over, seconds)
