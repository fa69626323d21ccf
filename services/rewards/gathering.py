"""Requests to another server that go together, in one call of many."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from services.plumbing.group_commit import GroupCommitter

# Long enough for who was answered just now to ask for the next.
SOON_SECONDS = 0.002

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Gathered(Generic[Request, Answer]):
    """Whatever is asked while a call of many is under way goes into the next. Used from one event
    loop.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]],
        *,
        batch_max: int,
        queue_max: int,
        patience_seconds: float,
        many: int = 1,
    ) -> None:
        """call answers each request, or why that one alone has no answer.

        The next call begins at once beside one of fewer than so many requests, and after
        patience_seconds beside one that takes longer.
        """
        self._call = call
        self._patience_seconds = patience_seconds
        self._many = many
        self._under_way: set[asyncio.Task[None]] = set()
        # Those of them for which others have patience.
        self._recent: set[asyncio.Task[None]] = set()
        self._queue: GroupCommitter[_Asked[Request, Answer], None] = GroupCommitter(
            self._begin, batch_max=batch_max, queue_max=queue_max
        )

    async def ask(self, request: Request) -> Answer:
        """Refuses: QueueIsFull, and why there is no answer."""
        asked: _Asked[Request, Answer] = _Asked(request)
        self._queue.submit([asked])
        return await asked.answer

    async def answered(self) -> None:
        """Ends when the calls are answered that are under way, or about to be; those that take
        longer than others have patience are not waited for.
        """
        await asyncio.sleep(SOON_SECONDS)
        if self._recent:
            await asyncio.wait(self._recent, timeout=self._patience_seconds)

    async def close(self) -> None:
        """Ask what is queued, then end."""
        await self._queue.close()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _begin(self, asked: "Sequence[_Asked[Request, Answer]]") -> Sequence[None]:
        task = asyncio.create_task(self._ask_all(asked))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        self._recent.add(task)
        task.add_done_callback(self._recent.discard)
        loop = asyncio.get_running_loop()
        loop.call_later(self._patience_seconds, self._recent.discard, task)
        if len(asked) >= self._many:
            await asyncio.wait({task}, timeout=self._patience_seconds)
        return [None] * len(asked)

    async def _ask_all(self, asked: "Sequence[_Asked[Request, Answer]]") -> None:
        settled: list[tuple[_Asked[Request, Answer], Answer | Exception]]
        try:
            answers = await self._call([each.request for each in asked])
            settled = list(zip(asked, answers, strict=True))
        except Exception as error:  # noqa: BLE001 — every caller is told, whatever it was
            settled = [(each, error) for each in asked]
        for each, answer in settled:
            each.settle(answer)


class _Asked(Generic[Request, Answer]):
    __slots__ = ("answer", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def settle(self, answer: Answer | Exception) -> None:
        # A caller that left has cancelled it.
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)
