"""Holds expire by themselves: a server releases those whose life is over."""

import asyncio
import logging
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from services.ledger.domain.documents import Document
from services.ledger.shards import Shards
from services.ledger.usecases.night import Nights

LOOK_EVERY_SECONDS = 5.0
AT_ONCE_MAX = 200

logger = logging.getLogger(__name__)


class OverdueHolds:
    """Releases overdue holds for as long as the server lives; several servers may do so."""

    def __init__(
        self, shards: Shards, nights: Nights, *, every_seconds: float = LOOK_EVERY_SECONDS
    ) -> None:
        self._shards = shards
        self._nights = nights
        self._every_seconds = every_seconds
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                released = await self.release()
            except SQLAlchemyError as error:
                # The database is away; the holds wait.
                logger.warning("overdue holds are not released: %s", type(error).__name__)
                continue
            if released:
                logger.info("%d overdue holds released", released)

    async def release(self) -> int:
        """Release what is overdue now; answers how many."""
        commands = await asyncio.to_thread(self._nights.overdue_holds, limit=AT_ONCE_MAX)
        answers = await self._shards.post_all(commands)
        return sum(isinstance(answer, Document) for answer in answers)
