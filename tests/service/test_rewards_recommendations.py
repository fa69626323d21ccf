"""What members are recommended, of rewards of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loyalty.rewards.v1 import catalogue_pb2, redemption_pb2

from tests.service import ledger_shop, rewards_desk
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import Shop
from tests.service.refusals import refused
from tests.service.rewards_desk import PRICE, Desk
from tests.service.tokens import Tokens

Cause = redemption_pb2.Recommendation.Cause


@pytest.fixture
async def own_desk(
    database: Callable[[str], str],
    databases: Databases,
    serve: Serve,
    tokens: Tokens,
    tmp_path: Path,
) -> Desk:
    """A catalogue that no other test fills."""
    ledger_url = ledger_shop.common_database(databases)
    ledger = await serve("ledger", ledger_url)
    settings = rewards_desk.settings(database("rewards"), tmp_path, tokens, ledger.address)
    rewards = await serve("rewards", **settings)
    return Desk(rewards, settings, ledger, Shop(ledger, tokens, ledger_url), tokens)


async def recommended(desk: Desk, member: str, **fields: Any) -> list[tuple[str, str, int]]:
    request = redemption_pb2.ListRecommendationsRequest(member=member, **fields)
    answer = await desk.redemptions.ListRecommendations(request, metadata=desk.everything)
    return [
        (each.reward.reward, Cause.Name(each.cause)[6:].lower(), each.missing_points)
        for each in answer.recommendations
    ]


async def test_what_can_be_had_comes_first_and_what_others_take_last(own_desk: Desk) -> None:
    desk = own_desk
    coffee, dinner, car, boat = [
        await desk.offer(points=points) for points in (PRICE, 120, 9_000, 9_000)
    ]
    rich = await desk.member(points=9_000)
    await desk.redeem(rich, car, expected_points=9_000)
    member = await desk.member()
    assert await recommended(desk, member) == [
        (coffee.name, "affordable", 0),
        (dinner.name, "nearly_affordable", 20),
        (car.name, "popular", 8_900),
    ]
    assert len(await recommended(desk, member, limit=1)) == 1
    await desk.end(coffee)
    named = {name for name, _, _ in await recommended(desk, member)}
    assert not named & {coffee.name, boat.name}


async def test_what_a_member_has_often_enough_is_not_recommended(own_desk: Desk) -> None:
    desk = own_desk
    await desk.offer(member_limits=[rewards_desk.once()])
    sold_out = await desk.offer(catalogue_pb2.Stock(total=0))
    member = await desk.member(points=2 * PRICE)
    [(name, _, _)] = await recommended(desk, member)
    assert name != sold_out.name
    await desk.redeem(member, catalogue_pb2.Reward(name=name))
    assert await recommended(desk, member) == []


async def test_who_has_no_wallet_yet_can_afford_nothing(own_desk: Desk) -> None:
    await own_desk.offer()
    assert await recommended(own_desk, "members/00000000-0000-4000-8000-000000000000") == []


async def test_members_are_recommended_for_themselves_alone(own_desk: Desk, tokens: Tokens) -> None:
    one, other = await own_desk.crowd(2)
    own = tokens.bearer("rewards.read.own", subject=one)
    request = redemption_pb2.ListRecommendationsRequest(member=other)
    call = own_desk.redemptions.ListRecommendations(request, metadata=own)
    assert (await refused(call)).reason == "NOT_YOURS"
