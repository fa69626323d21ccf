"""Work that a server repeats: a failed round is not the last, a full one is followed at once."""

import asyncio

from services.plumbing.repeating import Repeating


async def test_a_round_that_fails_is_followed_by_the_next() -> None:
    happened: list[str] = []
    ended = asyncio.Event()

    async def work() -> int:
        if not happened:
            happened.append("failed")
            raise ValueError("the first time")
        happened.append("worked")
        ended.set()
        return 0

    repeating = Repeating("test", work, every_seconds=0.001, full=10)
    await asyncio.wait_for(ended.wait(), 10)
    await repeating.close()
    assert happened[:2] == ["failed", "worked"]


async def test_a_full_round_is_followed_at_once_and_another_after_a_pause() -> None:
    rounds = iter([3, 3, 2])
    found: list[int] = []
    third = asyncio.Event()

    async def work() -> int:
        found.append(next(rounds))
        if len(found) == 3:
            third.set()
        return found[-1]

    loop = asyncio.get_running_loop()
    begun = loop.time()
    repeating = Repeating("test", work, every_seconds=0.2, full=3)
    await asyncio.wait_for(third.wait(), 10)
    # One pause, before the first round; the loop counts whole milliseconds.
    assert round(loop.time() - begun, 3) >= 0.2
    assert found == [3, 3, 2]
    await repeating.close()
    assert next(rounds, None) is None
    assert found == [3, 3, 2]


async def test_nothing_is_done_after_the_close() -> None:
    found: list[int] = []

    async def work() -> int:
        found.append(1)
        return 0

    repeating = Repeating("test", work, every_seconds=60, full=1)
    await repeating.close()
    assert found == []
