"""Shops whose points live by a policy of their own, and whose books are proven in the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import earn_policy_pb2

from services.cli.audit import run_audit
from tests.service import servers
from tests.service.ledger_history import problems_of
from tests.service.ledger_shop import (
    Shop,
    earn_policy,
    line,
    new_card,
    publish,
    rule,
    sale,
    wallet_of,
)
from tests.service.tokens import Tokens

PointLife = earn_policy_pb2.PointLife
EarnSettings = earn_policy_pb2.EarnSettings
DAY = timedelta(days=1)
# The day on which the tests began: it may end while they run.
TODAY = datetime.now(UTC).date()


def ago(days: int) -> date:
    return TODAY - days * DAY


def noon(day: date) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    return moment


@asynccontextmanager
async def shop_with(
    database: Callable[[str], str],
    tokens: Tokens,
    life: PointLife | None = None,
    *,
    clawback: EarnSettings.Clawback.ValueType = EarnSettings.CLAWBACK_WITHIN_BALANCE,
    **settings: Any,
) -> AsyncIterator[Shop]:
    """A shop on a ledger of its own that gives a point per dollar; the ledger's audit finds
    nothing afterwards.
    """
    url = database("ledger")
    earned = EarnSettings(clawback=clawback)
    publish(url, earn_policy(rule("base"), life=life, settings=earned))
    running = await servers.start("ledger", url, tokens.settings, **settings)
    try:
        yield Shop(running, tokens, url)
    finally:
        await running.stop()
    report = await asyncio.to_thread(run_audit, url)
    assert problems_of(report.checks) == {}


async def earn(shop: Shop, card: str, points: int, day: date) -> str:
    """Sell for so many points at noon of a day; answers the sale's name."""
    sold = sale(card, line(points * 100), business_time=noon(day))
    return (await shop.record(sold)).sale


async def a_wallet(shop: Shop, *earned: tuple[int, date]) -> str:
    """A wallet of a new card with points of several days."""
    card = new_card()
    for points, day in earned:
        sold = await earn(shop, card, points, day)
    return wallet_of(sold)


async def standing(shop: Shop, wallet: str) -> tuple[int, int, int]:
    """What is available, pending and held."""
    found = await shop.wallet(wallet)
    return found.available, found.pending, found.held
