"""Brings redemptions to their end that a server left behind. Every server runs one."""

import asyncio
import logging

from services.plumbing.database_work import DatabaseWork
from services.plumbing.errors import Refused
from services.plumbing.repeating import Repeating
from services.rewards.domain.saga import Redemption
from services.rewards.metrics import REDEMPTIONS_OLDEST_SECONDS, REDEMPTIONS_RECOVERED
from services.rewards.redeeming import Redeeming
from services.rewards.usecases import attend

log = logging.getLogger("recoverer")

EVERY_SECONDS = 1.0
# As many as are brought to their end at a time.
BATCH = 50


class Recoverer:
    """Looks for what stands still, from its making until it is closed."""

    def __init__(self, work: DatabaseWork, redeeming: Redeeming) -> None:
        self._work = work
        self._redeeming = redeeming
        repeating = Repeating(
            "redemptions found standing", self._round, every_seconds=EVERY_SECONDS, full=BATCH
        )
        self.close = repeating.close

    async def _round(self) -> int:
        """How many were found."""
        found = await self._work.run(attend.take_over_standing, limit=BATCH)
        REDEMPTIONS_OLDEST_SECONDS.set(await self._work.run(attend.oldest_seconds))
        await asyncio.gather(*map(self._recover, found))
        return len(found)

    async def _recover(self, redemption: Redemption) -> None:
        """What cannot be brought to its end now is found again when its lease is over."""
        found = {"redemption": str(redemption.id), "step": redemption.step}
        try:
            ended = await self._redeeming.recover(redemption)
        except Refused as refusal:
            log.warning("a redemption stands", extra={**found, "reason": refusal.reason})
        except Exception:
            log.exception("a redemption cannot be recovered", extra=found)
        else:
            REDEMPTIONS_RECOVERED.labels(ended.step).inc()
            log.info("a redemption was recovered", extra={**found, "now": ended.step})
