"""Members who turn out to be one person: what they have of rewards, and what they may have."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest
from loyalty.rewards.v1 import catalogue_pb2, redemption_pb2, vouchers_pb2

from services.rewards.clients import LedgerPoints
from services.rewards.domain.saga import Call
from tests.service.ledger_members import new_member
from tests.service.ledger_together import told_together
from tests.service.refusals import refused
from tests.service.rewards_desk import PRICE, Desk, once
from tests.service.rewards_reacting import (
    changed,
    heard,
    merged,
    new_merge,
    parted,
    published_rules,
)
from tests.service.tokens import Tokens

Ask = Callable[..., Awaitable[Any]]
State = redemption_pb2.Redemption.State
ONE_PIECE = catalogue_pb2.Stock(total=1)


def merge(desk: Desk, source: str, target: str) -> str:
    """The name of the merge."""
    name = new_merge()
    heard(desk.database_url, merged(source, target, name))
    return name


def merge_everywhere(desk: Desk, source: str, target: str) -> None:
    """The ledger hears of it as well, and first."""
    with told_together(desk.shop.database_url) as ledger:
        name = ledger.merged(source, target)
    heard(desk.database_url, merged(source, target, name))


def part(desk: Desk, name: str, source: str, target: str) -> None:
    heard(desk.database_url, parted(source, target, name))


async def shown(desk: Desk, member: str) -> dict[str, catalogue_pb2.OfferedReward]:
    request = catalogue_pb2.ListRewardsRequest(member=member, page_size=500)
    answer = await desk.marketing.ListRewards(request, metadata=desk.everything)
    return {each.reward: each for each in answer.rewards}


async def test_a_target_sees_what_those_merged_into_them_have(desk: Desk) -> None:
    reward = await desk.offer()
    source, target, last = await desk.crowd(3)
    theirs, own = await desk.redeem(source, reward), await desk.redeem(target, reward)
    first = merge(desk, source, target)
    second = merge(desk, target, last)
    assert await desk.usable_vouchers(last) == [own.voucher.name, theirs.voucher.name]
    names = [each.name for each in (await desk.history(last)).redemptions]
    assert names == [own.redemption.name, theirs.redemption.name]
    page = await desk.history(last, page_size=1)
    rest = await desk.history(last, page_size=1, page_token=page.next_page_token)
    assert [rest.redemptions[0].name, rest.next_page_token] == [theirs.redemption.name, ""]
    # Each keeps its own name.
    assert (await desk.voucher(theirs.voucher.name)).name == theirs.voucher.name
    part(desk, second, target, last)
    assert await desk.usable_vouchers(last) == []
    assert await desk.usable_vouchers(target) == [own.voucher.name, theirs.voucher.name]
    part(desk, first, source, target)
    assert await desk.usable_vouchers(source) == [theirs.voucher.name]
    assert await desk.usable_vouchers(target) == [own.voucher.name]


async def test_who_asks_by_a_merged_name_is_told_the_other_and_nothing_is_held(desk: Desk) -> None:
    reward = await desk.offer(ONE_PIECE)
    source, target = await desk.crowd(2)
    name = merge(desk, source, target)
    recommending = redemption_pb2.ListRecommendationsRequest(member=source)
    for call in (
        desk.redeem(source, reward),
        desk.usable_vouchers(source),
        desk.history(source),
        shown(desk, source),
        desk.redemptions.ListRecommendations(recommending, metadata=desk.everything),
    ):
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata) == ("MEMBER_MERGED", {"into": target})
    assert await desk.balance(source) == (PRICE, 0)
    assert (await desk.stock_taken(reward)).total == 0
    part(desk, name, source, target)
    assert (await desk.redeem(source, reward)).voucher.code


async def test_a_redemption_is_answered_again_after_its_member_was_merged(desk: Desk) -> None:
    reward = await desk.offer()
    source, target = await desk.crowd(2)
    request = desk.request(source, reward)
    answer = await desk.send(request)
    merge(desk, source, target)
    assert await desk.send(request) == answer


async def test_limits_count_what_merged_members_have_together(desk: Desk) -> None:
    reward = await desk.offer(member_limits=[once()])
    source, target = await desk.crowd(2)
    await desk.redeem(source, reward)
    name = merge(desk, source, target)
    assert (await shown(desk, target))[reward.name].member_left == 0
    assert (await refused(desk.redeem(target, reward))).reason == "MEMBER_LIMIT_REACHED"
    assert await desk.balance(target) == (PRICE, 0)
    part(desk, name, source, target)
    assert (await shown(desk, target))[reward.name].member_left == 1
    assert (await desk.redeem(target, reward)).voucher.code


async def test_merged_members_race_for_no_more_than_one_may_have(desk: Desk) -> None:
    limit = catalogue_pb2.MemberLimit(period=catalogue_pb2.MemberLimit.PERIOD_EVER, most=5)
    reward = await desk.offer(member_limits=[limit])
    source = await desk.member(points=3 * PRICE)
    target = await desk.member(points=16 * PRICE)
    for _ in range(3):
        await desk.redeem(source, reward)
    merge(desk, source, target)
    answers = await asyncio.gather(
        *(desk.redeem(target, reward) for _ in range(16)), return_exceptions=True
    )
    assert Counter(isinstance(answer, BaseException) for answer in answers) == {True: 14, False: 2}
    assert await desk.balance(target) == (14 * PRICE, 0)


async def test_what_a_source_got_is_cancelled_for_its_own_points(desk: Desk) -> None:
    reward = await desk.offer(member_limits=[once()])
    source, target = await desk.crowd(2)
    bought = await desk.redeem(source, reward)
    merge(desk, source, target)
    cancelled = await desk.cancel(bought.redemption)
    assert cancelled.state == State.Value("STATE_CANCELLED")
    assert await desk.balance(source) == (PRICE, 0)
    assert await desk.balance(target) == (PRICE, 0)
    assert (await desk.redeem(target, reward)).voucher.code


async def test_who_was_merged_is_of_the_targets_tier_and_of_everybodys_segments(desk: Desk) -> None:
    group = f"tierGroups/{new_merge()[-12:]}"
    gold = await desk.offer(tiers=["gold"])
    segment = f"s-{new_merge()[-12:]}"
    kept = await desk.offer(segments=[segment])
    source, target = await desk.crowd(2)
    heard(
        desk.database_url,
        published_rules("base", "gold", group=group),
        changed(source, "gold", group=group),
    )
    request = catalogue_pb2.SetSegmentRequest(segment=f"segments/{segment}", added_members=[source])
    await desk.marketing.SetSegment(request, metadata=desk.everything)
    name = merge(desk, source, target)
    assert kept.name in await shown(desk, target)
    # The tier is tiering's to decide: it announces the target's.
    assert gold.name not in await shown(desk, target)
    heard(desk.database_url, changed(target, "gold", group=group))
    assert gold.name in await shown(desk, target)
    part(desk, name, source, target)
    assert kept.name not in await shown(desk, target)
    assert {gold.name, kept.name} <= (await shown(desk, source)).keys()


async def test_what_a_source_has_is_open_to_the_target_alone(desk: Desk, tokens: Tokens) -> None:
    reward = await desk.offer()
    source, target, another = await desk.crowd(3)
    bought = await desk.redeem(source, reward)
    merge(desk, source, target)
    scopes = ("vouchers.read.own", "rewards.redeem.own")

    async def seen_by(member: str) -> vouchers_pb2.Voucher:
        request = vouchers_pb2.GetVoucherRequest(name=bought.voucher.name)
        own = tokens.bearer(*scopes, subject=member)
        return (await desk.vouchers.GetVoucher(request, metadata=own)).voucher

    assert (await seen_by(target)).code == bought.voucher.code
    assert (await refused(seen_by(source))).reason == "MEMBER_MERGED"
    assert (await refused(seen_by(another))).reason == "NOT_YOURS"
    request = redemption_pb2.CancelRedemptionRequest(
        name=bought.redemption.name, reason="bought by mistake"
    )
    own = tokens.bearer(*scopes, subject=target)
    await desk.redemptions.CancelRedemption(request, metadata=own)
    assert await desk.balance(source) == (PRICE, 0)


async def test_a_target_pays_with_the_points_of_both_and_has_them_back(desk: Desk) -> None:
    reward = await desk.offer()
    source, target = await desk.crowd(2, points=PRICE // 2)
    merge_everywhere(desk, source, target)
    bought = (await desk.redeem(target, reward)).redemption
    assert bought.burn.startswith("sharedBurns/")
    assert await desk.balance(target) == (0, 0)
    assert (await desk.cancel(bought)).state == State.Value("STATE_CANCELLED")
    assert await desk.balance(target) == (PRICE, 0)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", [Call.HOLD, Call.CAPTURE, Call.RELEASE, Call.REFUND])
async def test_a_redemption_under_way_while_its_member_is_merged_comes_to_its_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, call: Call, when: str
) -> None:
    goes_back = call is Call.RELEASE
    reward = await desk.offer(catalogue_pb2.Stock(total=0 if goes_back else 1))
    source, target = await desk.crowd(2)
    asked: Ask = getattr(LedgerPoints, call.value)

    async def merging(*arguments: Any) -> Any:
        if when == "before":
            await asyncio.to_thread(merge_everywhere, desk, source, target)
        answer = await asked(*arguments)
        if when == "after":
            await asyncio.to_thread(merge_everywhere, desk, source, target)
        return answer

    monkeypatch.setattr(LedgerPoints, call.value, merging)
    # What becomes of it is told below.
    with suppress(grpc.aio.AioRpcError):
        bought = await desk.redeem(source, reward)
        if call is Call.REFUND:
            await desk.cancel(bought.redemption)
    monkeypatch.undo()
    [ended] = (await desk.history(target)).redemptions
    state, reason, left, taken = {
        # The ledger has no wallet under that name any more: nothing was taken.
        (Call.HOLD, "before"): ("STATE_REFUSED", "MEMBER_MERGED", PRICE, 0),
        (Call.RELEASE, when): ("STATE_REFUSED", "OUT_OF_STOCK", PRICE, 0),
        (Call.REFUND, when): ("STATE_CANCELLED", "", PRICE, 0),
    }.get((call, when), ("STATE_COMPLETED", "", 0, 1))
    assert (ended.state, ended.refuse_reason) == (State.Value(state), reason)
    assert await desk.balance(target) == (PRICE + left, 0)
    assert (await desk.stock_taken(reward)).total == taken


def roots(desk: Desk, *members: str) -> list[str]:
    """Who each of these members is."""
    found = dict(
        desk.rows(
            "SELECT 'members/' || member_id, 'members/' || root_id FROM members"
            " WHERE root_id IS NOT NULL"
        )
    )
    return [found.get(member, member) for member in members]


def test_merges_are_undone_in_any_order(desk: Desk) -> None:
    one, two, three = (new_member() for _ in range(3))
    first, second = merge(desk, one, two), merge(desk, two, three)
    assert roots(desk, one, two, three) == [three, three, three]
    part(desk, first, one, two)
    assert roots(desk, one, two, three) == [one, three, three]
    first = merge(desk, one, two)
    part(desk, second, two, three)
    assert roots(desk, one, two, three) == [two, two, three]
    part(desk, first, one, two)
    assert roots(desk, one, two, three) == [one, two, three]


def test_an_undoing_heard_of_first_leaves_nothing_to_merge(desk: Desk) -> None:
    source, target, name = new_member(), new_member(), new_merge()
    heard(desk.database_url, parted(source, target, name), merged(source, target, name))
    assert roots(desk, source) == [source]


def test_nobody_is_merged_into_themself(desk: Desk) -> None:
    source, target = new_member(), new_member()
    merge(desk, source, target)
    with pytest.raises(ValueError, match="the target is the source already"):
        merge(desk, target, source)
    assert roots(desk, source, target) == [target, target]
