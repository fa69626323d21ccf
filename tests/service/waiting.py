"""Waiting for what happens soon, with a limit."""

import asyncio
import time
from collections.abc import Callable

from services.plumbing.database import engine, transaction
from tests.processes import pause_seconds

TIMEOUT_SECONDS = 60.0


async def until(condition: Callable[[], object], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Come back when a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(pause_seconds(asked))


def wait_until(condition: Callable[[], object], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """The same for a test without an event loop."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(pause_seconds(asked))


def waits_for_a_lock(url: str) -> bool:
    """Whether a session of a database waits for another."""
    reading = engine(url, pool_size=1)
    try:
        with transaction(reading) as connection:
            waiting: int = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).scalar_one()
            return waiting > 0
    finally:
        reading.dispose()
