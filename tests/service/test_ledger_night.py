"""A night makes pending points available, expires lots and releases holds, each day once."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import grpc
import pytest
from loyalty.ledger.v1 import night_pb2

from services.ledger.domain.night import Step, cutoff_of
from services.ledger.domain.refusals import DayNotOver
from services.ledger.storage.night import DayDone
from services.ledger.usecases.night import Nights
from services.plumbing.database import engine
from tests.service.conftest import Serve
from tests.service.ledger_lives import (
    DAY,
    PointLife,
    a_wallet,
    ago,
    earn,
    noon,
    shop_with,
    standing,
)
from tests.service.ledger_shop import Shop, added, new_card, schema_of, wallet_of
from tests.service.refusals import refused
from tests.service.tokens import Tokens
from tests.service.waiting import until

ACTIVATE = night_pb2.NIGHT_STEP_ACTIVATE_PENDING
EXPIRE = night_pb2.NIGHT_STEP_EXPIRE_LOTS
RELEASE = night_pb2.NIGHT_STEP_RELEASE_HOLDS
Database = Callable[[str], str]
TEN_DAYS = PointLife(expiry=PointLife.EXPIRY_DAYS, expiry_count=10)
PENDING = PointLife(pending_days=3)
YESTERDAY = ago(1)


async def close(
    shop: Shop, step: night_pb2.NightStep.ValueType, day: date, wallets_max: int = 0
) -> tuple[int, int]:
    """Do a step until it is done; answers the day's wallets and points."""
    for _ in range(100):
        answer = await shop.night(step, day, wallets_max)
        if answer.done:
            return answer.day_wallets, answer.day_points
    raise AssertionError("the step does not end")


async def first_open_day(shop: Shop, step: night_pb2.NightStep.ValueType) -> str:
    request = night_pb2.GetNightStepRequest(step=step)
    return (await shop.nights.GetNightStep(request, metadata=shop.everything)).first_open_day


async def test_pending_points_become_available_in_the_night_before_their_time(
    database: Database, tokens: Tokens
) -> None:
    """Points of a day's noon that wait for three days: in the night after the third."""
    async with shop_with(database, tokens, PENDING) as shop:
        wallet = await a_wallet(shop, (10, ago(5)), (5, ago(4)))
        assert await standing(shop, wallet) == (0, 15, 0)
        assert (await refused(shop.hold(wallet, 1))).metadata["available"] == "0"
        assert await close(shop, ACTIVATE, ago(3)) == (0, 0)
        assert await close(shop, ACTIVATE, ago(2)) == (1, 10)
        assert await standing(shop, wallet) == (10, 5, 0)
        assert await close(shop, ACTIVATE, ago(1)) == (1, 5)
        assert await standing(shop, wallet) == (15, 0, 0)
        assert [lot.pending for lot in (await shop.lots(wallet)).lots] == [False, False]


async def test_lots_expire_in_the_night_before_their_last_instant(
    database: Database, tokens: Tokens
) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        wallet = await a_wallet(shop, (10, ago(12)), (5, ago(11)), (2, ago(1)))
        assert await close(shop, EXPIRE, ago(4)) == (0, 0)
        assert await close(shop, EXPIRE, ago(3)) == (1, 10)
        assert await close(shop, EXPIRE, ago(2)) == (1, 5)
        assert await close(shop, EXPIRE, ago(1)) == (0, 0)
        assert await standing(shop, wallet) == (2, 0, 0)
        found = (await shop.wallet(wallet)).next_expiry
        assert (found.points, found.expire_time.ToDatetime().date()) == (2, ago(-9))
        [entry] = [e for e in (await shop.entries(wallet)).entries if e.points == -10]
        # It belongs to the day that ended, to its last instant.
        last = datetime.combine(ago(2), datetime.min.time()) - timedelta(microseconds=1)
        assert entry.business_time.ToDatetime() == last


async def test_an_expired_lot_cannot_be_spent_before_the_night(
    database: Database, tokens: Tokens
) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        wallet = await a_wallet(shop, (10, ago(11)), (5, ago(2)))
        assert (await refused(shop.hold(wallet, 6))).metadata["available"] == "5"
        # As it was then, late tills may still spend it.
        await shop.hold(wallet, 15, business_time=noon(ago(2)))


async def test_activity_prolongs_lots_of_the_active(database: Database, tokens: Tokens) -> None:
    life = PointLife(expiry=PointLife.EXPIRY_INACTIVITY, expiry_count=1)
    async with shop_with(database, tokens, life) as shop:
        active = await a_wallet(shop, (10, ago(60)), (5, ago(20)))
        idle = await a_wallet(shop, (10, ago(60)))
        lots = (await shop.lots(active)).lots
        # Both end together, and so does what the wallet shows.
        assert len({lot.expire_time.seconds for lot in lots}) == 1
        shown = (await shop.wallet(active)).next_expiry
        assert (shown.points, shown.expire_time) == (15, lots[0].expire_time)
        assert (await close(shop, EXPIRE, YESTERDAY))[1] == 10
        assert await standing(shop, active) == (15, 0, 0)
        assert await standing(shop, idle) == (0, 0, 0)
        assert list((await shop.lots(active)).lots) == list(lots)


async def test_a_hold_counts_as_activity(database: Database, tokens: Tokens) -> None:
    life = PointLife(expiry=PointLife.EXPIRY_INACTIVITY, expiry_count=1)
    async with shop_with(database, tokens, life) as shop:
        wallet = await a_wallet(shop, (10, ago(40)))
        await shop.hold(wallet, 1, business_time=noon(ago(12)))
        assert (await close(shop, EXPIRE, YESTERDAY))[1] == 0
        assert await standing(shop, wallet) == (9, 0, 1)


async def test_held_points_do_not_expire_until_they_are_released(
    database: Database, tokens: Tokens
) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        wallet = await a_wallet(shop, (10, ago(14)))
        held = await shop.hold(wallet, 6, business_time=noon(ago(10)))
        assert await close(shop, EXPIRE, ago(3)) == (1, 4)
        assert await standing(shop, wallet) == (0, 0, 6)
        await shop.capture(held.hold.name, 1)
        assert await close(shop, EXPIRE, ago(2)) == (1, 5)
        assert await standing(shop, wallet) == (0, 0, 0)


async def test_overdue_holds_are_released_by_the_night(database: Database, tokens: Tokens) -> None:
    async with shop_with(database, tokens) as shop:
        wallet = await a_wallet(shop, (10, ago(3)))
        lasting = await shop.hold(wallet, 2)
        short = await shop.hold(wallet, 4, life_seconds=1)
        end = short.hold.expire_time.ToDatetime(UTC)
        await until(lambda: datetime.now(UTC) > end)
        await close(shop, RELEASE, YESTERDAY)
        assert await standing(shop, wallet) == (8, 0, 2)
        assert (await refused(shop.capture(short.hold.name))).reason == "HOLD_EXPIRED"
        assert (await shop.get_hold(lasting.hold.name)) == lasting.hold


async def test_a_night_goes_in_slices_and_sums_them_up(database: Database, tokens: Tokens) -> None:
    """Wallets with several lots that are due, which must not be taken for the end."""
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        wallets = [
            await a_wallet(shop, (10, ago(12)), (5, ago(12)), (1, ago(11))) for _ in range(7)
        ]
        answers: list[night_pb2.RunNightStepResponse] = []
        while not answers or not answers[-1].done:
            answers.append(await shop.night(EXPIRE, YESTERDAY, 2))
            assert answers[-1].wallets <= 2
        assert sum(answer.points for answer in answers) == 7 * 16
        assert answers[-1].day_points == 7 * 16
        assert [answer.day_points for answer in answers] == [
            sum(before.points for before in answers[: n + 1]) for n in range(len(answers))
        ]
        assert {await standing(shop, wallet) for wallet in wallets} == {(0, 0, 0)}


async def test_a_step_of_a_day_is_done_once(database: Database, tokens: Tokens) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        await a_wallet(shop, (10, ago(12)))
        assert await close(shop, EXPIRE, ago(2)) == (1, 10)
        before = shop.contents()
        again = await shop.night(EXPIRE, ago(2))
        assert (again.done, again.wallets, again.points) == (True, 0, 0)
        assert (again.day_wallets, again.day_points) == (1, 10)
        # A day before it is done with it.
        earlier = await shop.night(EXPIRE, ago(3))
        assert (earlier.done, earlier.day_points) == (True, 0)
        assert added(before, shop.contents()) == {}


async def test_a_later_day_that_is_not_done_does_not_stand_for_those_before(
    database: Database, tokens: Tokens
) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        wallets = [await a_wallet(shop, (10, ago(12))) for _ in range(3)]
        assert not (await shop.night(EXPIRE, YESTERDAY, 1)).done
        assert await close(shop, EXPIRE, ago(2)) == (2, 20)
        assert await close(shop, EXPIRE, YESTERDAY) == (1, 10)
        assert {await standing(shop, wallet) for wallet in wallets} == {(0, 0, 0)}


async def test_a_night_that_was_interrupted_goes_on_at_another_server(
    database: Database, tokens: Tokens, serve: Serve
) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        wallets = [await a_wallet(shop, (10, ago(12))) for _ in range(4)]
        assert (await shop.night(EXPIRE, YESTERDAY, 3)).wallets == 3
        other = Shop(await serve("ledger", shop.database_url), tokens, shop.database_url)
        assert await first_open_day(other, EXPIRE) == YESTERDAY.isoformat()
        assert await close(other, EXPIRE, YESTERDAY) == (4, 40)
        assert {await standing(shop, wallet) for wallet in wallets} == {(0, 0, 0)}


async def test_two_nights_at_once_expire_nothing_twice(database: Database, tokens: Tokens) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        wallets = [await a_wallet(shop, (10, ago(12))) for _ in range(20)]
        found = await asyncio.gather(*(close(shop, EXPIRE, YESTERDAY, 3) for _ in range(3)))
        assert max(points for _, points in found) == 200
        assert {await standing(shop, wallet) for wallet in wallets} == {(0, 0, 0)}


async def test_each_step_knows_its_first_open_day(database: Database, tokens: Tokens) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        assert await first_open_day(shop, EXPIRE) == ""
        await a_wallet(shop, (10, ago(12)))
        assert await first_open_day(shop, EXPIRE) == ago(12).isoformat()
        await close(shop, EXPIRE, ago(9))
        assert await first_open_day(shop, EXPIRE) == ago(8).isoformat()
        assert await first_open_day(shop, ACTIVATE) == ago(12).isoformat()


async def test_sales_that_come_late_are_due_in_the_next_night(
    database: Database, tokens: Tokens
) -> None:
    life = PointLife(pending_days=3, expiry=PointLife.EXPIRY_DAYS, expiry_count=10)
    async with shop_with(database, tokens, life) as shop:
        await a_wallet(shop, (1, ago(1)))
        for step in (ACTIVATE, EXPIRE):
            await close(shop, step, ago(3))
        late, very_late = await a_wallet(shop, (10, ago(8))), await a_wallet(shop, (7, ago(30)))
        assert await standing(shop, late) == (0, 10, 0)
        assert await close(shop, ACTIVATE, ago(2)) == (2, 17)
        assert await standing(shop, very_late) == (7, 0, 0)
        assert (await refused(shop.hold(very_late, 1))).reason == "INSUFFICIENT_POINTS"
        assert await close(shop, EXPIRE, ago(2)) == (1, 7)
        assert await standing(shop, late) == (10, 0, 0)


async def test_points_cancelled_while_pending_are_nobodys_work(
    database: Database, tokens: Tokens
) -> None:
    async with shop_with(database, tokens, PENDING) as shop:
        card = new_card()
        sold = await earn(shop, card, 10, ago(5))
        await shop.give_back(sale=sold)
        assert await standing(shop, wallet_of(sold)) == (0, 0, 0)
        assert await close(shop, ACTIVATE, YESTERDAY) == (0, 0)


async def test_a_wallet_that_cannot_be_done_keeps_no_other_waiting(
    database: Database, tokens: Tokens
) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        broken, *others = [await a_wallet(shop, (10, ago(12))) for _ in range(5)]
        spoil = f"UPDATE {schema_of(broken)}.wallets SET available = %s WHERE wallet_id = %s"
        number = int(broken.split("/")[1])
        shop.execute(spoil, 0, number)
        answer = await shop.night(EXPIRE, YESTERDAY)
        assert (answer.done, answer.wallets, answer.points) == (False, 4, 40)
        assert {await standing(shop, wallet) for wallet in others} == {(0, 0, 0)}
        assert (await refused(shop.night(EXPIRE, YESTERDAY))).code is grpc.StatusCode.INTERNAL
        assert await first_open_day(shop, EXPIRE) == YESTERDAY.isoformat()
        shop.execute(spoil, 10, number)
        assert await close(shop, EXPIRE, YESTERDAY) == (5, 50)


@pytest.mark.parametrize("step", [ACTIVATE, EXPIRE, RELEASE])
async def test_a_day_that_is_not_over_is_refused(
    database: Database, tokens: Tokens, step: night_pb2.NightStep.ValueType
) -> None:
    async with shop_with(database, tokens, TEN_DAYS) as shop:
        await a_wallet(shop, (10, ago(12)))
        before = shop.contents()
        # Today may be over before it is asked for; tomorrow is not.
        for day in (datetime.now(UTC).date() + DAY, date.max):
            found = await refused(shop.night(step, day))
            assert (found.code, found.reason) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "DAY_NOT_OVER",
            )
        for text in ("2026-02-30", "2026-13-01", "yesterday", "", "2026-1-1"):
            request = night_pb2.RunNightStepRequest(step=step, day=text)
            call = shop.nights.RunNightStep(request, metadata=shop.everything)
            found = await refused(call)
            assert (found.code, found.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("day",))
        assert added(before, shop.contents()) == {}


@pytest.mark.parametrize("step", list(Step))
def test_a_day_is_over_at_midnight_and_not_a_microsecond_before(
    database: Database, step: Step
) -> None:
    midnight = cutoff_of(YESTERDAY)
    ledger = engine(database("ledger"), pool_size=1)
    try:
        with pytest.raises(DayNotOver):
            Nights(ledger, lambda: midnight - 1).slice(step, YESTERDAY, wallets_max=1)
        assert Nights(ledger, lambda: midnight).first_open_day(step) is None
        done = Nights(ledger, lambda: midnight).slice(step, YESTERDAY, wallets_max=1)
        assert done == DayDone(YESTERDAY, wallets=0, points=0, done=True)
    finally:
        ledger.dispose()
