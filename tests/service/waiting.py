"""Waiting for what happens soon, with a limit."""

import asyncio
import time
from collections.abc import Callable

TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.01


async def until(condition: Callable[[], object], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Come back when a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(POLL_SECONDS)


def wait_until(condition: Callable[[], object], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """The same for a test without an event loop."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(POLL_SECONDS)
