"""A child process that answers: one request at a time, started anew when it ended."""

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from services.plumbing.work_process import WorkerLost, WorkProcess
from tests.unit.echoing_worker import BUSY_UNTIL, END, NUMBER

MODULE = "tests.unit.echoing_worker"


async def test_a_child_answers_in_the_order_it_is_asked() -> None:
    worker = WorkProcess(MODULE, b"<")
    answers = await asyncio.gather(*(worker.ask(str(number).encode()) for number in range(20)))
    assert answers == [f"<{number}".encode() for number in range(20)]
    await worker.close()


async def test_a_child_has_a_session_of_its_own() -> None:
    worker = WorkProcess(MODULE, b"<")
    number = int(await worker.ask(NUMBER))
    assert os.getsid(number) == number
    await worker.close()


async def test_nobody_waits_for_what_a_child_does_afterwards(tmp_path: Path) -> None:
    worker = WorkProcess(MODULE, b"<")
    there = tmp_path / "there"
    request = BUSY_UNTIL + str(there).encode()
    assert await worker.ask(request) == b"<" + request
    after = asyncio.create_task(worker.ask(b"a"))
    there.touch()
    assert await after == b"<a"
    await worker.close()


async def test_a_message_may_be_empty_or_larger_than_any_buffer() -> None:
    worker = WorkProcess(MODULE, b"")
    assert await worker.ask(b"") == b""
    large = os.urandom(9_000_000)
    assert await worker.ask(large) == large
    await worker.close()


async def test_a_child_that_ended_is_told_of_and_started_anew() -> None:
    worker = WorkProcess(MODULE, b"<")
    first = await worker.ask(NUMBER)
    with pytest.raises(WorkerLost):
        await worker.ask(END)
    second = await worker.ask(NUMBER)
    assert first != second
    assert await worker.ask(b"a") == b"<a"
    await worker.close()


async def test_a_child_that_was_killed_is_started_anew() -> None:
    worker = WorkProcess(MODULE, b"<")
    os.kill(int(await worker.ask(NUMBER)), signal.SIGKILL)
    # A request may have gone out before its end is noticed; none is answered after it.
    with pytest.raises(WorkerLost):
        await worker.ask(b"still there?")
    assert await worker.ask(b"a") == b"<a"
    await worker.close()


async def test_who_leaves_takes_nobody_else_s_answer_along() -> None:
    worker = WorkProcess(MODULE, b"<")
    await worker.start()
    leaving, staying = (asyncio.create_task(worker.ask(each)) for each in (b"a", b"b"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"<b"
    assert leaving.cancelled()
    await worker.close()


async def test_what_is_under_way_is_answered_before_the_end() -> None:
    worker = WorkProcess(MODULE, b"<")
    await worker.start()
    large = os.urandom(1_000_000)
    asked = [asyncio.create_task(worker.ask(each)) for each in (large, b"b")]
    await asyncio.sleep(0)
    await worker.close()
    assert await asyncio.gather(*asked) == [b"<" + large, b"<b"]


async def test_a_child_ends_when_its_parent_closes_it() -> None:
    worker = WorkProcess(MODULE, b"<")
    child = psutil.Process(int(await worker.ask(NUMBER)))
    await worker.close()
    assert not child.is_running()
    await worker.close()


async def test_a_child_that_cannot_start_is_lost() -> None:
    with pytest.raises(WorkerLost):
        await WorkProcess("tests.unit.no_such_worker", b"").start()
