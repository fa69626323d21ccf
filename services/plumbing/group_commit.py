"""Group commit: whatever queued while the last commit ran goes into the next, without a timer.

One thread commits. A batch that fails for what is in it is halved until the poison stands alone; a
batch whose connection broke is tried again, since whether it was committed is unknown and the
commit function looks requests up by their ids.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError

from services.plumbing.database import connection_was_lost

log = logging.getLogger("group_commit")

Command = TypeVar("Command")
Answer = TypeVar("Answer")
Commit = Callable[[Sequence[Command]], Sequence[Answer]]
Observe = Callable[[int, float], None]

RETRY_SECONDS = 0.2
# What is nobody's fault and passes: a serialization failure, a deadlock, a lock or a statement that
# took too long, a server that only reads meanwhile (a standby, or one whose disk is full), and any
# want of resources (class 53).
TRANSIENT = {"40001", "40P01", "55P03", "57014", "25006"}
TRANSIENT_CLASS = "53"


class QueueIsFull(Exception):  # noqa: N818 — an answer to the caller
    """More is queued than a caller could be asked to wait for."""


class CommitUnknown(Exception):  # noqa: N818 — an answer to the caller
    """The database stayed away; what became of the batch shows when it is asked for again."""


class _Job(Generic[Command, Answer]):
    __slots__ = ("commands", "future", "loop")

    def __init__(self, commands: Sequence[Command], loop: asyncio.AbstractEventLoop) -> None:
        self.commands = commands
        self.loop = loop
        self.future: asyncio.Future[list[Answer | Exception]] = loop.create_future()


class GroupCommitter(Generic[Command, Answer]):
    """A bounded queue and the thread that commits it."""

    def __init__(
        self,
        commit: Commit[Command, Answer],
        *,
        name: str,
        batch_max: int,
        queue_max: int,
        give_up_seconds: float = 10.0,
        observe: Observe = lambda _size, _seconds: None,
    ) -> None:
        """batch_max and queue_max count commands; observe is told each batch's size and seconds."""
        self._commit = commit
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._give_up_seconds = give_up_seconds
        self._observe = observe
        self._jobs: deque[_Job[Command, Answer]] = deque()
        self._queued = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many commands wait."""
        return self._queued

    def submit(self, commands: Sequence[Command]) -> "asyncio.Future[list[Answer | Exception]]":
        """Queue commands; they are committed in this order, whether or not the caller still waits.

        Answers one for each, or the error that is to blame on that one alone. Refuses: QueueIsFull.
        """
        job: _Job[Command, Answer] = _Job(commands, asyncio.get_running_loop())
        with self._changed:
            if self._closing or self._queued + len(commands) > self._queue_max:
                raise QueueIsFull
            self._jobs.append(job)
            self._queued += len(commands)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Commit what is queued, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._next_jobs():
            commands = [command for job in jobs for command in job.commands]
            started = time.monotonic()
            answers = self._settle(commands, deadline=started + self._give_up_seconds)
            self._observe(len(commands), time.monotonic() - started)
            self._answer(jobs, answers)

    def _next_jobs(self) -> list[_Job[Command, Answer]]:
        """The next batch, whole jobs; empty when closed and done."""
        with self._changed:
            while not self._jobs and not self._closing:
                self._changed.wait()
            jobs: list[_Job[Command, Answer]] = []
            size = 0
            while self._jobs and (
                not jobs or size + len(self._jobs[0].commands) <= self._batch_max
            ):
                jobs.append(self._jobs.popleft())
                size += len(jobs[-1].commands)
            self._queued -= size
            return jobs

    def _settle(self, commands: Sequence[Command], *, deadline: float) -> list[Answer | Exception]:
        """Commit; halve on poison; try again what may pass until the deadline (monotonic)."""
        while True:
            try:
                return list(self._commit(commands))
            except Exception as error:
                if may_pass(error):
                    if time.monotonic() > deadline:
                        log.exception("gave up committing", extra={"size": len(commands)})
                        return [CommitUnknown()] * len(commands)
                    log.warning("commit interrupted", extra={"error": type(error).__name__})
                    time.sleep(RETRY_SECONDS)
                    continue
                if len(commands) == 1:
                    log.exception("a command cannot be committed")
                    return [error]
            half = len(commands) // 2
            return [
                *self._settle(commands[:half], deadline=deadline),
                *self._settle(commands[half:], deadline=deadline),
            ]

    @staticmethod
    def _answer(
        jobs: Sequence[_Job[Command, Answer]], answers: Sequence[Answer | Exception]
    ) -> None:
        """Wake the callers, each loop once."""
        by_loop: dict[
            asyncio.AbstractEventLoop, list[tuple[_Job[Command, Answer], list[Answer | Exception]]]
        ] = {}
        start = 0
        for job in jobs:
            end = start + len(job.commands)
            by_loop.setdefault(job.loop, []).append((job, list(answers[start:end])))
            start = end
        for loop, settled in by_loop.items():
            # A loop that has ended, or ends just now, takes no answer; the others must get theirs.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_resolve, settled)


def _resolve(settled: Sequence[tuple[_Job[Command, Answer], list[Answer | Exception]]]) -> None:
    for job, answers in settled:
        # A caller that left has cancelled its future; its commands are committed all the same.
        if not job.future.done():
            job.future.set_result(answers)


def may_pass(error: Exception) -> bool:
    """Whether the same batch may go through when tried again."""
    if connection_was_lost(error):
        return True
    code = getattr(getattr(error, "orig", None), "pgcode", None) or ""
    return isinstance(error, DBAPIError) and (code in TRANSIENT or code.startswith(TRANSIENT_CLASS))
