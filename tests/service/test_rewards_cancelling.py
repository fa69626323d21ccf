"""Redemptions taken back: points into their lots, the piece into stock, the voucher worthless."""

import pytest
from loyalty.rewards.v1 import catalogue_pb2, events_pb2, redemption_pb2, vouchers_pb2

from services.cli.audit import run_audit
from services.rewards.clients import LedgerPoints
from services.rewards.domain.refusals import LedgerDown
from tests.service.ledger_shop import eventually
from tests.service.refusals import refused
from tests.service.rewards_desk import PRICE, Desk, once

CANCELLED = redemption_pb2.Redemption.STATE_CANCELLED


async def test_cancelling_gives_everything_back(desk: Desk) -> None:
    reward = await desk.offer(catalogue_pb2.Stock(total=1, per_day=1), member_limits=[once()])
    member = await desk.member(points=250)
    lots = await desk.lots(member)
    bought = await desk.redeem(member, reward)
    cancelled = await desk.cancel(bought.redemption)
    assert (cancelled.state, cancelled.cancel_reason) == (CANCELLED, "bought by mistake")
    assert cancelled.HasField("cancel_time")
    assert await desk.balance(member) == (250, 0)
    assert await desk.lots(member) == lots
    taken = await desk.stock_taken(reward)
    assert (taken.total, taken.today) == (0, 0)
    revoked = await desk.voucher(bought.voucher.name)
    assert revoked.state == vouchers_pb2.Voucher.STATE_REVOKED
    assert (await desk.redeem(member, reward)).redemption.voucher
    assert run_audit(desk.shop.database_url).ok


async def test_what_is_cancelled_is_answered_as_it_is(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member()
    bought = (await desk.redeem(member, reward)).redemption
    cancelled = await desk.cancel(bought)
    assert await desk.cancel(bought) == cancelled
    assert await desk.balance(member) == (PRICE, 0)
    [event] = desk.announced(events_pb2.RedemptionCancelled, member)
    assert event == events_pb2.RedemptionCancelled(
        member=member, redemption=bought.name, reward=reward.name, version=1, points=PRICE
    )
    assert len(desk.announced(events_pb2.VoucherRevoked, member)) == 1


async def test_what_was_used_is_not_cancelled(desk: Desk) -> None:
    reward, member = await desk.offer(catalogue_pb2.Stock(total=1)), await desk.member()
    bought = await desk.redeem(member, reward)
    await desk.use(bought.voucher)
    assert (await refused(desk.cancel(bought.redemption))).reason == "VOUCHER_REDEEMED"
    assert await desk.get(bought.redemption.name) == bought.redemption
    assert await desk.balance(member) == (0, 0)
    assert (await desk.stock_taken(reward)).total == 1


async def test_what_was_refused_is_not_cancelled(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=1)
    await refused(desk.redeem(member, reward))
    [refusal] = (await desk.history(member)).redemptions
    assert (await refused(desk.cancel(refusal))).reason == "REDEMPTION_NOT_COMPLETED"
    assert await desk.balance(member) == (1, 0)


async def test_points_follow_when_the_ledger_is_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward, member = await desk.offer(), await desk.member()
    bought = (await desk.redeem(member, reward)).redemption

    async def away(*_arguments: object) -> None:
        raise LedgerDown

    with monkeypatch.context() as patching:
        patching.setattr(LedgerPoints, "refund", away)
        assert (await refused(desk.cancel(bought))).reason == "LEDGER_DOWN"
    found = await desk.get(bought.name)
    assert (found.state, found.HasField("cancel_time")) == (CANCELLED, False)
    desk.let_leases_end(member)

    async def is_refunded() -> bool:
        return (await desk.get(bought.name)).HasField("cancel_time")

    await eventually(is_refunded, what="a refund")
    assert await desk.balance(member) == (PRICE, 0)
