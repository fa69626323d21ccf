"""A till takes back the use of a voucher whose sale was voided."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from loyalty.rewards.v1 import catalogue_pb2, events_pb2, vouchers_pb2

from tests.service.contents import contents
from tests.service.refusals import refused
from tests.service.rewards_calls import Rewards, new_id

ISSUED = vouchers_pb2.Voucher.STATE_ISSUED
REDEEMED = vouchers_pb2.Voucher.STATE_REDEEMED


def gift() -> catalogue_pb2.VoucherDefinition:
    return catalogue_pb2.VoucherDefinition(
        generated=catalogue_pb2.GeneratedCode(),
        value_minor=1_000,
        currency_code="CHF",
        partial_use=True,
    )


async def undo(
    rewards: Rewards, used: vouchers_pb2.RedeemVoucherRequest, **fields: Any
) -> vouchers_pb2.UndoVoucherRedemptionResponse:
    """As the till does that used a voucher, unless fields differ."""
    usual = {
        "redeem_request_id": used.request_id,
        "store": used.store,
        "receipt_number": used.receipt_number,
    }
    request = vouchers_pb2.UndoVoucherRedemptionRequest(**{**usual, **fields})
    return await rewards.vouchers.UndoVoucherRedemption(request, metadata=rewards.everything)


async def use(rewards: Rewards, request: vouchers_pb2.RedeemVoucherRequest) -> None:
    await rewards.vouchers.RedeemVoucher(request, metadata=rewards.everything)


def kinds(rewards: Rewards) -> list[str]:
    return [event.type.rpartition(".")[2] for event in rewards.events()]


async def test_a_voucher_is_as_it_was_before_a_use_that_is_taken_back(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    used = rewards.use_request(voucher)
    await use(rewards, used)
    undone = await undo(rewards, used)
    assert (undone.voucher.state, undone.amount_minor) == (ISSUED, 0)
    assert await rewards.voucher(voucher.name) == voucher
    # Under a request of its own it is used again, and once.
    await rewards.use(voucher)
    assert (await refused(rewards.use(voucher))).reason == "VOUCHER_REDEEMED"


async def test_it_comes_back_once_however_often_a_till_asks(rewards: Rewards) -> None:
    await rewards.offer(voucher=gift())
    (voucher,) = await rewards.issued()
    used = rewards.use_request(voucher, amount_minor=300)
    await use(rewards, used)
    answers = await asyncio.gather(*(undo(rewards, used) for _ in range(8)))
    assert {answer.voucher.balance_minor for answer in answers} == {1_000}
    assert {answer.amount_minor for answer in answers} == {300}
    assert kinds(rewards).count("VoucherRedemptionUndone") == 1
    [told] = [each for each in rewards.events() if each.type.endswith("VoucherRedemptionUndone")]
    event = events_pb2.VoucherRedemptionUndone.FromString(told.data)
    assert (event.voucher, event.amount_minor, event.balance_minor) == (voucher.name, 300, 1_000)


async def test_one_of_several_uses_leaves_the_others(rewards: Rewards) -> None:
    await rewards.offer(voucher=gift())
    (voucher,) = await rewards.issued()
    first = rewards.use_request(voucher, amount_minor=300)
    second = rewards.use_request(voucher, amount_minor=700)
    await use(rewards, first)
    await use(rewards, second)
    last_use = (await rewards.voucher(voucher.name)).redeem_time
    undone = (await undo(rewards, first)).voucher
    assert (undone.state, undone.balance_minor, undone.redeem_time) == (ISSUED, 300, last_use)
    assert (await undo(rewards, second)).voucher.balance_minor == 1_000


async def test_a_use_that_was_taken_back_is_not_answered_again(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    used = rewards.use_request(voucher)
    await use(rewards, used)
    await undo(rewards, used)
    before = contents(rewards.database_url)
    assert (await refused(use(rewards, used))).reason == "VOUCHER_USE_UNDONE"
    assert contents(rewards.database_url) == before


@pytest.mark.parametrize(
    "fields",
    [{"redeem_request_id": new_id()}, {"store": "32"}, {"receipt_number": "R-2"}],
    ids=["request", "store", "receipt"],
)
async def test_nobody_takes_back_what_they_did_not_use(
    rewards: Rewards, fields: dict[str, str]
) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    used = rewards.use_request(voucher)
    await use(rewards, used)
    before = contents(rewards.database_url)
    refusal = await refused(undo(rewards, used, **fields))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "VOUCHER_USE_NOT_FOUND")
    assert contents(rewards.database_url) == before


async def test_a_till_takes_back_for_its_own_store_alone(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    used = rewards.use_request(voucher)
    await use(rewards, used)
    request = vouchers_pb2.UndoVoucherRedemptionRequest(
        redeem_request_id=used.request_id, store=used.store, receipt_number=used.receipt_number
    )
    other = rewards.tokens.bearer("vouchers.redeem", stores=["32"])
    refusal = await refused(rewards.vouchers.UndoVoucherRedemption(request, metadata=other))
    assert refusal.reason == "FOREIGN_STORE"
    assert (await rewards.voucher(voucher.name)).state == REDEEMED


async def test_after_a_day_a_use_stays(rewards: Rewards) -> None:
    await rewards.offer()
    (voucher,) = await rewards.issued()
    early, late = rewards.use_request(voucher), timedelta(hours=24, seconds=1)
    await use(rewards, early)
    with rewards.connection() as connection:
        connection.exec_driver_sql(
            "UPDATE voucher_uses SET create_time = create_time - %s", (late,)
        )
    before = contents(rewards.database_url)
    refusal = await refused(undo(rewards, early))
    assert refusal.reason == "VOUCHER_USE_TOO_OLD"
    assert datetime.fromisoformat(refusal.metadata["until"]) < datetime.now(UTC)
    assert contents(rewards.database_url) == before


async def test_what_was_revoked_meanwhile_stays_revoked(rewards: Rewards) -> None:
    await rewards.offer(voucher=gift())
    (voucher,) = await rewards.issued()
    used = rewards.use_request(voucher, amount_minor=300)
    await use(rewards, used)
    await rewards.revoke(voucher)
    before = contents(rewards.database_url)
    assert (await refused(undo(rewards, used))).reason == "VOUCHER_REVOKED"
    assert contents(rewards.database_url) == before
