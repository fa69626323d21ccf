"""When `loyalty up` closes the days by itself."""

import logging
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

log = logging.getLogger("up")

DAY = timedelta(days=1)
RETRY_SECONDS = 300.0


def utc_now() -> datetime:
    return datetime.now(UTC)


class NightWatch:
    """Starts a night for every day that has been over for the delay, one night at a time.

    The first look starts one too, for the days on which the platform was down; a night that failed
    is tried again. start is given the last day to close.
    """

    def __init__(
        self,
        start: Callable[[date], subprocess.Popen[bytes]],
        *,
        delay: timedelta,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._delay = delay
        self._clock = clock
        self._monotonic = monotonic
        self._closed: date | None = None
        self._closing: date | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._retry_at = 0.0

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The night that runs now."""
        return self._process

    def tend(self) -> None:
        """Notice that a night ended, and start the one that is due."""
        if self._process is not None:
            if (code := self._process.poll()) is None:
                return
            self._note_end(code)
        due = (self._clock() - self._delay).date() - DAY
        if due != self._closed and self._monotonic() >= self._retry_at:
            self._closing = due
            self._process = self._start(due)

    def _note_end(self, code: int) -> None:
        self._process = None
        if code == 0:
            self._closed = self._closing
            return
        self._retry_at = self._monotonic() + RETRY_SECONDS
        log.warning(
            "the night through %s ended with exit code %s; trying again in %.0f min",
            self._closing,
            code,
            RETRY_SECONDS / 60,
        )
