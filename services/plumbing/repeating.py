"""Work that a server does again and again for as long as it lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

log = logging.getLogger("repeating")

Item = TypeVar("Item")


async def each(found: Sequence[Item], work: Callable[[Item], Awaitable[object]], name: str) -> int:
    """Do what was found, one after the other; answers how much was done. What fails is logged, is
    found again by a later round, and holds up nobody.
    """
    done = 0
    for item in found:
        try:
            await work(item)
        except Exception as error:  # noqa: BLE001 — whatever it was, the others do not wait for it
            log.warning("%s: one is left: %s", name, type(error).__name__)
        else:
            done += 1
    return done


class Repeating:
    """Rounds of some work, from its making until it is closed. A round that fails is logged, and
    the next one comes all the same. Used from one event loop.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[int]],
        *,
        every_seconds: float,
        full: int,
    ) -> None:
        """work answers how much it found to do; a full round is followed by the next at once."""
        self._name = name
        self._work = work
        self._every_seconds = every_seconds
        self._full = full
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        found = 0
        while True:
            if found < self._full:
                await asyncio.sleep(self._every_seconds)
            found = await self._round()

    async def _round(self) -> int:
        try:
            found = await self._work()
        except Exception as error:  # noqa: BLE001 — whatever it was, there is a next round
            log.warning("%s: a round failed: %s", self._name, type(error).__name__)
            return 0
        if found:
            log.info("%s: %d", self._name, found)
        return found
