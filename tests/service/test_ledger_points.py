"""Points are held, captured, released and given back as callers ask, once each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from loyalty.ledger.v1 import points_pb2

from services.cli.audit import run_audit
from services.ledger.committing import ThreadCommitter, now_micros
from services.ledger.overdue import OverdueHolds
from services.ledger.settings import LedgerSettings
from services.ledger.shards import Shards
from services.ledger.usecases.night import Nights
from services.plumbing.database import engine
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_history import SHARDS, problems_of
from tests.service.ledger_members import new_member, told, wallet_name
from tests.service.ledger_shop import (
    Shop,
    added,
    common_database,
    eventually,
    line,
    moment,
    new_card,
    new_id,
    next_moment,
    sale,
    schema_of,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens
from tests.service.waiting import until

Hold = points_pb2.Hold
UNMET = grpc.StatusCode.FAILED_PRECONDITION
MISSING = grpc.StatusCode.NOT_FOUND


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


async def a_wallet(shop: Shop, *points: int) -> str:
    """A wallet with a lot of each sale."""
    card = new_card()
    for each in points:
        recorded = await shop.record(sale(card, line(each * 100)))
    return wallet_of(recorded.sale)


async def balance(shop: Shop, wallet: str) -> tuple[int, int]:
    found = await shop.wallet(wallet)
    return found.available, found.held


def remembered(wallet: str, *, times: int = 1) -> dict[str, int]:
    """What a refusal adds to the books, and nothing else."""
    schema = schema_of(wallet)
    return {f"{schema}.batches": times, f"{schema}.journal": times}


async def test_points_are_held_captured_and_given_back(shop: Shop) -> None:
    wallet = await a_wallet(shop, 5, 5)
    lots = (await shop.lots(wallet)).lots
    held = await shop.hold(wallet, 7, purpose='redemptions/1 "é"\n\\{},', life_seconds=60)
    assert (held.balance.available, held.balance.held) == (3, 7)
    assert held.hold.state == Hold.STATE_OPEN
    assert held.hold.name.startswith(f"{wallet}/holds/")
    assert await shop.get_hold(held.hold.name) == held.hold
    assert [(lot.held_points, lot.remaining_points) for lot in (await shop.lots(wallet)).lots] == [
        (5, 5),
        (2, 5),
    ]
    captured = await shop.capture(held.hold.name, 6)
    assert (captured.balance.available, captured.balance.held) == (4, 0)
    assert (captured.hold.state, captured.hold.captured_points) == (Hold.STATE_CAPTURED, 6)
    assert captured.hold.burn.startswith(f"{wallet}/burns/")
    assert await shop.get_hold(held.hold.name) == captured.hold
    refund = await shop.refund(captured.hold.burn)
    assert (refund.points, refund.balance.available) == (6, 10)
    assert [(part.lot, part.points) for part in refund.lots] == [
        (lots[1].name, 1),
        (lots[0].name, 5),
    ]
    assert (await shop.lots(wallet)).lots == lots


async def test_released_points_are_available_again(shop: Shop) -> None:
    wallet = await a_wallet(shop, 10)
    before = await shop.lots(wallet)
    held = await shop.hold(wallet, 7)
    released = await shop.release(held.hold.name)
    assert released.hold.state == Hold.STATE_RELEASED
    again = await shop.release(held.hold.name)
    assert (again.hold, again.balance) == (released.hold, released.balance)
    assert await balance(shop, wallet) == (10, 0)
    assert await shop.lots(wallet) == before


async def test_each_request_is_done_once_and_answered_again_the_same(shop: Shop) -> None:
    wallet = await a_wallet(shop, 10)
    ids = [new_id() for _ in range(4)]
    when = next_moment()

    async def everything() -> list[object]:
        held = await shop.hold(wallet, 4, request_id=ids[0], business_time=when)
        captured = await shop.capture(held.hold.name, 3, ids[1])
        refund = await shop.refund(captured.hold.burn, 2, request_id=ids[2], business_time=when)
        return [held, captured, refund]

    first = await everything()
    await shop.burn(wallet, 5)
    before = shop.contents()
    assert await everything() == first
    upper = [each.upper() for each in ids]
    assert [await shop.hold(wallet, 4, request_id=upper[0], business_time=when)] == first[:1]
    assert added(before, shop.contents()) == {}
    held = await shop.hold(wallet, 1)
    released = await shop.release(held.hold.name, ids[3])
    assert await shop.release(held.hold.name, ids[3]) == released


async def test_a_request_id_of_another_request_is_refused(shop: Shop) -> None:
    wallet = await a_wallet(shop, 10)
    used, when = new_id(), next_moment()
    held = await shop.hold(wallet, 4, request_id=used, business_time=when)
    burn = await shop.burn(wallet, 2)
    before = shop.contents()
    for call in (
        shop.hold(wallet, 5, request_id=used, business_time=when),
        shop.hold(wallet, 4, request_id=used, business_time=when, purpose="tea"),
        shop.hold(wallet, 4, request_id=used, business_time=when, life_seconds=30),
        shop.hold(wallet, 4, request_id=used),
        shop.capture(held.hold.name, request_id=used),
        shop.release(held.hold.name, request_id=used),
        shop.refund(burn, request_id=used),
    ):
        assert (await refused(call)).reason == "REQUEST_ID_REUSED"
    assert added(before, shop.contents()) == {}


async def test_every_refusal_has_its_reason_and_changes_nothing(shop: Shop) -> None:
    wallet = await a_wallet(shop, 30)
    held = (await shop.hold(wallet, 4)).hold.name
    short = (await shop.hold(wallet, 3, life_seconds=1)).hold.name
    released = (await shop.hold(wallet, 2)).hold.name
    await shop.release(released)
    captured = (await shop.capture((await shop.hold(wallet, 2)).hold.name)).hold
    later, long_ago = moment(next_moment().seconds + 10**6), moment(10**9)
    await outlived(shop, short)
    # Now, and not by the server in the midst of what follows.
    await shop.release(short)
    attempts: dict[str, tuple[str, Callable[[], Awaitable[object]]]] = {
        "more than there is": ("INSUFFICIENT_POINTS", lambda: shop.hold(wallet, 25)),
        "later": ("BUSINESS_TIME_IN_FUTURE", lambda: shop.hold(wallet, 1, business_time=later)),
        "long ago": ("BUSINESS_TIME_TOO_OLD", lambda: shop.hold(wallet, 1, business_time=long_ago)),
        "more than held": ("CAPTURE_EXCEEDS_HOLD", lambda: shop.capture(held, 5)),
        "captured again": ("HOLD_CAPTURED", lambda: shop.capture(captured.name)),
        "released then captured": ("HOLD_RELEASED", lambda: shop.capture(released)),
        "captured then released": ("HOLD_CAPTURED", lambda: shop.release(captured.name)),
        "captured late": ("HOLD_EXPIRED", lambda: shop.capture(short)),
        "more than burned": ("REFUND_EXCEEDS_BURN", lambda: shop.refund(captured.burn, 3)),
        "no hold": ("HOLD_NOT_FOUND", lambda: shop.capture(f"{wallet}/holds/1")),
        "no hold to release": ("HOLD_NOT_FOUND", lambda: shop.release(f"{wallet}/holds/1")),
        "no burn": ("BURN_NOT_FOUND", lambda: shop.refund(f"{wallet}/burns/1")),
        "a hold is no burn": (
            "BURN_NOT_FOUND",
            lambda: shop.refund(held.replace("holds", "burns")),
        ),
    }
    for reason, call in attempts.values():
        before = shop.contents()
        found = await refused(call())
        assert found.reason == reason
        assert added(before, shop.contents()) == remembered(wallet)


async def outlived(shop: Shop, hold: str) -> None:
    """Wait until a hold's life is over; the ledger in this process has the same clock."""
    end = (await shop.get_hold(hold)).expire_time.ToMicroseconds()
    await until(lambda: now_micros() > end)


async def test_what_no_wallet_remembers_leaves_no_trace(shop: Shop) -> None:
    member = new_member()
    with told(shop.database_url) as ledger:
        ledger.enrolled(member)
    before = shop.contents()
    attempts = {
        "WALLET_NOT_FOUND": shop.hold("wallets/999999999", 1),
        "INSUFFICIENT_POINTS": shop.hold(wallet_name(member), 1),
        "HOLD_NOT_FOUND": shop.capture("wallets/999999999/holds/1"),
        "BURN_NOT_FOUND": shop.refund("wallets/999999999/burns/1"),
    }
    for reason, call in attempts.items():
        assert (await refused(call)).reason == reason
    huge = 2**63
    for unknown in (
        shop.release("wallets/999999999/holds/1"),
        shop.get_hold(f"wallets/1/holds/{huge}"),
        shop.get_hold(f"wallets/{huge}/holds/1"),
        shop.capture(f"wallets/{huge}/holds/1"),
        shop.refund(f"wallets/1/burns/{huge}"),
    ):
        assert (await refused(unknown)).code is MISSING
    assert added(before, shop.contents()) == {}


async def test_a_refusal_is_remembered(shop: Shop) -> None:
    wallet = await a_wallet(shop, 10)
    used, when = new_id(), next_moment()
    first = await refused(shop.hold(wallet, 11, request_id=used, business_time=when))
    assert (first.code, first.metadata) == (UNMET, {"wanted": "11", "available": "10"})
    await shop.adjust(wallet, 5)
    before = shop.contents()
    assert await refused(shop.hold(wallet, 11, request_id=used, business_time=when)) == first
    assert added(before, shop.contents()) == {}


async def test_a_hold_and_a_burn_of_another_wallet_are_not_found(shop: Shop) -> None:
    wallet, other = await a_wallet(shop, 10), await a_wallet(shop, 10)
    held = (await shop.hold(wallet, 4)).hold.name.split("/")[-1]
    burn = (await shop.burn(wallet, 2)).split("/")[-1]
    assert (await refused(shop.capture(f"{other}/holds/{held}"))).reason == "HOLD_NOT_FOUND"
    assert (await refused(shop.release(f"{other}/holds/{held}"))).reason == "HOLD_NOT_FOUND"
    assert (await refused(shop.get_hold(f"{other}/holds/{held}"))).reason == "HOLD_NOT_FOUND"
    assert (await refused(shop.refund(f"{other}/burns/{burn}"))).reason == "BURN_NOT_FOUND"
    assert await balance(shop, other) == (10, 0)


async def test_two_tills_never_spend_more_than_there_is(
    shop: Shop, serve: Serve, tokens: Tokens
) -> None:
    """Each till at a server of its own."""
    wallet = await a_wallet(shop, 30, 20)
    second = Shop(await serve("ledger", shop.database_url), tokens, shop.database_url)
    calls = [each.hold(wallet, 7) for each in (shop, second) for _ in range(12)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    held = [each for each in answers if isinstance(each, points_pb2.HoldPointsResponse)]
    assert len(held) == 7
    assert await balance(shop, wallet) == (1, 49)


async def test_a_hold_captured_and_released_at_once_is_one_of_both(shop: Shop) -> None:
    wallet = await a_wallet(shop, 20)
    names = [(await shop.hold(wallet, 2)).hold.name for _ in range(10)]
    calls = [call(name) for name in names for call in (shop.capture, shop.release)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    captured = sum(isinstance(each, points_pb2.CapturePointsResponse) for each in answers)
    released = sum(isinstance(each, points_pb2.ReleaseHoldResponse) for each in answers)
    assert captured + released == 10
    assert await balance(shop, wallet) == (20 - 2 * captured, 0)


async def test_a_burn_given_back_at_many_desks_at_once_comes_back_once(shop: Shop) -> None:
    wallet = await a_wallet(shop, 20)
    burn = await shop.burn(wallet, 10)
    calls = [shop.refund(burn, 3) for _ in range(8)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, points_pb2.RefundPointsResponse) for each in answers) == 3
    assert await balance(shop, wallet) == (19, 0)


async def test_overdue_holds_are_released_by_themselves(shop: Shop) -> None:
    wallet = await a_wallet(shop, 10)
    lasting = (await shop.hold(wallet, 3)).hold.name
    short = (await shop.hold(wallet, 4, life_seconds=1)).hold.name
    await outlived(shop, short)
    async with releasing(shop):
        await eventually(lambda: is_in(shop, short, Hold.STATE_EXPIRED), what="the release")
    assert (await shop.get_hold(lasting)).state == Hold.STATE_OPEN
    assert await balance(shop, wallet) == (7, 3)
    assert (await refused(shop.capture(short))).reason == "HOLD_EXPIRED"


@asynccontextmanager
async def releasing(shop: Shop) -> AsyncIterator[None]:
    """What a server does every few seconds, all the time."""
    settings = LedgerSettings(database_url=shop.database_url, grpc_address=":0", metrics_port=0)
    committers = [
        ThreadCommitter(shop.database_url, number, settings.limits) for number in range(SHARDS)
    ]
    shards = Shards(committers, batch_max=settings.batch_max, queue_max=settings.queue_max)
    database = engine(shop.database_url, pool_size=1)
    overdue = OverdueHolds(shards, Nights(database, now_micros), every_seconds=0.01)
    yield
    await overdue.close()
    await shards.close()
    database.dispose()


async def is_in(shop: Shop, hold: str, state: Hold.State.ValueType) -> bool:
    return (await shop.get_hold(hold)).state == state


async def test_a_member_with_two_wallets_spends_from_the_one_that_has_enough(shop: Shop) -> None:
    member = new_member()
    small, large = await a_wallet(shop, 5), await a_wallet(shop, 50)
    own(shop, member, small, large)
    name, used, when = wallet_name(member), new_id(), next_moment()
    first = await shop.hold(name, 30, request_id=used, business_time=when)
    assert first.hold.name.startswith(f"{large}/")
    # The other one has enough by now, and this one no longer has.
    await shop.adjust(small, 100)
    assert await shop.hold(name, 30, request_id=used, business_time=when) == first
    assert await balance(shop, name) == (125, 30)


def own(shop: Shop, member: str, *wallets: str) -> None:
    """Let a member have wallets that nobody had."""
    with told(shop.database_url) as ledger:
        ledger.enrolled(member)
        for wallet in wallets:
            [(card,)] = shop.rows(
                "SELECT card_token FROM cards WHERE wallet_id = %(wallet)s",
                wallet=int(wallet.split("/")[1]),
            )
            ledger.issued(member, card)


async def test_members_see_their_own_holds_and_lots_and_no_others(
    shop: Shop, tokens: Tokens
) -> None:
    member, other = new_member(), new_member()
    wallets = {each: await a_wallet(shop, 10) for each in (member, other)}
    holds = {each: (await shop.hold(wallets[each], 1)).hold for each in wallets}
    for each, wallet in wallets.items():
        own(shop, each, wallet)
    token = tokens.bearer("wallets.read.own", subject=member)
    assert await shop.get_hold(holds[member].name, token) == holds[member]
    for name in (wallet_name(member), wallets[member]):
        assert len((await shop.lots(name, token)).lots) == 1
    before = shop.contents()
    for call in (
        shop.get_hold(holds[other].name, token),
        shop.get_hold(f"{wallets[other]}/holds/1", token),
        shop.lots(wallets[other], token),
        shop.lots(wallet_name(other), token),
        shop.lots("wallets/999999999", token),
    ):
        assert (await refused(call)).reason == "NOT_YOURS"
    moving = await refused(shop.hold(wallets[member], 1, token))
    assert moving.reason == "MISSING_SCOPE"
    assert added(before, shop.contents()) == {}


async def test_lots_come_page_by_page_over_all_wallets_of_a_member(shop: Shop) -> None:
    member = new_member()
    wallets = [await a_wallet(shop, *points) for points in ((1, 2, 3), (4, 5), (6, 7))]
    own(shop, member, *wallets)
    name = wallet_name(member)
    whole = await shop.lots(name)
    assert sorted(lot.remaining_points for lot in whole.lots) == [1, 2, 3, 4, 5, 6, 7]
    assert whole.next_page_token == ""
    found, token = [], ""
    for _ in range(4):
        page = await shop.lots(name, page_size=2, page_token=token)
        found += list(page.lots)
        token = page.next_page_token
    assert (found, token) == (list(whole.lots), "")
    for wrong in ("?", "bm9wZQ==", "WzEsMl0="):
        assert (await refused(shop.lots(name, page_token=wrong))).reason == "PAGE_TOKEN_INVALID"
    assert (await refused(shop.lots("wallets/999999999"))).reason == "WALLET_NOT_FOUND"


async def test_impossible_values_are_refused_field_by_field(shop: Shop) -> None:
    wallet = await a_wallet(shop, 10)
    before = shop.contents()
    attempts = {
        "points": shop.hold(wallet, 0),
        "purpose": shop.hold(wallet, 1, purpose=""),
        "life_seconds": shop.hold(wallet, 1, life_seconds=-1),
        "request_id": shop.hold(wallet, 1, request_id="one"),
        "wallet": shop.hold("wallets/one", 1),
        "hold": shop.capture(f"{wallet}/holds/x"),
        "burn": shop.refund(f"{wallet}/holds/1"),
        "reason": shop.refund(f"{wallet}/burns/1", reason="no"),
    }
    for field, call in attempts.items():
        assert (await refused(call)).fields == (field,)
    assert added(before, shop.contents()) == {}


async def test_the_books_are_right_after_all_this(shop: Shop) -> None:
    assert problems_of((await asyncio.to_thread(run_audit, shop.database_url)).checks) == {}
