"""Households whose members spend each other's points, within what each of them allows."""

import asyncio
from collections.abc import Iterator

import pytest
from loyalty.ledger.v1 import points_pb2
from loyalty.rewards.v1 import redemption_pb2

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_members import wallet_name
from tests.service.ledger_shop import Shop, new_id
from tests.service.ledger_together import (
    Families,
    common_families,
    problems,
    shares,
    told_together,
)
from tests.service.refusals import refused
from tests.service.rewards_desk import Desk
from tests.service.tokens import Tokens


@pytest.fixture(scope="module", autouse=True)
def the_books_are_right(databases: Databases) -> Iterator[None]:
    """When all is done."""
    yield
    assert problems(common_families(databases)) == {}


async def test_a_burn_takes_own_points_then_those_of_others_in_the_order_they_joined(
    families: Families,
) -> None:
    shop = families.shop
    spender, first, second = [await families.member(points) for points in (10, 40, 50)]
    household = families.household({first: 30, spender: 0, second: 100})
    held = (await shop.hold(wallet_name(spender), 75, purpose="a picnic")).hold
    assert shares(held) == [(spender, 10, False), (first, 30, True), (second, 35, True)]
    assert await families.available(spender, first, second) == [(0, 10), (10, 30), (15, 35)]
    captured = (await shop.capture(held.name, 50)).hold
    assert [part.captured_points for part in captured.parts] == [10, 30, 10]
    assert await families.available(spender, first, second) == [(0, 0), (10, 0), (40, 0)]
    [latest, before] = (await families.burns(first)).burns
    assert (latest.spender, latest.owner, latest.points) == (spender, second, 10)
    assert (before.owner, before.points, before.purpose) == (first, 30, "a picnic")
    assert latest.shared_burn == captured.burn
    assert (await families.pool(second)).household == household


async def test_points_that_come_back_go_to_who_lent_them_before_who_spent(
    families: Families,
) -> None:
    shop = families.shop
    spender, lender = await families.member(10), await families.member(40)
    lots = (await shop.lots(wallet_name(lender))).lots
    families.household({lender: 40, spender: 0})
    burn = await shop.burn(wallet_name(spender), 30)
    await shop.refund(burn, 20)
    assert await families.available(spender, lender) == [(0, 0), (40, 0)]
    assert (await shop.lots(wallet_name(lender))).lots == lots
    [found] = (await families.burns(lender)).burns
    assert (found.points, found.refunded_points) == (20, 20)
    # What came back may be spent again.
    assert (await families.pool(spender)).pooled_points == 40
    await shop.refund(burn)
    assert await families.available(spender, lender) == [(10, 0), (40, 0)]


async def test_a_limit_holds_over_all_burns_of_thirty_days(families: Families) -> None:
    shop = families.shop
    spender, lender = await families.member(0), await families.member(100)
    families.household({lender: 30, spender: 0})
    held = (await shop.hold(wallet_name(spender), 20)).hold
    refusal = await refused(shop.hold(wallet_name(spender), 11))
    assert (refusal.reason, refusal.metadata["available"]) == ("INSUFFICIENT_POINTS", "10")
    await shop.release(held.name)
    await shop.burn(wallet_name(spender), 30)
    assert (await refused(shop.hold(wallet_name(spender), 1))).metadata["available"] == "0"
    # A month later the limit is as it was.
    shop.execute(
        "UPDATE shared_holds SET create_time = create_time - interval '30 days'"
        " WHERE member_id = %s",
        spender.removeprefix("members/"),
    )
    assert (await families.pool(spender)).pooled_points == 30


async def test_without_consent_nobody_lends(families: Families) -> None:
    shop = families.shop
    spender, other = await families.member(10), await families.member(100)
    household = families.household({other: 0, spender: 50})
    refusal = await refused(shop.hold(wallet_name(spender), 11))
    assert (refusal.reason, refusal.metadata["available"]) == ("INSUFFICIENT_POINTS", "10")
    # Consent given later counts from then on, and what is heard late changes nothing.
    families.household({other: 5, spender: 50}, revision=3, name=household)
    families.household({other: 90, spender: 50}, revision=2, name=household)
    assert (await families.pool(spender)).pooled_points == 5
    await shop.burn(wallet_name(spender), 15)


async def test_who_wants_own_points_only_takes_none_of_others(families: Families) -> None:
    shop = families.shop
    spender, lender = await families.member(10, 5), await families.member(100)
    families.household({lender: 100, spender: 0})
    refusal = await refused(shop.hold(wallet_name(spender), 16, own_points_only=True))
    assert (refusal.reason, refusal.metadata["available"]) == ("INSUFFICIENT_POINTS", "15")
    held = await shop.hold(wallet_name(spender), 15, own_points_only=True)
    assert shares(held.hold) == [(spender, 10, False), (spender, 5, False)]


async def test_who_leaves_takes_their_points_along(families: Families) -> None:
    shop = families.shop
    spender, lender = await families.member(10), await families.member(100)
    household = families.household({lender: 100, spender: 0})
    held = (await shop.hold(wallet_name(spender), 50)).hold
    families.household({spender: 0}, revision=2, name=household)
    assert (await refused(shop.hold(wallet_name(spender), 1))).metadata["available"] == "0"
    # What was lent before is spent, or comes back.
    await shop.capture(held.name, 30)
    assert await families.available(spender, lender) == [(0, 0), (80, 0)]
    [burn] = (await families.burns(lender)).burns
    assert (burn.spender, burn.points) == (spender, 20)


async def test_two_of_a_household_want_the_same_points_and_one_gets_them(
    families: Families, serve: Serve, tokens: Tokens
) -> None:
    shop = families.shop
    one, other, lender, last = [await families.member(points) for points in (5, 5, 40, 40)]
    families.household({lender: 40, last: 20, one: 0, other: 0})
    second = Shop(await serve("ledger", shop.database_url), tokens, shop.database_url)
    calls = [shop.hold(wallet_name(one), 60), second.hold(wallet_name(other), 60)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    held = [each for each in answers if isinstance(each, points_pb2.HoldPointsResponse)]
    assert len(held) == 1
    assert await families.available(lender, last) == [(0, 40), (25, 15)]


async def test_many_burns_at_once_never_pass_a_limit(
    families: Families, serve: Serve, tokens: Tokens
) -> None:
    shop = families.shop
    spenders = [await families.member(0) for _ in range(3)]
    lender = await families.member(500)
    families.household({lender: 50} | dict.fromkeys(spenders, 0))
    second = Shop(await serve("ledger", shop.database_url), tokens, shop.database_url)
    calls = [each.burn(wallet_name(m), 7) for each in (shop, second) for m in spenders * 3]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, str) for each in answers) == 7
    assert await families.available(lender) == [(451, 0)]
    [own] = [c for c in (await families.pool(lender)).contributions if c.member == lender]
    assert (own.points_limit, own.spent_points) == (50, 49)


async def test_a_statement_says_who_spent_whose_points(families: Families) -> None:
    shop = families.shop
    spender, lender = await families.member(10), await families.member(100)
    families.household({lender: 100, spender: 0})
    await shop.burn(wallet_name(spender), 30)
    [burned, *_] = (await shop.entries(wallet_name(lender))).entries
    assert (burned.points, burned.member, burned.spender) == (-20, lender, spender)
    [own, *_] = (await shop.entries(wallet_name(spender))).entries
    assert (own.points, own.member, own.spender) == (-10, spender, spender)


async def test_a_pool_says_what_each_contributes(families: Families) -> None:
    spender, lender, poor = [await families.member(points) for points in (10, 100, 1)]
    household = families.household({lender: 60, poor: 5, spender: 3})
    await families.shop.burn(wallet_name(spender), 30)
    pool = await families.pool(spender)
    assert (pool.household, pool.own_points, pool.pooled_points) == (household, 0, 41)
    assert [
        (each.member, each.points_limit, each.spent_points, each.available_points)
        for each in pool.contributions
    ] == [(lender, 60, 20, 40), (poor, 5, 0, 1), (spender, 3, 0, 0)]
    alone = await families.pool(await families.member(7))
    assert (alone.household, alone.own_points, alone.pooled_points) == ("", 7, 0)


async def test_burns_are_listed_page_by_page(families: Families) -> None:
    spender, lender = await families.member(0), await families.member(100)
    families.household({lender: 100, spender: 0})
    burns = [await families.shop.burn(wallet_name(spender), points) for points in range(1, 6)]
    found, token = [], ""
    for _ in range(3):
        page = await families.burns(lender, page_size=2, page_token=token)
        found += [burn.shared_burn for burn in page.burns]
        token = page.next_page_token
    assert (found, token) == (burns[::-1], "")
    for token in ("nonsense", "WzEsICJ4IiwgMV0="):
        refusal = await refused(families.burns(lender, page_token=token))
        assert refusal.reason == "PAGE_TOKEN_INVALID"


async def test_members_see_the_pool_of_their_own_household_alone(
    families: Families, tokens: Tokens
) -> None:
    member, stranger = await families.member(1), await families.member(1)
    mine = tokens.bearer("wallets.read.own", subject=member)
    assert (await families.pool(member, mine)).own_points == 1
    assert (await families.burns(member, mine)).burns == []
    for call in (families.pool(stranger, mine), families.burns(stranger, mine)):
        assert (await refused(call)).reason == "NOT_YOURS"
    nobody = f"members/{new_id()}"
    assert (await refused(families.pool(nobody))).reason == "WALLET_NOT_FOUND"


async def test_a_blocked_member_neither_spends_nor_lends(families: Families) -> None:
    shop = families.shop
    spender, lender = await families.member(10), await families.member(100)
    families.household({lender: 100, spender: 100})
    families.told.member_blocked(lender)
    refusal = await refused(shop.hold(wallet_name(spender), 11))
    assert (refusal.reason, refusal.metadata["available"]) == ("INSUFFICIENT_POINTS", "10")
    for points in (1, 101):
        assert (await refused(shop.hold(wallet_name(lender), points))).reason == "MEMBER_BLOCKED"
    families.told.member_unblocked(lender)
    await shop.burn(wallet_name(spender), 20)


async def test_the_erasure_of_a_households_owner_leaves_the_books_right(
    families: Families,
) -> None:
    shop = families.shop
    spender, owner = await families.member(10), await families.member(100)
    household = families.household({owner: 100, spender: 0})
    burn = await shop.burn(wallet_name(spender), 30)
    held = (await shop.hold(wallet_name(spender), 5)).hold
    families.household({spender: 0}, revision=2, name=household)
    families.told.erased(owner)
    assert (await refused(shop.hold(wallet_name(spender), 1))).metadata["available"] == "0"
    await shop.refund(burn)
    await shop.release(held.name)
    assert await families.available(spender, owner) == [(10, 0), (100, 0)]
    families.household({}, revision=3, name=household)
    assert (await families.pool(spender)).household == ""


async def test_a_household_buys_a_reward_together_and_gets_its_points_back(desk: Desk) -> None:
    reward, spender, lender = await desk.offer(), await desk.member(30), await desk.member(90)
    with told_together(desk.shop.database_url) as told:
        told.household(f"households/{new_id()}", 1, {lender: 70, spender: 0})
    bought = (await desk.redeem(spender, reward)).redemption
    assert bought.state == redemption_pb2.Redemption.STATE_COMPLETED
    assert [await desk.balance(member) for member in (spender, lender)] == [(0, 0), (20, 0)]
    await desk.cancel(bought)
    assert [await desk.balance(member) for member in (spender, lender)] == [(30, 0), (90, 0)]
