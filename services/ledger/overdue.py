"""Holds expire by themselves: a server releases those whose life is over."""

import asyncio

from services.ledger.domain.documents import Document
from services.ledger.shards import Shards
from services.ledger.usecases.night import Nights
from services.plumbing.repeating import Repeating

LOOK_EVERY_SECONDS = 5.0
AT_ONCE_MAX = 200


class OverdueHolds:
    """Releases overdue holds for as long as the server lives; several servers may do so."""

    def __init__(
        self, shards: Shards, nights: Nights, *, every_seconds: float = LOOK_EVERY_SECONDS
    ) -> None:
        self._shards = shards
        self._nights = nights
        repeating = Repeating(
            "overdue holds released", self.release, every_seconds=every_seconds, full=AT_ONCE_MAX
        )
        self.close = repeating.close

    async def release(self) -> int:
        """Release what is overdue now; answers how many."""
        commands = await asyncio.to_thread(self._nights.overdue_holds, limit=AT_ONCE_MAX)
        answers = await self._shards.post_all(commands)
        return sum(isinstance(answer, Document) for answer in answers)
