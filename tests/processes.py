"""What tests about processes share: waiting with a deadline."""

import time
from collections.abc import Callable

import psutil


def wait_for(condition: Callable[[], bool], *, what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Ended, even when nobody has asked yet for its exit code."""
    try:
        status: str = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return True
    return status == psutil.STATUS_ZOMBIE
