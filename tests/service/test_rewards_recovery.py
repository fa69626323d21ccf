"""Answers of the ledger that were lost, and callers who left: what becomes of redemptions then."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from loyalty.rewards.v1 import catalogue_pb2, redemption_pb2

from services.rewards import clients
from services.rewards.clients import LedgerPoints
from services.rewards.domain.refusals import LedgerDown
from tests.service.ledger_shop import eventually
from tests.service.refusals import refused
from tests.service.rewards_desk import PRICE, Desk

Call = Callable[..., Awaitable[Any]]
State = redemption_pb2.Redemption.State
ONE_PIECE = catalogue_pb2.Stock(total=1)


@contextmanager
def losing(method: str) -> Iterator[None]:
    """The ledger does what a call asks for, but nobody hears its answers."""
    call: Call = getattr(LedgerPoints, method)

    async def lost(*arguments: Any) -> None:
        await call(*arguments)
        raise LedgerDown

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(LedgerPoints, method, lost)
        yield


async def ended(desk: Desk, member: str) -> redemption_pb2.Redemption:
    """A member's only redemption, when it has come to its end."""

    async def has_ended() -> bool:
        [found] = (await desk.history(member)).redemptions
        return found.state != State.Value("STATE_PENDING")

    await eventually(has_ended, what="the end of a redemption")
    return (await desk.history(member)).redemptions[0]


async def test_where_no_points_were_captured_it_is_undone(desk: Desk) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    request = desk.request(member, reward)
    with losing("hold"):
        assert (await refused(desk.send(request))).reason == "LEDGER_DOWN"
    assert await desk.balance(member) == (0, PRICE)
    desk.let_leases_end(member)
    undone = await ended(desk, member)
    assert undone.refuse_reason == "REDEMPTION_INTERRUPTED"
    assert await desk.balance(member) == (PRICE, 0)
    assert (await desk.stock_taken(reward)).total == 0
    assert (await refused(desk.send(request))).reason == "REDEMPTION_INTERRUPTED"
    assert (await desk.redeem(member, reward)).voucher.code


async def test_where_points_may_be_captured_it_is_completed(desk: Desk) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    request = desk.request(member, reward)
    with losing("capture"):
        assert (await refused(desk.send(request))).reason == "LEDGER_DOWN"
    desk.let_leases_end(member)
    completed = await ended(desk, member)
    assert completed.state == State.Value("STATE_COMPLETED")
    assert await desk.balance(member) == (0, 0)
    assert (await desk.stock_taken(reward)).total == 1
    answer = await desk.send(request)
    assert answer.redemption == completed
    assert answer.voucher.name == completed.voucher


async def test_who_asks_again_has_it_go_on(desk: Desk) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    request = desk.request(member, reward)
    with losing("hold"):
        assert (await refused(desk.send(request))).reason == "LEDGER_DOWN"
    assert (await desk.send(request)).voucher.code
    assert await desk.balance(member) == (0, 0)


async def test_a_release_that_nobody_heard_of_is_asked_again(desk: Desk) -> None:
    reward, member = await desk.offer(catalogue_pb2.Stock(total=0)), await desk.member()
    with losing("release"):
        assert (await refused(desk.redeem(member, reward))).reason == "LEDGER_DOWN"
    desk.let_leases_end(member)
    assert (await ended(desk, member)).refuse_reason == "OUT_OF_STOCK"
    assert await desk.balance(member) == (PRICE, 0)


async def test_a_hold_that_expired_undoes_the_redemption(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    capture: Call = LedgerPoints.capture

    async def late(*arguments: Any) -> Any:
        await asyncio.sleep(1.2)
        return await capture(*arguments)

    monkeypatch.setattr(clients, "HOLD_LIFE_SECONDS", 1)
    monkeypatch.setattr(LedgerPoints, "capture", late)
    assert (await refused(desk.redeem(member, reward))).reason == "HOLD_EXPIRED"
    assert await desk.balance(member) == (PRICE, 0)
    assert (await desk.stock_taken(reward)).total == 0


async def test_who_leaves_gets_it_all_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    reward, member = await desk.offer(ONE_PIECE), await desk.member()
    hold: Call = LedgerPoints.hold
    asked, left = asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        asked.set()
        await left.wait()
        return await hold(*arguments)

    monkeypatch.setattr(LedgerPoints, "hold", slow)
    call = asyncio.create_task(desk.redeem(member, reward))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    left.set()
    assert (await ended(desk, member)).state == State.Value("STATE_COMPLETED")
    assert await desk.balance(member) == (0, 0)
