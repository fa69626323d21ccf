"""Group commit: whatever queued while the last commit ran goes into the next."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Command = TypeVar("Command")
Answer = TypeVar("Answer")
# Commits a batch and answers each of its commands, or the error that is to blame on that one.
Commit = Callable[[Sequence[Command]], Awaitable[Sequence[Answer | Exception]]]
Observe = Callable[[int, float], None]


# Of so many commands a batch is worth its commit.
SMALL = 50


class QueueIsFull(Exception):  # noqa: N818 — an answer to the caller
    """More is queued than a caller could be asked to wait for."""


class _Job(Generic[Command, Answer]):
    __slots__ = ("caller", "commands", "future")

    def __init__(self, commands: Sequence[Command], caller: object | None) -> None:
        self.commands = commands
        # Not the job itself for who has none: a job that held itself would hold what it was asked
        # and answered until cycles are looked for.
        self.caller = object() if caller is None else caller
        self.future: asyncio.Future[Sequence[Answer | Exception]] = (
            asyncio.get_running_loop().create_future()
        )


class GroupCommitter(Generic[Command, Answer]):
    """A bounded queue and the task that commits it, a batch at a time. Used from one event loop."""

    def __init__(
        self,
        commit: Commit[Command, Answer],
        *,
        batch_max: int,
        queue_max: int,
        linger_seconds: float = 0.0,
        shared_by: int = 2,
        gathered: Callable[[], Awaitable[object]] | None = None,
        observe: Observe = lambda _size, _seconds: None,
    ) -> None:
        """batch_max and queue_max count commands; observe is told each batch's size and seconds.

        While shared_by callers or more share each batch, a small one waits linger_seconds for more
        of them, or until `gathered` ends if that is sooner; a caller who comes alone never waits.
        """
        self._commit = commit
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._linger_seconds = linger_seconds
        self._gathered = gathered
        self._shared_by = shared_by
        # Whether that many callers were in the last batch.
        self._shared = False
        self._observe = observe
        self._jobs: deque[_Job[Command, Answer]] = deque()
        self._queued = 0
        self._committing = 0
        self._changed = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run())

    @property
    def depth(self) -> int:
        """How many commands wait."""
        return self._queued

    @property
    def under_way(self) -> int:
        """How many commands wait or are being committed."""
        return self._queued + self._committing

    def submit(
        self, commands: Sequence[Command], *, caller: object | None = None
    ) -> "asyncio.Future[Sequence[Answer | Exception]]":
        """Queue commands; they are committed in this order, whether or not the caller still waits.

        What is submitted for the same caller at a time counts as one.
        Answers one for each, or the error that is to blame on that one alone. Refuses: QueueIsFull.
        """
        if self._closing or self._queued + len(commands) > self._queue_max:
            raise QueueIsFull
        job: _Job[Command, Answer] = _Job(commands, caller)
        self._jobs.append(job)
        self._queued += len(commands)
        self._changed.set()
        return job.future

    async def close(self) -> None:
        """Commit what is queued, then end."""
        self._closing = True
        self._changed.set()
        await self._task

    async def _run(self) -> None:
        while True:
            while not self._jobs:
                if self._closing:
                    return
                self._changed.clear()
                await self._changed.wait()
            if self._lingers():
                await self._linger()
            jobs = self._next_jobs()
            self._shared = len({job.caller for job in jobs}) >= self._shared_by
            commands = [command for job in jobs for command in job.commands]
            self._committing = len(commands)
            started = time.monotonic()
            answers: Sequence[Answer | Exception]
            try:
                answers = await self._commit(commands)
            except Exception as error:  # noqa: BLE001 — every caller is told, whatever it was
                answers = [error] * len(commands)
            self._committing = 0
            self._observe(len(commands), time.monotonic() - started)
            self._answer(jobs, answers)

    def _lingers(self) -> bool:
        is_small = self._queued < min(SMALL, self._batch_max)
        return bool(self._linger_seconds) and self._shared and is_small and not self._closing

    async def _linger(self) -> None:
        if self._gathered is None:
            await asyncio.sleep(self._linger_seconds)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._gathered(), self._linger_seconds)

    def _next_jobs(self) -> list[_Job[Command, Answer]]:
        """The next batch: whole jobs, at least one."""
        jobs: list[_Job[Command, Answer]] = []
        size = 0
        while self._jobs and (not jobs or size + len(self._jobs[0].commands) <= self._batch_max):
            jobs.append(self._jobs.popleft())
            size += len(jobs[-1].commands)
        self._queued -= size
        return jobs

    @staticmethod
    def _answer(
        jobs: Sequence[_Job[Command, Answer]], answers: Sequence[Answer | Exception]
    ) -> None:
        start = 0
        for job in jobs:
            end = start + len(job.commands)
            # A caller that left has cancelled its future; its commands are committed all the same.
            if not job.future.done():
                job.future.set_result(answers[start:end])
            start = end
