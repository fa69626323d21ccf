"""What tests about processes share: waiting with a deadline."""

import time
from collections.abc import Callable

import psutil

POLL_SECONDS = 0.01
POLL_SECONDS_MAX = 0.1


def wait_for(condition: Callable[[], bool], *, what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(pause_seconds(asked))


def pause_seconds(asked: float) -> float:
    """How long to wait before asking again what was asked at a time of the monotonic clock.

    Asking may be dear, and must not take the processor from what is waited for.
    """
    return min(max(POLL_SECONDS, 2 * (time.monotonic() - asked)), POLL_SECONDS_MAX)


def is_gone(pid: int) -> bool:
    """Ended, even when nobody has asked yet for its exit code."""
    try:
        status: str = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return True
    return status == psutil.STATUS_ZOMBIE
