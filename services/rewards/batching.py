"""A use case that is committed in batches, by a thread and a connection of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from services.plumbing.batch_session import BatchSession
from services.plumbing.errors import DatabaseDown, Refused
from services.plumbing.group_commit import GroupCommitter, QueueIsFull
from services.plumbing.settling import CommitUnknown, settle
from services.rewards.domain.refusals import QueueFull

BATCH_MAX = 200
QUEUE_MAX = 4_000
# A batch is a dozen statements, whatever is in it: it waits so long for others who would go along.
LINGER_SECONDS = 0.05

Command = TypeVar("Command")
Answer = TypeVar("Answer")


class Batched(Generic[Command, Answer]):
    """Whatever is asked while a batch is committed goes into the next. Used from one event loop."""

    def __init__(
        self,
        database_url: str,
        commit: Callable[[BatchSession, Sequence[Command]], Sequence[Answer | Refused]],
        *,
        gathered: Callable[[], Awaitable[object]],
    ) -> None:
        """commit is one transaction that does no harm when it is done again.

        It answers each command, or why that one alone is refused. gathered ends when no more who
        would go along are about to come.
        """
        self._session = BatchSession(database_url)
        self._commit = commit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._queue: GroupCommitter[Command, Answer | Refused] = GroupCommitter(
            self._settle,
            batch_max=BATCH_MAX,
            queue_max=QUEUE_MAX,
            linger_seconds=LINGER_SECONDS,
            gathered=gathered,
        )

    async def do(self, command: Command) -> Answer:
        """Refuses: QueueFull, DatabaseDown, and whatever the use case answers for this one."""
        try:
            submitted = self._queue.submit([command])
        except QueueIsFull:
            raise QueueFull from None
        answer = (await submitted)[0]
        if isinstance(answer, CommitUnknown):
            raise DatabaseDown
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """Commit what is queued, then end."""
        await self._queue.close()
        await asyncio.to_thread(self._thread.shutdown)
        self._session.close()

    async def _settle(self, commands: Sequence[Command]) -> Sequence[Answer | Refused | Exception]:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, settle, lambda batch: self._commit(self._session, batch), commands
        )
