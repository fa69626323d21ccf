"""Look-ups of cards that the server does not remember: those that calls wait for go together."""

import asyncio
from collections.abc import Sequence

from services.ledger.card_cache import CardCache
from services.ledger.domain.refusals import QueueFull
from services.ledger.storage.directory import Card
from services.plumbing.group_commit import GroupCommitter, QueueIsFull

TOGETHER_MAX = 1_000


class CardLookups:
    """Cards by token for the calls of one event loop. Those that are asked for while a look-up is
    under way are in the next, so that a till's first sale costs its share of a statement.
    """

    def __init__(self, cache: CardCache, *, queue_max: int) -> None:
        self._cache = cache
        self._queue: GroupCommitter[str, Card] = GroupCommitter(
            self._look_up, batch_max=TOGETHER_MAX, queue_max=queue_max
        )

    async def of(self, tokens: Sequence[str]) -> dict[str, Card]:
        """The cards of tokens; those nobody knows get a provisional wallet. Refuses: QueueFull."""
        cards = {token: card for token in tokens if (card := self._cache.get(token))}
        missing = [token for token in dict.fromkeys(tokens) if token not in cards]
        if missing:
            try:
                answers = await self._queue.submit(missing)
            except QueueIsFull:
                raise QueueFull from None
            for token, answer in zip(missing, answers, strict=True):
                if isinstance(answer, Exception):
                    raise answer
                cards[token] = answer
        return cards

    async def close(self) -> None:
        await self._queue.close()

    async def _look_up(self, tokens: Sequence[str]) -> Sequence[Card]:
        found = await asyncio.to_thread(self._cache.look_up, tokens)
        return [found[token] for token in tokens]
