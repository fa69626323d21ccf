"""Requests gathered into calls of many: each gets its own answer, whatever others get."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from services.plumbing.group_commit import QueueIsFull
from services.rewards.gathering import Gathered

DEADLINE_SECONDS = 10.0
BATCH_MAX, QUEUE_MAX = 3, 5


class Unheard(Exception):  # noqa: N818 — an answer
    """No answer."""


class Server:
    """Answers words in capitals, once it may."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.called = asyncio.Semaphore(0)
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None
        self.keeps_back = 0

    async def call(self, words: Sequence[str]) -> Sequence[str | Exception]:
        self.calls.append(list(words))
        self.called.release()
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        answers = [Unheard(word) if word == "bad" else word.upper() for word in words]
        return answers[self.keeps_back :]


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def gathered(server: Server) -> AsyncIterator[Gathered[str, str]]:
    made: Gathered[str, str] = Gathered(
        server.call,
        batch_max=BATCH_MAX,
        queue_max=QUEUE_MAX,
        patience_seconds=2 * DEADLINE_SECONDS,
    )
    yield made
    server.may_answer.set()
    await made.close()


async def asked(gathered: Gathered[str, str], *words: str) -> list[asyncio.Task[str]]:
    """Calls that are under way."""
    tasks = [asyncio.create_task(gathered.ask(word)) for word in words]
    # Each task submits, then the queue takes what there is.
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def told(*tasks: asyncio.Task[str]) -> list[str | BaseException]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_asked_during_a_call_goes_into_the_next(
    gathered: Gathered[str, str], server: Server
) -> None:
    first = await asked(gathered, "a")
    later = await asked(gathered, "b", "c", "d", "e")
    server.may_answer.set()
    assert await told(*first, *later) == ["A", "B", "C", "D", "E"]
    assert server.calls == [["a"], ["b", "c", "d"], ["e"]]


async def test_one_without_an_answer_costs_the_others_nothing(
    gathered: Gathered[str, str], server: Server
) -> None:
    server.may_answer.set()
    good, bad, other = await told(*await asked(gathered, "a", "bad", "b"))
    assert (good, other) == ("A", "B")
    assert isinstance(bad, Unheard)


async def test_a_call_that_fails_fails_all_that_are_in_it(
    gathered: Gathered[str, str], server: Server
) -> None:
    server.may_answer.set()
    server.error = Unheard()
    assert await told(*await asked(gathered, "a", "b")) == [server.error] * 2
    server.error = None
    assert await told(*await asked(gathered, "c")) == ["C"]


async def test_nobody_gets_anothers_answer_where_one_is_missing(
    gathered: Gathered[str, str], server: Server
) -> None:
    server.may_answer.set()
    server.keeps_back = 1
    found = await told(*await asked(gathered, "a", "b"))
    assert [type(each) for each in found] == [ValueError, ValueError]


async def test_who_leaves_takes_nobody_along(gathered: Gathered[str, str], server: Server) -> None:
    leaving, staying = await asked(gathered, "a", "b")
    leaving.cancel()
    server.may_answer.set()
    assert await told(staying) == ["B"]
    assert leaving.cancelled()


async def test_more_than_can_wait_are_turned_away(gathered: Gathered[str, str]) -> None:
    await asked(gathered, "a")
    *_, last = await asked(gathered, *"b" * (QUEUE_MAX + 1))
    assert isinstance((await told(last))[0], QueueIsFull)


async def test_a_slow_call_holds_up_none_after_it(server: Server) -> None:
    gathered: Gathered[str, str] = Gathered(
        server.call, batch_max=BATCH_MAX, queue_max=QUEUE_MAX, patience_seconds=0.01
    )
    slow = await asked(gathered, "a")
    late = await asked(gathered, "b")
    async with asyncio.timeout(DEADLINE_SECONDS):
        for _ in range(2):
            await server.called.acquire()
        await gathered.answered()
    assert server.calls == [["a"], ["b"]]
    assert not slow[0].done()
    server.may_answer.set()
    assert await told(*slow, *late) == ["A", "B"]
    await gathered.close()


async def test_nobody_waits_for_a_call_of_few(server: Server) -> None:
    gathered: Gathered[str, str] = Gathered(
        server.call,
        batch_max=BATCH_MAX,
        queue_max=QUEUE_MAX,
        patience_seconds=2 * DEADLINE_SECONDS,
        many=2,
    )
    few = await asked(gathered, "a")
    many = await asked(gathered, "b", "c")
    late = await asked(gathered, "d")
    assert server.calls == [["a"], ["b", "c"]]
    waiting = asyncio.create_task(gathered.answered())
    assert not (await asyncio.wait({waiting}, timeout=0.05))[0]
    server.may_answer.set()
    assert await told(*few, *many, *late) == ["A", "B", "C", "D"]
    await waiting
    await gathered.close()


async def test_answered_is_when_the_call_under_way_is(
    gathered: Gathered[str, str], server: Server
) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        await gathered.answered()
    tasks = await asked(gathered, "a")
    waiting = asyncio.create_task(gathered.answered())
    assert not (await asyncio.wait({waiting}, timeout=0.05))[0]
    server.may_answer.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await waiting
    assert await told(*tasks) == ["A"]


async def test_what_was_asked_is_answered_before_the_end(
    gathered: Gathered[str, str], server: Server
) -> None:
    tasks = await asked(gathered, "a", "b")
    closing = asyncio.create_task(gathered.close())
    server.may_answer.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await closing
    assert await told(*tasks) == ["A", "B"]
