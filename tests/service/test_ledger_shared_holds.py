"""Points held in several wallets at once, and burned and given back part by part."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from loyalty.ledger.v1 import earn_policy_pb2, ledger_pb2, points_pb2

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_members import wallet_name
from tests.service.ledger_shop import (
    Shop,
    added,
    earn_policy,
    moment,
    new_id,
    next_moment,
    publish,
)
from tests.service.ledger_together import (
    Families,
    common_families,
    problems,
    shares,
    told_together,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens

Hold = points_pb2.Hold


@pytest.fixture(scope="module", autouse=True)
def the_books_are_right(databases: Databases) -> Iterator[None]:
    """When all is done."""
    yield
    assert problems(common_families(databases)) == {}


async def test_points_of_several_wallets_are_held_burned_and_given_back(
    families: Families,
) -> None:
    shop = families.shop
    member = await families.member(30, 20)
    lots = (await shop.lots(wallet_name(member))).lots
    held = await shop.hold(wallet_name(member), 45)
    assert held.hold.name.startswith("sharedHolds/")
    assert shares(held.hold) == [(member, 30, False), (member, 15, False)]
    assert (held.balance.available, held.balance.held) == (5, 45)
    assert await families.available(member) == [(5, 45)]
    assert await shop.get_hold(held.hold.name) == held.hold
    captured = await shop.capture(held.hold.name, 40)
    assert (captured.hold.state, captured.hold.captured_points) == (Hold.STATE_CAPTURED, 40)
    assert [part.captured_points for part in captured.hold.parts] == [30, 10]
    assert await families.available(member) == [(10, 0)]
    back = await shop.refund(captured.hold.burn, 15)
    assert (back.points, back.balance.available) == (15, 25)
    assert sorted(part.points for part in back.lots) == [5, 10]
    assert (await shop.refund(captured.hold.burn)).points == 25
    assert (await shop.lots(wallet_name(member))).lots == lots


@pytest.mark.parametrize("captured", [False, True])
async def test_points_whose_goods_came_back_meanwhile_are_not_given_back(
    families: Families, captured: bool
) -> None:
    shop = families.shop
    member = await families.member(30, 20)
    held = (await shop.hold(wallet_name(member), 45)).hold
    request = ledger_pb2.ListSalesRequest(parent=wallet_name(member))
    sold = (await shop.care.ListSales(request, metadata=shop.everything)).sales
    back = [await shop.give_back(sale=each.name) for each in sold]
    assert sorted(each.points_forgiven for each in back) == [15, 30]
    assert await families.available(member) == [(0, 45)]
    if captured:
        burn = (await shop.capture(held.name, 40)).hold.burn
        assert (await shop.refund(burn)).points == 40
    else:
        await shop.release(held.name)
    assert await families.available(member) == [(0, 0)]


async def test_released_parts_are_available_again(families: Families) -> None:
    shop = families.shop
    member = await families.member(30, 20)
    lots = (await shop.lots(wallet_name(member))).lots
    held = (await shop.hold(wallet_name(member), 45)).hold
    released = await shop.release(held.name)
    assert (released.hold.state, released.balance.available) == (Hold.STATE_RELEASED, 50)
    again = await shop.release(held.name)
    assert (again.hold, again.balance) == (released.hold, released.balance)
    assert (await shop.lots(wallet_name(member))).lots == lots
    assert (await refused(shop.capture(held.name))).reason == "HOLD_RELEASED"


async def test_each_request_is_done_once_and_answered_again_the_same(families: Families) -> None:
    shop = families.shop
    member = await families.member(30, 20)
    name, ids, when = wallet_name(member), [new_id() for _ in range(4)], next_moment()

    async def everything() -> list[object]:
        held = await shop.hold(name, 45, request_id=ids[0], business_time=when)
        captured = await shop.capture(held.hold.name, 40, ids[1])
        refund = await shop.refund(captured.hold.burn, 7, request_id=ids[2], business_time=when)
        return [held, captured, refund]

    first = await everything()
    await shop.adjust(name, 1_000)
    before = shop.contents()
    assert await everything() == first
    assert added(before, shop.contents()) == {}
    held = (await shop.hold(name, 1_010)).hold
    released = await shop.release(held.name, ids[3])
    assert await shop.release(held.name, ids[3]) == released


async def test_a_request_id_of_another_request_is_refused(families: Families) -> None:
    shop = families.shop
    member, other = await families.member(30, 20), await families.member(30, 20)
    used, when = new_id(), next_moment()
    held = await shop.hold(wallet_name(member), 45, request_id=used, business_time=when)
    name = wallet_name(member)
    before = shop.contents()
    for call in (
        shop.hold(name, 44, request_id=used, business_time=when),
        shop.hold(name, 45, request_id=used, business_time=when, own_points_only=True),
        shop.hold(wallet_name(other), 45, request_id=used, business_time=when),
        shop.capture(held.hold.name, request_id=used),
        shop.release(held.hold.name, request_id=used),
        shop.refund(held.hold.name.replace("Holds", "Burns"), request_id=used),
    ):
        assert (await refused(call)).reason == "REQUEST_ID_REUSED"
    assert added(before, shop.contents()) == {}


async def test_every_refusal_has_its_reason_and_moves_nothing(families: Families) -> None:
    shop = families.shop
    member = await families.member(60, 40)
    name = wallet_name(member)
    held, released = [(await shop.hold(name, points)).hold.name for points in (61, 38)]
    await shop.release(released)
    burn = (await shop.capture(held, 50)).hold.burn
    unknown = new_id()
    for reason, call in (
        ("INSUFFICIENT_POINTS", shop.hold(name, 51)),
        ("HOLD_CAPTURED", shop.capture(held)),
        ("HOLD_CAPTURED", shop.release(held)),
        ("REFUND_EXCEEDS_BURN", shop.refund(burn, 51)),
        ("HOLD_NOT_FOUND", shop.capture(f"sharedHolds/{unknown}")),
        ("HOLD_NOT_FOUND", shop.release(f"sharedHolds/{unknown}")),
        ("HOLD_NOT_FOUND", shop.get_hold(f"sharedHolds/{unknown}")),
        ("BURN_NOT_FOUND", shop.refund(f"sharedBurns/{unknown}")),
    ):
        before = shop.contents()
        assert (await refused(call)).reason == reason
        # Remembered, where there is something to remember it by.
        assert added(before, shop.contents()).keys() <= {"public.shared_moves"}
    assert await families.available(member) == [(50, 0)]


async def test_more_than_held_cannot_be_captured_and_it_stays_held(families: Families) -> None:
    shop = families.shop
    member = await families.member(30, 20)
    held = (await shop.hold(wallet_name(member), 45)).hold.name
    refusal = await refused(shop.capture(held, 46))
    assert (refusal.reason, refusal.metadata) == (
        "CAPTURE_EXCEEDS_HOLD",
        {"wanted": "46", "held": "45"},
    )
    assert (await refused(shop.refund(held.replace("Holds", "Burns")))).reason == "BURN_NOT_FOUND"
    assert (await shop.capture(held)).hold.captured_points == 45


async def test_what_a_wallet_refuses_is_refused_and_leaves_all_as_it_was(
    families: Families,
) -> None:
    shop = families.shop
    member = await families.member(30, 20)
    later, long_ago = moment(next_moment().seconds + 10**6), moment(10**9)
    for reason, time in (("BUSINESS_TIME_IN_FUTURE", later), ("BUSINESS_TIME_TOO_OLD", long_ago)):
        asked: dict[str, Any] = {"request_id": new_id(), "business_time": time}
        for _ in range(2):
            refusal = await refused(shop.hold(wallet_name(member), 45, **asked))
            assert refusal.reason == reason
    burn = await shop.burn(wallet_name(member), 45)
    for _ in range(2):
        refusal = await refused(shop.refund(burn, business_time=later))
        assert refusal.reason == "BUSINESS_TIME_IN_FUTURE"
    assert await families.available(member) == [(5, 0)]
    assert (await shop.refund(burn)).points == 45


async def test_a_refusal_for_want_of_points_is_remembered(families: Families) -> None:
    shop = families.shop
    member = await families.member(30, 20)
    used, when = new_id(), next_moment()
    asked: dict[str, Any] = {"request_id": used, "business_time": when}
    first = await refused(shop.hold(wallet_name(member), 51, **asked))
    assert (first.code, first.metadata) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        {"wanted": "51", "available": "50"},
    )
    await shop.adjust(wallet_name(member), 100)
    assert await refused(shop.hold(wallet_name(member), 51, **asked)) == first


async def test_a_part_moves_with_the_whole_alone(families: Families) -> None:
    shop = families.shop
    member = await families.member(30, 20)
    shared = (await shop.hold(wallet_name(member), 45)).hold
    [(wallet, hold)] = shop.rows(
        "SELECT wallet_id, hold_id FROM shared_hold_parts"
        " WHERE shared_hold_id = %(hold)s AND ordinal = 1",
        hold=shared.name.removeprefix("sharedHolds/"),
    )
    part = f"wallets/{wallet}/holds/{hold}"
    for call in (shop.capture(part), shop.release(part)):
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata) == ("HOLD_IS_SHARED", {"hold": shared.name})
    await shop.capture(shared.name)
    burn = (await shop.get_hold(part)).burn
    assert (await refused(shop.refund(burn))).reason == "HOLD_IS_SHARED"


async def test_a_wallet_that_is_named_gives_points_alone(families: Families) -> None:
    shop = families.shop
    member = await families.member(30, 20)
    wallet = (await shop.wallet(wallet_name(member))).name
    refusal = await refused(shop.hold(wallet, 31))
    assert (refusal.reason, refusal.metadata["available"]) == ("INSUFFICIENT_POINTS", "30")


async def test_holds_of_the_same_points_at_once_never_take_them_twice(
    families: Families, serve: Serve, tokens: Tokens
) -> None:
    """At servers of their own. Whoever comes too late plans anew, and is refused."""
    shop = families.shop
    member = await families.member(30, 20)
    second = Shop(await serve("ledger", shop.database_url), tokens, shop.database_url)
    calls = [each.hold(wallet_name(member), 35) for each in (shop, second) for _ in range(4)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    held = [each for each in answers if isinstance(each, points_pb2.HoldPointsResponse)]
    assert len(held) == 1
    assert await families.available(member) == [(15, 35)]


async def test_a_shared_hold_captured_and_released_at_once_is_one_of_both(
    families: Families,
) -> None:
    shop = families.shop
    member = await families.member(30, 30)
    names = [(await shop.hold(wallet_name(member), 31)).hold.name]
    calls = [call(name) for name in names for call in (shop.capture, shop.release) * 3]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    captured = sum(isinstance(each, points_pb2.CapturePointsResponse) for each in answers)
    released = sum(isinstance(each, points_pb2.ReleaseHoldResponse) for each in answers)
    # Releasing again what is released changes nothing.
    assert (captured, released > 0) in {(1, False), (0, True)}
    assert await families.available(member) == [(60 - 31 * captured, 0)]


async def test_members_see_their_own_shared_holds_and_no_others(
    families: Families, tokens: Tokens
) -> None:
    shop = families.shop
    member, other = await families.member(30, 20), await families.member(30)
    held = (await shop.hold(wallet_name(member), 45)).hold
    mine = tokens.bearer("wallets.read.own", subject=member)
    assert await shop.get_hold(held.name, metadata=mine) == held
    theirs = tokens.bearer("wallets.read.own", subject=other)
    assert (await refused(shop.get_hold(held.name, metadata=theirs))).reason == "NOT_YOURS"


async def test_where_a_programme_gives_what_there_is_several_wallets_give_it(
    database: Callable[[str], str], serve: Serve, tokens: Tokens
) -> None:
    url = database("ledger")
    clamping = earn_policy_pb2.PointLife(shortfall=earn_policy_pb2.PointLife.SHORTFALL_CLAMP)
    publish(url, earn_policy(life=clamping))
    running = await serve("ledger", url)
    with told_together(url) as told:
        families = Families(Shop(running, tokens, url), running, told)
        member = await families.member(30, 20)
        held = await families.shop.hold(wallet_name(member), 60)
        assert held.hold.points == 50
        assert await families.available(member) == [(0, 50)]
        refusal = await refused(families.shop.hold(wallet_name(member), 1))
        assert refusal.reason == "INSUFFICIENT_POINTS"
        assert problems(url) == {}
