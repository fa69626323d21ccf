"""Batches of holds and captures: each is answered for itself, and a bad one harms no neighbour."""

from typing import TypeAlias

import grpc
import pytest
from loyalty.ledger.v1 import points_pb2

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_members import new_member, wallet_name
from tests.service.ledger_shop import (
    Shop,
    added,
    common_database,
    line,
    new_card,
    new_id,
    next_moment,
    sale,
    wallet_of,
)
from tests.service.ledger_together import Families
from tests.service.refusals import refused
from tests.service.tokens import Tokens

TOGETHER_MAX = 500
Code = grpc.StatusCode
HoldRequest: TypeAlias = points_pb2.HoldPointsRequest
CaptureRequest: TypeAlias = points_pb2.CapturePointsRequest


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


async def wallets(shop: Shop, count: int, points: int) -> list[str]:
    """Wallets with so many points each."""
    cards = [new_card() for _ in range(count)]
    return [wallet_of((await shop.record(sale(card, line(points * 100)))).sale) for card in cards]


def hold_of(wallet: str, points: int, request_id: str = "") -> HoldRequest:
    return HoldRequest(
        request_id=request_id or new_id(),
        wallet=wallet,
        points=points,
        purpose="a coffee",
        business_time=next_moment(),
    )


def capture_of(hold: str, request_id: str = "") -> CaptureRequest:
    return CaptureRequest(request_id=request_id or new_id(), hold=hold)


async def hold_all(shop: Shop, *requests: HoldRequest) -> list[points_pb2.HoldOutcome]:
    batch = points_pb2.BatchHoldPointsRequest(requests=requests)
    answer = await shop.spending.BatchHoldPoints(batch, metadata=shop.everything)
    return list(answer.outcomes)


async def capture_all(shop: Shop, *requests: CaptureRequest) -> list[points_pb2.CaptureOutcome]:
    batch = points_pb2.BatchCapturePointsRequest(requests=requests)
    answer = await shop.spending.BatchCapturePoints(batch, metadata=shop.everything)
    return list(answer.outcomes)


def said(
    outcome: points_pb2.HoldOutcome | points_pb2.CaptureOutcome,
) -> tuple[str, Code] | tuple[int, int]:
    """The reason of a refusal and its code, or what is available and held afterwards."""
    if outcome.HasField("refused"):
        [code] = [each for each in Code if each.value[0] == outcome.refused.code]
        return outcome.refused.reason, code
    done = outcome.held if isinstance(outcome, points_pb2.HoldOutcome) else outcome.captured
    return done.balance.available, done.balance.held


async def test_points_are_held_and_captured_together_as_one_by_one(shop: Shop) -> None:
    names = await wallets(shop, 30, points=50)
    holds = [hold_of(name, points) for points, name in enumerate(names, 1)]
    held = await hold_all(shop, *holds)
    assert [said(each) for each in held] == [(50 - points, points) for points in range(1, 31)]
    captures = [capture_of(each.held.hold.name) for each in held]
    captured = await capture_all(shop, *captures)
    assert [said(each) for each in captured] == [(50 - points, 0) for points in range(1, 31)]
    before = shop.contents()
    assert await hold_all(shop, *holds) == held
    assert await capture_all(shop, *captures) == captured
    for request, outcome in zip(captures, captured, strict=True):
        assert await shop.spending.CapturePoints(request, metadata=shop.everything) == (
            outcome.captured
        )
    assert added(before, shop.contents()) == {}


async def test_a_bad_hold_among_good_ones_is_refused_alone(shop: Shop) -> None:
    first, second, poor = await wallets(shop, 3, points=10)
    used = new_id()
    await shop.hold(first, 1, request_id=used)
    bad = [
        (hold_of(first, 0), ("INVALID_REQUEST", Code.INVALID_ARGUMENT)),
        (hold_of("cards/1", 1), ("INVALID_REQUEST", Code.INVALID_ARGUMENT)),
        (hold_of(poor, 11), ("INSUFFICIENT_POINTS", Code.FAILED_PRECONDITION)),
        (hold_of(first, 2, used), ("REQUEST_ID_REUSED", Code.ALREADY_EXISTS)),
        (hold_of(wallet_name(new_member()), 1), ("WALLET_NOT_FOUND", Code.NOT_FOUND)),
    ]
    requests = [each for request, _ in bad for each in (hold_of(second, 1), request)]
    found = await hold_all(shop, *requests, hold_of(second, 1))
    assert [said(each) for each in found[1::2]] == [refusal for _, refusal in bad]
    # In whatever order.
    assert sorted(said(each) for each in found[::2]) == [(10 - n, n) for n in range(6, 0, -1)]
    assert [violation.field for violation in found[1].refused.field_violations] == ["points"]
    assert found[5].refused.metadata == {"wanted": "11", "available": "10"}
    for name, balance in ((first, (9, 1)), (second, (4, 6)), (poor, (10, 0))):
        wallet = await shop.wallet(name)
        assert (wallet.available, wallet.held) == balance


async def test_a_bad_capture_among_good_ones_is_refused_alone(shop: Shop) -> None:
    [name] = await wallets(shop, 1, points=10)
    first, second, gone = [(await shop.hold(name, 2)).hold.name for _ in range(3)]
    await shop.release(gone)
    found = await capture_all(
        shop,
        capture_of(first),
        capture_of(gone),
        capture_of(f"{name}/holds/1"),
        CaptureRequest(request_id=new_id(), hold=second, points=3),
        CaptureRequest(request_id="me", hold=second),
        capture_of(second),
    )
    good = sorted(said(each) for each in (found[0], found[-1]))
    assert good == [(6, 0), (6, 2)]
    assert [said(each) for each in found[1:-1]] == [
        ("HOLD_RELEASED", Code.FAILED_PRECONDITION),
        ("HOLD_NOT_FOUND", Code.NOT_FOUND),
        ("CAPTURE_EXCEEDS_HOLD", Code.FAILED_PRECONDITION),
        ("INVALID_REQUEST", Code.INVALID_ARGUMENT),
    ]


async def test_too_many_at_once_or_none_are_refused_and_move_nothing(shop: Shop) -> None:
    [name] = await wallets(shop, 1, points=10)
    hold = (await shop.hold(name, 1)).hold.name
    before = shop.contents()
    for count in (0, TOGETHER_MAX + 1):
        for call in (
            hold_all(shop, *(hold_of(name, 1) for _ in range(count))),
            capture_all(shop, *(capture_of(hold) for _ in range(count))),
        ):
            found = await refused(call)
            assert (found.reason, found.fields) == ("INVALID_REQUEST", ("requests",))
    assert added(before, shop.contents()) == {}


async def test_what_several_wallets_give_goes_along(families: Families) -> None:
    shop = families.shop
    several, single = await families.member(30, 20), await families.member(50)
    requests = [hold_of(wallet_name(member), 45) for member in (several, single)]
    held = await hold_all(shop, *requests)
    assert [said(each) for each in held] == [(5, 45), (5, 45)]
    names = [each.held.hold.name for each in held]
    assert [name.split("/")[0] for name in names] == ["sharedHolds", "wallets"]
    captured = await capture_all(shop, *map(capture_of, names))
    assert [said(each) for each in captured] == [(5, 0), (5, 0)]
    assert await hold_all(shop, *requests) == held
