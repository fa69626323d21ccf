"""How a server comes to its end: calls under way are answered, later ones are told to go elsewhere.

The library alone would drop, as CANCELLED, calls that have arrived and that it has not looked at;
nobody sends those again, though nothing was done for them.
"""

import asyncio
import time
from contextlib import suppress

from services.plumbing.errors import Unavailable

# Callers who hear of the end wait before they ask again, so that soon nobody is at the door.
LEAVE_SECONDS = 0.3


class Stopping(Unavailable):
    reason = "SERVER_STOPPING"

    def __init__(self) -> None:
        super().__init__("the server is about to stop; ask again, another will answer")


class CallsUnderWay:
    """Counts a server's calls. Used from its event loop alone."""

    def __init__(self) -> None:
        self._count = 0
        self._stopping = False
        self._none_left = asyncio.Event()

    def enter(self) -> None:
        """A call begins; `leave` must follow, whatever happens. Refuses: Stopping."""
        self._count += 1
        if self._stopping:
            raise Stopping

    def leave(self) -> None:
        self._count -= 1
        if self._stopping and not self._count:
            self._none_left.set()

    async def end(self, *, seconds_max: float) -> None:
        """Refuse new calls and wait for those under way, but no longer than told."""
        deadline = time.monotonic() + seconds_max
        self._stopping = True
        await asyncio.sleep(min(LEAVE_SECONDS, seconds_max))
        if self._count:
            self._none_left.clear()
            with suppress(TimeoutError):
                remaining = max(deadline - time.monotonic(), 0.0)
                await asyncio.wait_for(self._none_left.wait(), remaining)
