"""The shards of a server: a committer each, and the way of a command to the one that holds its
wallet.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias, cast

from services.ledger import metrics
from services.ledger.answers import RecordedSale
from services.ledger.committing import Committer
from services.ledger.domain.documents import Command, Document, RecordSale
from services.ledger.domain.refusals import OutcomeUnknown, QueueFull
from services.ledger.storage.shards import shard_of
from services.ledger.usecases.post import Answer
from services.plumbing.group_commit import GroupCommitter, QueueIsFull
from services.plumbing.settling import CommitUnknown

# What a batch costs whatever is in it, its callers share: 8 ms more of waiting, a fifth less of
# processor for a sale. As PostgreSQL's commit_delay does, where the sessions are.
LINGER_SECONDS = 0.008
# Only where so many tills follow each other: few sell up to two fifths more without.
SHARED_BY = 7

# What a committer answers: of a sale what its till is told, of other commands their documents.
Told: TypeAlias = RecordedSale | Answer


class Shards:
    """Posts commands through the group commit of their wallet's shard. Used from one event loop."""

    def __init__(self, committers: Sequence[Committer], *, batch_max: int, queue_max: int) -> None:
        """committers stand in the order of the shards."""
        self.count = len(committers)
        # How many commands were ever taken into a queue.
        self.taken = 0
        self._committers = committers
        self._queues = [
            self._queue(number, committer, batch_max, queue_max)
            for number, committer in enumerate(committers)
        ]

    def _queue(
        self, number: int, committer: Committer, batch_max: int, queue_max: int
    ) -> GroupCommitter[Command, Told]:
        sizes = metrics.BATCH_SIZE.labels(str(number))
        seconds = metrics.COMMIT_SECONDS.labels(str(number))

        async def commit(commands: Sequence[Command]) -> Sequence[Told | Exception]:
            return await committer.commit(commands, is_alone=self._under_way == 1)

        def observe(size: int, took: float) -> None:
            sizes.observe(size)
            seconds.observe(took)

        queue: GroupCommitter[Command, Told] = GroupCommitter(
            commit,
            batch_max=batch_max,
            queue_max=queue_max,
            linger_seconds=LINGER_SECONDS,
            shared_by=SHARED_BY,
            observe=observe,
        )
        metrics.QUEUE_DEPTH.labels(str(number)).set_function(lambda: queue.depth)
        return queue

    async def post_one(self, command: Command, *, caller: object | None = None) -> Document:
        """Post a command other than a sale and answer its document; caller tells what was asked in
        one call.

        Refuses: what it refuses, QueueFull, OutcomeUnknown.
        """
        return cast("Document", await self._post(command, caller))

    async def post_all(self, commands: Sequence[Command]) -> list[Document | Exception]:
        """Post commands other than sales, each on its own; the answers stand in their order."""
        return cast("list[Document | Exception]", await self._post_each(commands))

    async def record(self, sale: RecordSale) -> RecordedSale:
        """Post a sale. Refuses: what it refuses, QueueFull, OutcomeUnknown."""
        return cast("RecordedSale", await self._post(sale, None))

    async def record_all(self, sales: Sequence[RecordSale]) -> list[RecordedSale | Exception]:
        """Post sales, each on its own; the answers stand in their order."""
        return cast("list[RecordedSale | Exception]", await self._post_each(sales))

    async def _post(self, command: Command, caller: object | None) -> Told:
        shard = shard_of(command.wallet_id, self.count)
        answer = as_told((await self._submit(shard, [command], caller))[0])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _post_each(self, commands: Sequence[Command]) -> list[Told | Exception]:
        by_shard: dict[int, list[int]] = {}
        for position, command in enumerate(commands):
            by_shard.setdefault(shard_of(command.wallet_id, self.count), []).append(position)
        # All are queued before any is waited for, so that every shard begins at once.
        submitted = [
            (positions, self._submit_or_refuse(shard, [commands[each] for each in positions]))
            for shard, positions in by_shard.items()
        ]
        answers: dict[int, Told | Exception] = {}
        for positions, found in submitted:
            answers |= zip(positions, map(as_told, await found), strict=True)
        return [answers[position] for position in range(len(commands))]

    def _submit_or_refuse(
        self, shard: int, commands: Sequence[Command]
    ) -> "asyncio.Future[Sequence[Told | Exception]]":
        try:
            return self._submit(shard, commands)
        except QueueFull as refusal:
            refused: asyncio.Future[Sequence[Told | Exception]] = asyncio.Future()
            refused.set_result([refusal] * len(commands))
            return refused

    def _submit(
        self, shard: int, commands: Sequence[Command], caller: object | None = None
    ) -> "asyncio.Future[Sequence[Told | Exception]]":
        try:
            submitted = self._queues[shard].submit(commands, caller=caller)
        except QueueIsFull:
            raise QueueFull from None
        self.taken += len(commands)
        return submitted

    @property
    def _under_way(self) -> int:
        return sum([queue.under_way for queue in self._queues])

    async def close(self) -> None:
        """Commit what is queued."""
        for queue, committer in zip(self._queues, self._committers, strict=True):
            await queue.close()
            await committer.close()


def as_told(answer: Told | Exception) -> Told | Exception:
    """What a caller is told, also of an error that a committer answered with."""
    if isinstance(answer, CommitUnknown):
        return OutcomeUnknown("the database is away; send the same request again")
    return answer
