"""Drops what nobody needs any more. Every server runs one; they keep out of each other's way."""

from collections.abc import Callable
from datetime import datetime

from services.plumbing.database_work import DatabaseWork
from services.plumbing.housekeeping import CHUNK, EVERY_SECONDS
from services.plumbing.repeating import Repeating
from services.rewards.usecases import prune


class Pruner:
    """Looks for old rows, from its making until it is closed."""

    def __init__(self, work: DatabaseWork, clock: Callable[[], datetime]) -> None:
        self._work = work
        self._clock = clock
        repeating = Repeating("old rows", self._round, every_seconds=EVERY_SECONDS, full=CHUNK)
        self.close = repeating.close

    async def _round(self) -> int:
        """How many were dropped of whichever there were most."""
        return await self._work.run(prune.prune, now=self._clock(), limit=CHUNK)
