"""Redeeming rewards: points for a voucher, wholly or not at all."""

import asyncio

import grpc
import pytest
from loyalty.rewards.v1 import catalogue_pb2, events_pb2, redemption_pb2, vouchers_pb2

from tests.service.ledger_shop import new_id
from tests.service.refusals import refused
from tests.service.rewards_desk import PRICE, Desk, once
from tests.service.tokens import Tokens

RedeemRewardResponse = redemption_pb2.RedeemRewardResponse
COMPLETED = redemption_pb2.Redemption.STATE_COMPLETED
REFUSED = redemption_pb2.Redemption.STATE_REFUSED
NOBODY = "members/00000000-0000-4000-8000-000000000000"


async def test_redeeming_takes_the_points_and_gives_a_voucher(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=250)
    answer = await desk.redeem(member, reward)
    assert answer.redemption.state == COMPLETED
    assert (answer.redemption.reward, answer.redemption.version) == (reward.name, 1)
    assert answer.redemption.points == PRICE
    assert answer.redemption.voucher == answer.voucher.name
    assert answer.voucher.state == vouchers_pb2.Voucher.STATE_ISSUED
    assert answer.voucher.code
    assert await desk.balance(member) == (150, 0)
    assert await desk.get(answer.redemption.name) == answer.redemption


async def test_a_donation_gives_no_voucher(desk: Desk) -> None:
    reward = await desk.offer(kind=catalogue_pb2.REWARD_KIND_DONATION, voucher=None)
    member = await desk.member()
    answer = await desk.redeem(member, reward)
    assert answer.redemption.state == COMPLETED
    assert not answer.HasField("voucher")
    assert not answer.redemption.voucher
    assert await desk.balance(member) == (0, 0)


async def test_the_same_request_gets_the_first_answer_and_takes_points_once(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=250)
    request = desk.request(member, reward)
    first, second = await desk.send(request), await desk.send(request)
    assert second == first
    assert await desk.balance(member) == (150, 0)


async def test_a_request_id_is_not_for_another_body(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=250)
    request = desk.request(member, reward)
    await desk.send(request)
    request.store = "31"
    assert (await refused(desk.send(request))).reason == "REQUEST_ID_REUSED"
    assert await desk.balance(member) == (150, 0)


async def test_who_cannot_pay_holds_up_nobody_beside_them(desk: Desk) -> None:
    reward = await desk.offer()
    able, unable = await desk.crowd(3), await desk.crowd(2, PRICE - 1)
    calls = [desk.redeem(member, reward) for member in (*able, *unable)]
    *given, first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, RedeemRewardResponse) for answer in given)
    for answer in (first, second):
        assert isinstance(answer, grpc.aio.AioRpcError)
        assert answer.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert [await desk.balance(member) for member in able] == [(0, 0)] * 3
    assert [await desk.balance(member) for member in unable] == [(PRICE - 1, 0)] * 2


async def test_a_refusal_is_remembered(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=PRICE - 1)
    request = desk.request(member, reward)
    first = await refused(desk.send(request))
    assert first.reason == "INSUFFICIENT_POINTS"
    await desk.shop.adjust(f"{member}/wallet", 1)
    assert await refused(desk.send(request)) == first
    assert await desk.balance(member) == (PRICE, 0)
    [refusal] = (await desk.history(member)).redemptions
    assert (refusal.state, refusal.refuse_reason) == (REFUSED, "INSUFFICIENT_POINTS")


async def test_who_has_no_wallet_gets_nothing(desk: Desk) -> None:
    refusal = await refused(desk.redeem(NOBODY, await desk.offer()))
    assert refusal.reason == "WALLET_NOT_FOUND"


async def test_what_is_not_there_or_was_not_published_is_not_had(desk: Desk) -> None:
    member = await desk.member()
    nothing = catalogue_pb2.Reward(name="rewards/null")
    assert (await refused(desk.redeem(member, nothing))).reason == "REWARD_NOT_FOUND"
    draft = await desk.draft()
    refusal = await refused(desk.redeem(member, draft))
    assert (refusal.reason, refusal.metadata) == ("REWARD_NOT_OFFERED", {"why": "not_published"})
    assert await desk.balance(member) == (PRICE, 0)


async def test_a_reward_is_had_by_whom_and_where_it_is_offered(desk: Desk) -> None:
    for_gold = await desk.offer(tiers=["gold"])
    at_tills = await desk.offer(channels=[catalogue_pb2.CHANNEL_TILL])
    at_one_store = await desk.offer(stores=["31"])
    member = await desk.member()
    assert (await refused(desk.redeem(member, for_gold))).metadata == {"why": "tier"}
    assert (await refused(desk.redeem(member, at_tills))).metadata == {"why": "channel"}
    elsewhere = desk.redeem(member, at_one_store, store="32")
    assert (await refused(elsewhere)).metadata == {"why": "store"}
    assert (await refused(desk.redeem(member, at_one_store))).reason == "STORE_NEEDED"
    assert await desk.balance(member) == (PRICE, 0)


async def test_the_price_shown_is_paid_for_a_minute(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=2 * PRICE)
    dearer = await desk.change(reward, points=PRICE + 50)
    assert dearer.published_version == 2
    assert (await desk.redeem(member, reward)).redemption.version == 1
    desk.let_pass(reward, seconds=61)
    refusal = await refused(desk.redeem(member, reward))
    assert (refusal.reason, refusal.metadata) == ("PRICE_CHANGED", {"points": "150"})
    assert await desk.balance(member) == (PRICE, 0)


async def test_an_ended_reward_is_had_for_a_minute(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=2 * PRICE)
    await desk.end(reward)
    assert (await desk.redeem(member, reward)).redemption.state == COMPLETED
    desk.let_pass(reward, seconds=61)
    refusal = await refused(desk.redeem(member, reward))
    assert (refusal.reason, refusal.metadata) == ("REWARD_NOT_OFFERED", {"why": "not_published"})
    assert await desk.balance(member) == (PRICE, 0)


@pytest.mark.parametrize(
    ("stock", "of"),
    [
        (catalogue_pb2.Stock(total=1), "total"),
        (catalogue_pb2.Stock(per_day=1), "day"),
        (catalogue_pb2.Stock(stores={"31": 1}), "store"),
    ],
)
async def test_stock_ends(desk: Desk, stock: catalogue_pb2.Stock, of: str) -> None:
    reward = await desk.offer(stock=stock)
    first, second = await desk.crowd(2)
    await desk.redeem(first, reward, store="31")
    refusal = await refused(desk.redeem(second, reward, store="31"))
    assert (refusal.reason, refusal.metadata) == ("OUT_OF_STOCK", {"of": of})
    assert await desk.balance(second) == (PRICE, 0)
    await desk.set_stock(reward)
    assert (await desk.redeem(second, reward, store="31")).redemption.state == COMPLETED


async def test_stock_lowered_below_what_is_taken_is_nothing_left(desk: Desk) -> None:
    reward = await desk.offer(stock=catalogue_pb2.Stock(total=3))
    first, second, third = await desk.crowd(3)
    bought = [await desk.redeem(member, reward) for member in (first, second)]
    await desk.set_stock(reward, total=1)
    assert (await refused(desk.redeem(third, reward))).reason == "OUT_OF_STOCK"
    await desk.cancel(bought[0].redemption)
    assert (await refused(desk.redeem(third, reward))).reason == "OUT_OF_STOCK"
    await desk.cancel(bought[1].redemption)
    assert (await desk.redeem(third, reward)).redemption.state == COMPLETED
    assert (await desk.stock_taken(reward)).total == 1


async def test_a_member_has_no_more_than_the_limit(desk: Desk) -> None:
    reward = await desk.offer(member_limits=[once(catalogue_pb2.MemberLimit.PERIOD_MONTH)])
    member = await desk.member(points=3 * PRICE)
    await desk.redeem(member, reward)
    refusal = await refused(desk.redeem(member, reward))
    assert refusal.reason == "MEMBER_LIMIT_REACHED"
    assert refusal.metadata == {"period": "month", "most": "1"}
    assert await desk.balance(member) == (2 * PRICE, 0)
    assert (await desk.redeem(await desk.member(), reward)).redemption.state == COMPLETED


async def test_codes_of_a_pool_are_given_once_and_end(desk: Desk) -> None:
    codes = [f"SPA-{new_id()}" for _ in range(2)]
    pool = await desk.pool(*codes)
    reward = await desk.offer(voucher=catalogue_pb2.VoucherDefinition(pool=pool))
    members = await desk.crowd(3)
    given = [(await desk.redeem(member, reward)).voucher.code for member in members[:2]]
    assert sorted(given) == sorted(codes)
    refusal = await refused(desk.redeem(members[2], reward))
    assert (refusal.reason, refusal.metadata) == ("OUT_OF_STOCK", {"of": "codes"})
    assert await desk.balance(members[2]) == (PRICE, 0)


async def test_what_happened_is_announced_without_the_code(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member()
    answer = await desk.redeem(member, reward)
    [event] = desk.announced(events_pb2.RewardRedeemed, member)
    assert event == events_pb2.RewardRedeemed(
        member=member,
        redemption=answer.redemption.name,
        reward=reward.name,
        version=1,
        kind=catalogue_pb2.REWARD_KIND_VOUCHER,
        points=PRICE,
        channel=catalogue_pb2.CHANNEL_APP,
        voucher=answer.voucher.name,
        burn=answer.redemption.burn,
    )


async def test_money_is_noted_besides_the_points(desk: Desk) -> None:
    reward = await desk.offer(
        kind=catalogue_pb2.REWARD_KIND_POINTS_PLUS_CASH, money_minor=499, currency_code="EUR"
    )
    redeemed = (await desk.redeem(await desk.member(), reward)).redemption
    assert (redeemed.money_minor, redeemed.currency_code) == (499, "EUR")


async def test_members_redeem_and_see_their_own_alone(desk: Desk, tokens: Tokens) -> None:
    reward, (one, other) = await desk.offer(), await desk.crowd(2)
    scopes = ("rewards.redeem.own", "redemptions.read.own")
    own = tokens.bearer(*scopes, subject=one)
    bought = await desk.send(desk.request(one, reward), own)
    assert (await refused(desk.send(desk.request(other, reward), own))).reason == "NOT_YOURS"
    foreign = tokens.bearer(*scopes, subject=other)
    name = redemption_pb2.GetRedemptionRequest(name=bought.redemption.name)
    seen = desk.redemptions.GetRedemption(name, metadata=foreign)
    assert (await refused(seen)).reason == "NOT_YOURS"
    parent = redemption_pb2.ListRedemptionsRequest(parent=one)
    listed = desk.redemptions.ListRedemptions(parent, metadata=foreign)
    assert (await refused(listed)).reason == "NOT_YOURS"
    assert await desk.balance(other) == (PRICE, 0)


async def test_a_till_redeems_for_its_own_store_alone(desk: Desk, tokens: Tokens) -> None:
    reward, member = await desk.offer(), await desk.member()
    till = tokens.bearer("rewards.redeem", stores=["31"])
    request = desk.request(member, reward, channel=catalogue_pb2.CHANNEL_TILL, store="32")
    assert (await refused(desk.send(request, till))).reason == "FOREIGN_STORE"
    request.store = "31"
    assert (await desk.send(request, till)).redemption.state == COMPLETED


async def test_redemptions_are_listed_newest_first_page_by_page(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=3 * PRICE)
    names = [(await desk.redeem(member, reward)).redemption.name for _ in range(3)]
    first = await desk.history(member, page_size=2)
    rest = await desk.history(member, page_size=2, page_token=first.next_page_token)
    listed = [each.name for each in (*first.redemptions, *rest.redemptions)]
    assert listed == names[::-1]
    assert not rest.next_page_token


async def test_a_redemption_is_found_under_its_member_alone(desk: Desk) -> None:
    bought = (await desk.redeem(await desk.member(), await desk.offer())).redemption
    _, _, _, number = bought.name.split("/")
    elsewhere = desk.get(f"{NOBODY}/redemptions/{number}")
    assert (await refused(elsewhere)).reason == "REDEMPTION_NOT_FOUND"
