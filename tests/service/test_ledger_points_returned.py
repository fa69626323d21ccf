"""Returns of sales whose points are pending, spent, held or expired already."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from loyalty.ledger.v1 import ledger_pb2, night_pb2

from tests.service.ledger_lives import (
    EarnSettings,
    PointLife,
    a_wallet,
    ago,
    earn,
    shop_with,
    standing,
)
from tests.service.ledger_shop import Shop, new_card, schema_of, wallet_of
from tests.service.tokens import Tokens

Database = Callable[[str], str]
ACTIVATE = night_pb2.NIGHT_STEP_ACTIVATE_PENDING
EXPIRE = night_pb2.NIGHT_STEP_EXPIRE_LOTS
PENDING = PointLife(pending_days=3)
TEN_DAYS = PointLife(expiry=PointLife.EXPIRY_DAYS, expiry_count=10)
WITHIN_BALANCE = EarnSettings.CLAWBACK_WITHIN_BALANCE
ALLOW_NEGATIVE = EarnSettings.CLAWBACK_ALLOW_NEGATIVE
PENDING_ONLY = EarnSettings.CLAWBACK_PENDING_ONLY


async def nights(shop: Shop) -> None:
    """Every step for every day that is over."""
    for step in (ACTIVATE, EXPIRE):
        while not (await shop.night(step, ago(1))).done:
            pass


def left(shop: Shop, wallet: str) -> tuple[Any, ...]:
    """A wallet's counters, and what its lots hold, since when and until when."""
    number, schema = int(wallet.split("/")[1]), schema_of(wallet)
    counters = shop.rows(
        "SELECT available, pending, held, qualifying, lifetime, overdrawn"
        f" FROM {schema}.wallets WHERE wallet_id = %(wallet)s",
        wallet=number,
    )
    lots = shop.rows(
        "SELECT earn_time, expire_time, remaining, held, pending"
        f" FROM {schema}.lots WHERE wallet_id = %(wallet)s AND remaining > 0 ORDER BY 1, 2, 3",
        wallet=number,
    )
    return counters, lots


def active_date(shop: Shop, wallet: str) -> date:
    [found] = shop.rows(
        f"SELECT active_date FROM {schema_of(wallet)}.wallets WHERE wallet_id = %(wallet)s",
        wallet=int(wallet.split("/")[1]),
    )
    day: date = found[0]
    return day


@pytest.mark.parametrize("clawback", [WITHIN_BALANCE, ALLOW_NEGATIVE, PENDING_ONLY])
async def test_a_return_inside_the_window_cancels_pending_points_first(
    database: Database, tokens: Tokens, clawback: EarnSettings.Clawback.ValueType
) -> None:
    async with shop_with(database, tokens, PENDING, clawback=clawback) as shop:
        card = new_card()
        await earn(shop, card, 20, ago(9))
        await nights(shop)
        sold = await earn(shop, card, 10, ago(1))
        wallet = wallet_of(sold)
        assert await standing(shop, wallet) == (20, 10, 0)
        back = await shop.give_back((1, 400), sale=sold)
        assert (back.balance.available, back.balance.pending) == (20, 6)
        back = await shop.give_back(sale=sold)
        assert (back.balance.available, back.balance.pending, back.points_forgiven) == (20, 0, 0)


@pytest.mark.parametrize("clawback", [WITHIN_BALANCE, ALLOW_NEGATIVE, PENDING_ONLY])
@pytest.mark.parametrize("life", [PENDING, TEN_DAYS, PointLife()])
async def test_a_sale_and_its_return_leave_a_wallet_as_if_nothing_was_bought(
    database: Database, tokens: Tokens, clawback: EarnSettings.Clawback.ValueType, life: PointLife
) -> None:
    async with shop_with(database, tokens, life, clawback=clawback) as shop:
        card = new_card()
        wallet = wallet_of(await earn(shop, card, 20, ago(5)))
        await nights(shop)
        before = left(shop, wallet)
        sold = await earn(shop, card, 10, ago(1))
        assert left(shop, wallet) != before
        await shop.give_back((1, 300), sale=sold)
        back = await shop.give_back(sale=sold)
        if clawback != PENDING_ONLY or life == PENDING:
            assert (left(shop, wallet), back.points_forgiven) == (before, 0)
        else:
            assert back.points_forgiven == 7


@pytest.mark.parametrize(
    ("clawback", "forgiven", "available"),
    [(WITHIN_BALANCE, 8, 0), (ALLOW_NEGATIVE, 0, -8), (PENDING_ONLY, 10, 2)],
)
async def test_a_return_after_the_points_were_burned(
    database: Database,
    tokens: Tokens,
    clawback: EarnSettings.Clawback.ValueType,
    forgiven: int,
    available: int,
) -> None:
    async with shop_with(database, tokens, clawback=clawback) as shop:
        card = new_card()
        sold = await earn(shop, card, 10, ago(2))
        wallet = wallet_of(sold)
        burn = await shop.burn(wallet, 8)
        back = await shop.give_back(sale=sold)
        assert (back.points_forgiven, back.balance.available) == (forgiven, available)
        refund = await shop.refund(burn, 5)
        # What was forgiven is not given back: it would come out of nothing.
        there = 0 if clawback == WITHIN_BALANCE else available + 5
        assert refund.balance.available == there
        again = await earn(shop, card, 20, ago(1))
        assert await standing(shop, wallet_of(again)) == (there + 20, 0, 0)


@pytest.mark.parametrize(
    ("clawback", "forgiven", "available"),
    [(WITHIN_BALANCE, 8, 0), (ALLOW_NEGATIVE, 0, -8), (PENDING_ONLY, 10, 2)],
)
async def test_a_return_while_the_points_are_held(
    database: Database,
    tokens: Tokens,
    clawback: EarnSettings.Clawback.ValueType,
    forgiven: int,
    available: int,
) -> None:
    """What is set aside stays so: the capture that is under way goes through."""
    async with shop_with(database, tokens, clawback=clawback) as shop:
        sold = await earn(shop, new_card(), 10, ago(2))
        held = await shop.hold(wallet_of(sold), 8)
        back = await shop.give_back(sale=sold)
        assert (back.points_forgiven, back.balance.available) == (forgiven, available)
        assert back.balance.held == 8
        captured = await shop.capture(held.hold.name, 5)
        # What of it comes back makes good what was forgiven.
        there = 0 if clawback == WITHIN_BALANCE else available + 3
        assert (captured.balance.available, captured.balance.held) == (there, 0)


@pytest.mark.parametrize("clawback", [WITHIN_BALANCE, ALLOW_NEGATIVE])
async def test_points_that_expired_are_not_taken_back_from_others(
    database: Database, tokens: Tokens, clawback: EarnSettings.Clawback.ValueType
) -> None:
    """Without the sale they would not have been there to expire."""
    async with shop_with(database, tokens, TEN_DAYS, clawback=clawback) as shop:
        card = new_card()
        wallet = wallet_of(await earn(shop, card, 20, ago(5)))
        before = left(shop, wallet)
        sold = await earn(shop, card, 10, ago(12))
        earned = (await shop.lots(wallet)).lots[0].earn_time
        held = await shop.hold(wallet, 4, business_time=earned)
        await nights(shop)
        assert await standing(shop, wallet) == (20, 0, 4)
        await shop.give_back((1, 300), sale=sold)
        assert await standing(shop, wallet) == (20, 0, 4)
        await shop.release(held.hold.name)
        back = await shop.give_back(sale=sold)
        assert back.points_forgiven == 0
        assert left(shop, wallet) == before


async def test_goods_that_came_back_as_a_whole_prolong_nothing(
    database: Database, tokens: Tokens
) -> None:
    life = PointLife(expiry=PointLife.EXPIRY_INACTIVITY, expiry_count=1)
    async with shop_with(database, tokens, life) as shop:
        card = new_card()
        wallet = wallet_of(await earn(shop, card, 20, ago(50)))
        before = left(shop, wallet)
        sold = await earn(shop, card, 10, ago(20))
        await nights(shop)
        assert left(shop, wallet)[1][0][1] > before[1][0][1]
        await shop.give_back((1, 300), sale=sold)
        assert active_date(shop, wallet) == ago(20)
        await shop.give_back(sale=sold)
        assert left(shop, wallet) == before
        assert active_date(shop, wallet) == ago(50)


async def test_what_else_a_member_did_still_prolongs_when_goods_come_back(
    database: Database, tokens: Tokens
) -> None:
    life = PointLife(expiry=PointLife.EXPIRY_INACTIVITY, expiry_count=1)
    async with shop_with(database, tokens, life) as shop:
        card = new_card()
        wallet = wallet_of(await earn(shop, card, 20, ago(50)))
        await earn(shop, card, 5, ago(30))
        await shop.give_back(sale=await earn(shop, card, 5, ago(24)))
        before = (await shop.lots(wallet)).lots
        sold = await earn(shop, card, 10, ago(20))
        await nights(shop)
        await shop.void(sale=sold)
        assert active_date(shop, wallet) == ago(30)
        assert (await shop.lots(wallet)).lots == before


async def test_what_is_owed_is_repaid_by_points_that_become_available(
    database: Database, tokens: Tokens
) -> None:
    async with shop_with(database, tokens, PENDING, clawback=ALLOW_NEGATIVE) as shop:
        card = new_card()
        sold = await earn(shop, card, 10, ago(12))
        while not (await shop.night(ACTIVATE, ago(8))).done:
            pass
        wallet = wallet_of(sold)
        await shop.burn(wallet, 10)
        await shop.give_back(sale=sold)
        await earn(shop, card, 15, ago(9))
        assert await standing(shop, wallet) == (-10, 15, 0)
        await nights(shop)
        assert await standing(shop, wallet) == (5, 0, 0)
        assert [lot.remaining_points for lot in (await shop.lots(wallet)).lots] == [5]


async def test_an_overdrawn_wallet_has_nothing_to_expire(
    database: Database, tokens: Tokens
) -> None:
    async with shop_with(database, tokens, TEN_DAYS, clawback=ALLOW_NEGATIVE) as shop:
        card = new_card()
        first = await earn(shop, card, 10, ago(13))
        wallet = wallet_of(first)
        lot = (await shop.lots(wallet)).lots[0]
        held = await shop.hold(wallet, 10, business_time=lot.earn_time)
        await shop.give_back(sale=first)
        assert await standing(shop, wallet) == (-10, 0, 10)
        await earn(shop, card, 4, ago(12))
        await nights(shop)
        assert await standing(shop, wallet) == (-6, 0, 10)
        await shop.release(held.hold.name)
        assert await standing(shop, wallet) == (4, 0, 0)


async def test_burns_and_refunds_stand_in_the_statement_and_are_explained(
    database: Database, tokens: Tokens
) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        wallet = await a_wallet(shop, (5, ago(12)), (5, ago(1)), (5, ago(1)))
        await shop.refund(await shop.burn(wallet, 7), 4)
        await nights(shop)
        found = list((await shop.entries(wallet)).entries)
        assert sorted(entry.points for entry in found) == [-7, -5, 4, 5, 5, 5]
        for entry in found:
            request = ledger_pb2.ExplainEntryRequest(name=entry.name)
            explained = await shop.care.ExplainEntry(request, metadata=shop.everything)
            assert explained.recomputation_agrees
            assert explained.recomputed_points == entry.points
            assert sum(lot.points for lot in explained.lots) == entry.points
        sales = ledger_pb2.ListSalesRequest(parent=wallet)
        assert len((await shop.care.ListSales(sales, metadata=shop.everything)).sales) == 3
