"""Many who want the same at once: as many get it as there are."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import cycle

import grpc
from loyalty.rewards.v1 import catalogue_pb2, redemption_pb2, redemption_pb2_grpc

from services.cli.audit import run_audit
from services.plumbing.grpc_client import error_info
from tests.service.conftest import Serve
from tests.service.rewards_desk import PRICE, Desk, once

GIVEN = "given"
# So many are under way at once.
IN_FLIGHT = 64
ASKED_MAX = 20


async def test_500_members_race_for_100_pieces(desk: Desk, serve: Serve) -> None:
    reward = await desk.offer(stock=catalogue_pb2.Stock(total=100))
    members = await desk.crowd(500)
    second = await serve("rewards", **desk.settings)
    counters = cycle([desk.redemptions, redemption_pb2_grpc.RedemptionServiceStub(second.channel)])
    requests = [desk.request(member, reward) for member in members]
    outcomes = await race(desk, requests, [next(counters) for _ in requests])
    assert Counter(outcomes) == {GIVEN: 100, "OUT_OF_STOCK": 400}
    assert (await desk.stock_taken(reward)).total == 100
    for member, outcome in zip(members, outcomes, strict=True):
        assert await desk.balance(member) == (0 if outcome == GIVEN else PRICE, 0)
        assert len(await desk.usable_vouchers(member)) == (outcome == GIVEN)
    assert run_audit(desk.shop.database_url).ok


async def test_one_member_64_times_at_once_has_no_more_than_the_limit(desk: Desk) -> None:
    reward = await desk.offer(member_limits=[once()])
    member = await desk.member(points=64 * PRICE)
    requests = [desk.request(member, reward) for _ in range(64)]
    outcomes = await race(desk, requests, [desk.redemptions] * 64)
    assert Counter(outcomes) == {GIVEN: 1, "MEMBER_LIMIT_REACHED": 63}
    assert await desk.balance(member) == (63 * PRICE, 0)
    assert len(await desk.usable_vouchers(member)) == 1
    assert run_audit(desk.shop.database_url).ok


async def test_one_request_64_times_at_once_is_one_redemption(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=64 * PRICE)
    request = desk.request(member, reward)
    outcomes = await race(desk, [request] * 64, [desk.redemptions] * 64)
    assert Counter(outcomes) == {GIVEN: 64}
    assert await desk.balance(member) == (63 * PRICE, 0)
    assert len((await desk.history(member)).redemptions) == 1


async def test_members_race_for_the_codes_of_a_pool(desk: Desk) -> None:
    pool = await desk.pool(*(f"RACE-{number:04d}-{id(desk)}" for number in range(10)))
    reward = await desk.offer(voucher=catalogue_pb2.VoucherDefinition(pool=pool))
    members = await desk.crowd(30)
    requests = [desk.request(member, reward) for member in members]
    outcomes = await race(desk, requests, [desk.redemptions] * 30)
    assert Counter(outcomes) == {GIVEN: 10, "OUT_OF_STOCK": 20}
    held = [await desk.balance(member) for member in members]
    assert sorted(held) == [(0, 0)] * 10 + [(PRICE, 0)] * 20


async def race(
    desk: Desk,
    requests: Sequence[redemption_pb2.RedeemRewardRequest],
    counters: Sequence["redemption_pb2_grpc.RedemptionServiceAsyncStub"],
) -> list[str]:
    """What each comes to, where as many as may be are under way at once."""
    flying = asyncio.Semaphore(IN_FLIGHT)

    async def ask(
        request: redemption_pb2.RedeemRewardRequest,
        counter: "redemption_pb2_grpc.RedemptionServiceAsyncStub",
    ) -> str:
        async with flying:
            # A slow machine may have one asked again what is under way.
            for _ in range(ASKED_MAX):
                try:
                    await counter.RedeemReward(request, metadata=desk.everything)
                except grpc.aio.AioRpcError as error:
                    info = error_info(error)
                    if info is not None and error.code() is not grpc.StatusCode.UNAVAILABLE:
                        return str(info.reason)
                else:
                    return GIVEN
            raise AssertionError("how it ended was not told")

    return await asyncio.gather(*map(ask, requests, counters))
