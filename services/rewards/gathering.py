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
    """Whatever is asked while a call is under way goes into the next. Used from one event loop."""

    def __init__(
        self,
        call: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]],
        *,
        batch_max: int,
        queue_max: int,
        patience_seconds: float,
    ) -> None:
        """call answers each request, or why that one alone has no answer.

        After patience_seconds the next call begins beside one that takes longer.
        """
        self._call = call
        self._patience_seconds = patience_seconds
        self._under_way: set[asyncio.Task[None]] = set()
        # Whether the next call would wait for none.
        self._free = asyncio.Event()
        self._free.set()
        self._queue: GroupCommitter[_Asked[Request, Answer], None] = GroupCommitter(
            self._begin, batch_max=batch_max, queue_max=queue_max
        )

    async def ask(self, request: Request) -> Answer:
        """Refuses: QueueIsFull, and why there is no answer."""
        asked: _Asked[Request, Answer] = _Asked(request)
        self._queue.submit([asked])
        return await asked.answer

    async def answered(self) -> None:
        """Ends when the call is answered that is under way, or about to be; one that takes longer
        than others have patience is not waited for.
        """
        await asyncio.sleep(SOON_SECONDS)
        await self._free.wait()

    async def close(self) -> None:
        """Ask what is queued, then end."""
        await self._queue.close()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _begin(self, asked: "Sequence[_Asked[Request, Answer]]") -> Sequence[None]:
        task = asyncio.create_task(self._ask_all(asked))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        self._free.clear()
        await asyncio.wait({task}, timeout=self._patience_seconds)
        self._free.set()
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
