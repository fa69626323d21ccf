"""What a member is told of points that will expire, and of what they mean to spend."""

import functools

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import earn_policy_pb2, points_pb2

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import (
    LONG_AGO_SECONDS,
    Shop,
    earn_policy,
    line,
    moment,
    new_card,
    next_moment,
    publish,
    sale,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens

DAY = 86_400
LIFE = earn_policy_pb2.PointLife(
    expiry=earn_policy_pb2.PointLife.EXPIRY_DAYS,
    expiry_count=30,
    burn_order=earn_policy_pb2.PointLife.BURN_ORDER_OLDEST,
)


@functools.cache
def expiring_database(databases: Databases) -> str:
    url = databases.create("ledger")
    publish(url, earn_policy(life=LIFE, effective_time=moment(LONG_AGO_SECONDS)))
    return url


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = expiring_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


async def plan(shop: Shop, wallet: str, *burns: tuple[int, int]) -> points_pb2.PlanExpiryResponse:
    request = points_pb2.PlanExpiryRequest(wallet=wallet)
    for amount, seconds in burns:
        request.burns.add(points=amount, business_time=Timestamp(seconds=seconds))
    return await shop.spending.PlanExpiry(request, metadata=shop.everything)


async def test_points_expire_with_their_days_and_spending_before_saves_them(shop: Shop) -> None:
    card = new_card()
    now = next_moment().seconds
    earlier = await shop.record(sale(card, line(5000), business_time=moment(now - 10 * DAY)))
    await shop.record(sale(card, line(3000), business_time=moment(now)))
    wallet = wallet_of(earlier.sale)
    first, second = ((seconds // DAY + 30) * DAY for seconds in (now - 10 * DAY, now))

    unspent = await plan(shop, wallet)
    assert [
        (loss.expire_time.seconds, loss.points, loss.points_until_then) for loss in unspent.losses
    ] == [(first, 50, 50), (second, 30, 80)]
    assert (unspent.lost_points, unspent.lost_points_by_policy) == (80, 80)

    spent = await plan(shop, wallet, (50, first - 1))
    (burn,) = spent.burns
    assert [(part.lot, part.points) for part in burn.lots] == [(lot_of(earlier.sale), 50)]
    assert (spent.lost_points, burn.missing_points) == (30, 0)

    too_late = await plan(shop, wallet, (50, first))
    assert (too_late.lost_points, too_late.burns[0].missing_points) == (50, 20)


def lot_of(sold: str) -> str:
    """The lot that a sale's first entry opened."""
    wallet, _, document = sold.rpartition("/sales/")
    return f"{wallet}/lots/{document}-1"


async def test_a_wallet_that_does_not_exist_has_no_plan(shop: Shop) -> None:
    assert (await refused(plan(shop, "wallets/999999999"))).reason == "WALLET_NOT_FOUND"
