"""How a shard's batches are committed: by a process of its own, or by a thread of the server.

The program itself is the process: `python -m services.ledger.committing SOCKET`.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from services.ledger import events, frames
from services.ledger.answers import RecordedSale, recorded_sale
from services.ledger.domain.circumstances import Limits
from services.ledger.domain.documents import Command, Document, RecordSale
from services.ledger.usecases.post import Answer, post
from services.ledger.usecases.shard import Shard, open_shard, ring
from services.plumbing import work_process
from services.plumbing.settling import GIVE_UP_SECONDS, RETRY_SECONDS, CommitUnknown, settle
from services.plumbing.telemetry import start_logging
from services.plumbing.work_process import Worker, WorkerLost, WorkProcess

# A batch makes tens of thousands of objects without a cycle among them; looking for cycles every
# 700 of them took 7 % of a batch.
COLLECT_AFTER = (50_000, 20, 20)

Answers = Sequence[RecordedSale | Answer | Exception]


def now_micros() -> int:
    return time.time_ns() // 1_000


def opened_shard(url: str, number: int, limits: Limits) -> Shard:
    return open_shard(url, number, limits=limits, announce=events.entries_posted, clock=now_micros)


def settled(shard: Shard, commands: Sequence[Command], *, is_urgent: bool = False) -> Answers:
    """Commit a batch for good."""
    return settle(lambda batch: post(shard, batch, told, is_urgent=is_urgent), commands)


def told(command: Command, answer: Answer) -> RecordedSale | Answer:
    """What is told of a command: of a sale the answer to its till, of others their documents."""
    if isinstance(command, RecordSale) and isinstance(answer, Document):
        return recorded_sale(answer)
    return answer


class Committer(Protocol):
    """Commits the batches of one shard, one at a time. Used from one event loop."""

    async def start(self) -> None:
        """Be ready for the first batch."""

    async def commit(self, commands: Sequence[Command], *, is_alone: bool) -> Answers:
        """An answer for each command, or the error that is to blame on that one alone.

        is_alone says that nothing else is under way, which a committer may use to be quicker.
        """
        ...

    async def close(self) -> None:
        """End after the batch under way."""


class ThreadCommitter:
    """Commits in a thread: little memory, but it shares the server's one interpreter."""

    def __init__(self, url: str, number: int, limits: Limits) -> None:
        self._shard = opened_shard(url, number, limits)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"committer-{number}")

    async def start(self) -> None:
        """There is nothing to wait for."""

    async def commit(
        self,
        commands: Sequence[Command],
        *,
        is_alone: bool,  # noqa: ARG002 — looking for answers would keep the interpreter busy
    ) -> Answers:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, settled, self._shard, commands)
        finally:
            self._thread.submit(ring, self._shard)

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._shard.close()


class ProcessCommitter:
    """Commits in a process of its own."""

    def __init__(self, url: str, number: int, limits: Limits, *, log_level: str = "INFO") -> None:
        opening = frames.Opening(url, number, limits, log_level)
        self._process = WorkProcess("services.ledger.committing", frames.encode(opening))

    async def start(self) -> None:
        await self._process.start()

    async def commit(self, commands: Sequence[Command], *, is_alone: bool) -> Answers:
        """A process that ended under way is started anew and asked again: requests are looked up
        by their ids, so none is done twice.
        """
        request = frames.encode(frames.Batch(is_alone, commands))
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                return frames.decode_answers(await self._process.ask(request))
            except WorkerLost:
                if time.monotonic() > deadline:
                    return [CommitUnknown()] * len(commands)
                await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        await self._process.close()


def opened(opening: bytes) -> Worker:
    asked = frames.decode_opening(opening)
    start_logging(asked.log_level)
    shard = opened_shard(asked.database_url, asked.shard, asked.limits)

    def answer(request: bytes) -> bytes:
        batch = frames.decode_batch(request)
        return frames.encode_answers(settled(shard, batch.commands, is_urgent=batch.is_alone))

    return Worker(answer, afterwards=lambda: ring(shard))


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    work_process.serve(sys.argv[1:], opened)
