"""Work that nobody waits for gives way to work that somebody does.

A low priority alone does not do that: it says who runs next, not what becomes of the caches, nor
what a database does for the work at a priority of its own.
"""

import time
from collections.abc import Callable
from pathlib import Path

# Nanoseconds on a processor and nanoseconds ready without one, of a process's first thread. See
# https://docs.kernel.org/scheduler/sched-stats.html
SCHEDSTAT = Path("/proc/self/schedstat")
NANOS_PER_SECOND = 1_000_000_000


def waited_seconds() -> float:
    """How long the process's first thread has stood ready while others had the processors. Zero
    where the system does not tell.
    """
    try:
        _, waited_nanos, *_ = SCHEDSTAT.read_text().split()
    except (OSError, ValueError):
        return 0.0
    return int(waited_nanos) / NANOS_PER_SECOND


class GivingWay:
    """Rests between parts of some work, for as long as it had to wait for a processor, times so
    much; where nobody else wants one it does not rest.
    """

    def __init__(
        self,
        times: float,
        *,
        waited: Callable[[], float] = waited_seconds,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """waited answers seconds since some moment; sleep is given seconds."""
        self._times = times
        self._waited = waited
        self._sleep = sleep
        self._known = waited()

    def rest(self) -> None:
        """Rest for what was waited since the last rest."""
        self._sleep(self._times * (self._waited() - self._known))
        # Who wakes from a rest waits for a processor too; that took it from nobody.
        self._known = self._waited()
