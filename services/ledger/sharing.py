"""Shared holds on their way through the wallets of their parts, a step at a time.

A step is asked of all its wallets, then what they answered is noted; asked again they answer the
same. So a step may be gone by anybody: by who asked for the hold, by who asks for something else of
it, or by the server that finds it left alone.
"""

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from services.ledger import metrics
from services.ledger.domain import refusals
from services.ledger.domain.basket import MICROS_PER_SECOND
from services.ledger.domain.documents import Command, Document
from services.ledger.domain.shared_holds import Answer, AskedHold, Move, SharedHold
from services.ledger.shards import Shards
from services.ledger.usecases.shared_holds import SharedHolds
from services.plumbing.errors import Refused
from services.plumbing.repeating import Repeating, each

LOOK_EVERY_SECONDS = 5.0
# Who asked takes them further meanwhile.
LEFT_ALONE = 5 * MICROS_PER_SECOND
AT_ONCE_MAX = 100

logger = logging.getLogger(__name__)


class Sharing:
    def __init__(self, shards: Shards, holds: SharedHolds) -> None:
        self._shards = shards
        self._holds = holds

    async def hold(self, asked: AskedHold) -> Answer:
        """Hold points in whatever wallets a member may spend of, once. Refuses:
        InsufficientPoints, MemberBlocked, RequestIdReused, OutcomeUnknown.
        """
        return await self._answer(await asyncio.to_thread(self._holds.prepare, asked))

    async def move(self, move: Move) -> Answer:
        """Capture, release or give back, once; what is under way is finished first. Refuses: what
        begin does, OutcomeUnknown.
        """
        while True:
            begun = await asyncio.to_thread(self._holds.begin, move)
            if begun is not None:
                return await self._answer(begun)
            await self.advance(move.shared_hold_id or "")

    async def find(self, shared_hold_id: str) -> tuple[SharedHold, str]:
        """A hold, and whom the member counts for now who spends by it. Refuses: HoldNotFound."""
        return await asyncio.to_thread(self._holds.find, shared_hold_id)

    async def advance(self, shared_hold_id: str) -> None:
        """Take a hold as far as it goes. Refuses: OutcomeUnknown, when it goes further later."""
        while (work := await asyncio.to_thread(self._holds.work, shared_hold_id)) is not None:
            answers: list[tuple[int, Document | Refused]] = []
            at_once = 1 if work.one_by_one else len(work.commands)
            for first in range(0, len(work.commands), at_once or 1):
                answers += await self._post(work.commands[first : first + at_once])
                if work.one_by_one and isinstance(answers[-1][1], Refused):
                    break
            await asyncio.to_thread(self._holds.settle, work, answers)

    async def _post(
        self, commands: Sequence[tuple[int, Command]]
    ) -> list[tuple[int, Document | Refused]]:
        """What wallets answer, each with its part's ordinal. Refuses: OutcomeUnknown."""
        said = await self._shards.post_all([command for _, command in commands])
        answers: list[tuple[int, Document | Refused]] = []
        for (ordinal, _), answer in zip(commands, said, strict=True):
            if isinstance(answer, Refused) and answer.retryable:
                raise refusals.OutcomeUnknown("send the same request again to hear of it")
            if not isinstance(answer, Document | Refused):
                raise answer
            answers.append((ordinal, answer))
        return answers

    async def _answer(self, move: Move) -> Answer:
        if not move.done and move.shared_hold_id is not None:
            await self.advance(move.shared_hold_id)
            found = await asyncio.to_thread(self._holds.move_of, move.request_id, move.body_hash)
            move = found or move
        if move.refusal:
            raise refusals.remembered(move.refusal)
        return msgspec.json.decode(move.answer, type=Answer)


class SharedHoldsLeftAlone:
    """Takes further what a server left that died over it, and ends the holds whose life is over;
    several servers may do so.
    """

    def __init__(
        self, sharing: Sharing, holds: SharedHolds, *, every_seconds: float = LOOK_EVERY_SECONDS
    ) -> None:
        self._sharing = sharing
        self._holds = holds
        repeating = Repeating(
            "shared holds taken further",
            self.advance,
            every_seconds=every_seconds,
            full=AT_ONCE_MAX,
        )
        self.close = repeating.close

    async def advance(self, *, older_than: int = LEFT_ALONE) -> int:
        """Take further what was left; answers how many holds."""
        left = await asyncio.to_thread(
            self._holds.left_alone, older_than=older_than, limit=AT_ONCE_MAX
        )
        advanced = await each(left, self._sharing.advance, "shared holds")
        metrics.LEFT_UNDER_WAY.labels("shared_holds").set(len(left) - advanced)
        return advanced
