"""A server killed at every step of a redemption: what it left behind ends complete or undone."""

import asyncio
import time
from dataclasses import dataclass

import grpc
import pytest
from loyalty.rewards.v1 import catalogue_pb2, redemption_pb2, redemption_pb2_grpc

from services.cli.audit import run_audit
from services.plumbing.grpc_client import aio_channel
from services.rewards import recoverer
from services.rewards.domain.saga import Step
from tests.service.conftest import Serve
from tests.service.dying_rewards import Death, Moment, deaths, fork
from tests.service.refusals import refused
from tests.service.rewards_desk import PRICE, Desk
from tests.service.tokens import Tokens

# The promise is that everything is settled so soon after a server is back.
SETTLED_SECONDS_MAX = 30.0
POLL_SECONDS = 0.1
NEVER_SECONDS = 3_600.0
State = redemption_pb2.Redemption.State

# How a redemption ends, by the step at which its server was killed. What is not on record was never
# begun; what goes back for want of stock is refused for that, unless nobody had noted it yet.
ABSENT, COMPLETED, CANCELLED = "absent", "completed", "cancelled"
INTERRUPTED, OUT_OF_STOCK = "REDEMPTION_INTERRUPTED", "OUT_OF_STOCK"
ENDS = {
    Death(Step.HOLDING, Moment.WRITTEN): ABSENT,
    Death(Step.HOLDING, Moment.ASKING): INTERRUPTED,
    Death(Step.HOLDING, Moment.ANSWERED): INTERRUPTED,
    Death(Step.CAPTURING, Moment.WRITTEN): INTERRUPTED,
    Death(Step.CAPTURING, Moment.ASKING): COMPLETED,
    Death(Step.CAPTURING, Moment.ANSWERED): COMPLETED,
    Death(Step.COMPLETED, Moment.WRITTEN): COMPLETED,
    Death(Step.COMPLETED, Moment.RECORDED): COMPLETED,
    Death(Step.RELEASING, Moment.WRITTEN): INTERRUPTED,
    Death(Step.RELEASING, Moment.ASKING): OUT_OF_STOCK,
    Death(Step.RELEASING, Moment.ANSWERED): OUT_OF_STOCK,
    Death(Step.REFUSED, Moment.WRITTEN): OUT_OF_STOCK,
    Death(Step.REFUSED, Moment.RECORDED): OUT_OF_STOCK,
    Death(Step.CANCELLING, Moment.WRITTEN): COMPLETED,
    Death(Step.CANCELLING, Moment.ASKING): CANCELLED,
    Death(Step.CANCELLING, Moment.ANSWERED): CANCELLED,
    Death(Step.CANCELLED, Moment.WRITTEN): CANCELLED,
    Death(Step.CANCELLED, Moment.RECORDED): CANCELLED,
}
GOING_BACK = (Step.RELEASING, Step.REFUSED)


@dataclass(frozen=True, slots=True)
class Left:
    """What a killed server was asked for."""

    member: str
    reward: catalogue_pb2.Reward
    request: redemption_pb2.RedeemRewardRequest


async def test_killed_at_every_step_it_ends_complete_or_undone(
    desk: Desk, serve: Serve, tokens: Tokens
) -> None:
    assert ENDS.keys() == set(deaths())
    with pytest.MonkeyPatch.context() as patching:
        # Nobody sees to what is left behind before a server is back.
        patching.setattr(recoverer, "EVERY_SECONDS", NEVER_SECONDS)
        left = {death: await _ask(desk, death) for death in deaths()}
        await asyncio.gather(*(_die(desk, death, each, tokens) for death, each in left.items()))
    started = time.monotonic()
    await serve("rewards", **desk.settings)
    found = {death: await _end(desk, each, started) for death, each in left.items()}
    assert found == ENDS
    for death, each in left.items():
        await _prove(desk, each, ENDS[death])
    assert run_audit(desk.shop.database_url).ok


async def _ask(desk: Desk, death: Death) -> Left:
    """What a member will ask of a server that dies so."""
    pieces = 0 if death.step in GOING_BACK else 1
    reward = await desk.offer(stock=catalogue_pb2.Stock(total=pieces))
    member = await desk.member()
    return Left(member, reward, desk.request(member, reward))


async def _die(desk: Desk, death: Death, left: Left, tokens: Tokens) -> None:
    """Have a server killed while it does what a member asks for."""
    settings = {**desk.settings, "grpc_address": "127.0.0.1:0", "metrics_port": 0}
    process, connection = fork(death, tokens.settings, settings)
    port = await asyncio.to_thread(connection.recv)
    # As many servers start at once as there are deaths.
    async with aio_channel(f"127.0.0.1:{port}", seconds_max=SETTLED_SECONDS_MAX) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _redeem_and_cancel(desk, left.request, channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, death
    await asyncio.to_thread(process.join)


async def _redeem_and_cancel(
    desk: Desk, request: redemption_pb2.RedeemRewardRequest, channel: grpc.aio.Channel
) -> None:
    dying = redemption_pb2_grpc.RedemptionServiceStub(channel)
    bought = await dying.RedeemReward(request, metadata=desk.everything)
    cancelling = redemption_pb2.CancelRedemptionRequest(
        name=bought.redemption.name, reason="bought by mistake"
    )
    await dying.CancelRedemption(cancelling, metadata=desk.everything)


async def _end(desk: Desk, left: Left, started: float) -> str:
    """How it ends, as soon as it has ended."""
    while True:
        found = (await desk.history(left.member)).redemptions
        if not found:
            return ABSENT
        if _has_ended(found[0]):
            return found[0].refuse_reason or State.Name(found[0].state)[6:].lower()
        assert time.monotonic() - started < SETTLED_SECONDS_MAX, found
        await asyncio.sleep(POLL_SECONDS)


def _has_ended(redemption: redemption_pb2.Redemption) -> bool:
    if redemption.state == State.Value("STATE_CANCELLED"):
        return redemption.HasField("cancel_time")
    return redemption.state != State.Value("STATE_PENDING")


async def _prove(desk: Desk, left: Left, end: str) -> None:
    """Points and stock are exact, and the request asked again is answered so."""
    complete = end == COMPLETED
    assert await desk.balance(left.member) == (0 if complete else PRICE, 0)
    assert (await desk.stock_taken(left.reward)).total == int(complete)
    if end in (INTERRUPTED, OUT_OF_STOCK):
        assert (await refused(desk.send(left.request))).reason == end
        assert not await desk.usable_vouchers(left.member)
        return
    answer = await desk.send(left.request)
    usable = [answer.voucher.name] if end != CANCELLED else []
    assert await desk.usable_vouchers(left.member) == usable
