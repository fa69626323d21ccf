"""Returns, voids and adjustments as tills and care agents call them."""

import asyncio

import grpc
import pytest
from loyalty.ledger.v1 import earn_policy_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import (
    BOTH,
    Shop,
    added,
    common_database,
    earn_policy,
    line,
    moment,
    new_card,
    new_id,
    next_moment,
    publish,
    rule,
    sale,
    schema_of,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


def receipt_of(sold: pos.Sale) -> pos.ReceiptReference:
    return pos.ReceiptReference(
        card_token=sold.card_token,
        store=sold.store,
        terminal=sold.terminal,
        receipt_number=sold.receipt_number,
    )


async def test_a_return_answers_what_went_and_what_is_left(shop: Shop) -> None:
    recorded = await shop.record(sale(new_card(), line(500, "PRODUCE"), line(300)))
    back = await shop.give_back(1, sale=recorded.sale)
    assert [(each.rule, each.kind, each.points) for each in back.points] == [
        ("base", pos.POINT_KIND_REDEEMABLE, -5),
        ("base", pos.POINT_KIND_QUALIFYING, -5),
        ("produce", pos.POINT_KIND_REDEEMABLE, -5),
    ]
    assert (back.sale, back.points_forgiven) == (recorded.sale, 0)
    assert getattr(back, "return").startswith(f"{wallet_of(recorded.sale)}/returns/")
    assert (back.balance.available, back.balance.qualifying) == (3, 3)
    assert list(back.receipt_texts) == ["Taken back: 10 points.", "Your balance: 3 points."]


async def test_buy_and_full_return_leaves_counters_and_lots_as_before(shop: Shop) -> None:
    card = new_card()
    first = await shop.record(sale(card))
    wallet = wallet_of(first.sale)
    before = (await shop.wallet(wallet), lots_of(shop, wallet))
    second = await shop.record(sale(card, line(999, "PRODUCE", quantity_thousandths=3000)))
    for _ in range(3):
        await shop.give_back((1, 1000), sale=second.sale)
    assert (await shop.wallet(wallet), lots_of(shop, wallet)) == before


def lots_of(shop: Shop, wallet: str) -> list[tuple[object, ...]]:
    """What lots still hold, and since when."""
    return shop.rows(
        f"SELECT earn_time, remaining FROM {schema_of(wallet)}.lots"
        " WHERE wallet_id = %(wallet)s AND remaining > 0 ORDER BY 1, 2",
        wallet=int(wallet.split("/")[1]),
    )


async def test_a_receipt_finds_the_newest_sale_it_was_given_for(shop: Shop) -> None:
    sold = sale(new_card())
    first, second = await shop.record(sold), await shop.record(sold)
    back = await shop.give_back(receipt=receipt_of(sold))
    assert back.sale == second.sale != first.sale


async def test_a_receipt_of_another_card_or_till_finds_nothing(shop: Shop) -> None:
    sold = sale(new_card())
    await shop.record(sold)
    for field, value in (("terminal", "9"), ("store", "32"), ("receipt_number", "X")):
        wrong = receipt_of(sold)
        setattr(wrong, field, value)
        found = await refused(shop.give_back(receipt=wrong))
        assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_SALE")
    before = shop.contents()
    stranger = receipt_of(sold)
    stranger.card_token = new_card()
    assert (await refused(shop.give_back(receipt=stranger))).reason == "UNKNOWN_SALE"
    assert added(before, shop.contents()) == {}


async def test_a_sale_of_another_wallet_does_not_come_back_by_its_number(shop: Shop) -> None:
    first, _, second = [await shop.record(sale(new_card())) for _ in range(3)]
    mixed = f"{wallet_of(second.sale)}/sales/{first.sale.split('/')[-1]}"
    assert (await refused(shop.give_back(sale=mixed))).reason == "UNKNOWN_SALE"
    assert (await shop.wallet(wallet_of(second.sale))).available == 10
    assert (await shop.wallet(wallet_of(first.sale))).available == 10


async def test_refused_returns_change_nothing_but_that_they_are_remembered(shop: Shop) -> None:
    recorded = await shop.record(sale(new_card(), line(500, quantity_thousandths=2000)))
    schema = schema_of(recorded.sale)
    long_before = moment(next_moment().seconds - 86_400)
    before = shop.contents()
    attempts = {
        "RETURN_EXCEEDS_SALE": shop.give_back((1, 2001), sale=recorded.sale),
        "UNKNOWN_LINE": shop.give_back(2, sale=recorded.sale),
        "RETURN_BEFORE_SALE": shop.give_back(sale=recorded.sale, business_time=long_before),
    }
    for reason, call in attempts.items():
        assert (await refused(call)).reason == reason
    assert added(before, shop.contents()) == {f"{schema}.batches": 3, f"{schema}.journal": 3}


async def test_a_sale_is_voided_once_and_not_after_a_return(shop: Shop) -> None:
    sold = sale(new_card())
    recorded = await shop.record(sold)
    void = await shop.void(receipt=receipt_of(sold))
    assert (void.sale, void.balance.available) == (recorded.sale, 0)
    assert (await refused(shop.void(sale=recorded.sale))).reason == "SALE_VOIDED"
    assert (await refused(shop.give_back(sale=recorded.sale))).reason == "SALE_VOIDED"
    parted = await shop.record(sale(new_card(), line(500), line(500)))
    await shop.give_back(1, sale=parted.sale)
    assert (await refused(shop.void(sale=parted.sale))).reason == "SALE_HAS_RETURNS"


async def test_goods_given_back_at_many_tills_at_once_come_back_once(shop: Shop) -> None:
    recorded = await shop.record(sale(new_card(), line(900, quantity_thousandths=3000)))
    calls = [shop.give_back((1, 1000), sale=recorded.sale) for _ in range(8)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    taken = [each for each in answers if isinstance(each, pos.RecordReturnResponse)]
    assert len(taken) == 3
    assert (await shop.wallet(wallet_of(recorded.sale))).available == 0


async def test_a_sale_and_its_return_may_be_sent_one_right_after_the_other(shop: Shop) -> None:
    """A till that was offline sends what it stored without waiting for each answer."""
    for _ in range(10):
        sold = sale(new_card())
        await shop.record(sale(sold.card_token))
        selling = asyncio.ensure_future(shop.record(sold))
        await asyncio.sleep(0)
        back = await returned_when_sold(shop, sold)
        assert back.sale == (await selling).sale
        assert back.balance.available == 10


async def returned_when_sold(shop: Shop, sold: pos.Sale) -> pos.RecordReturnResponse:
    """Each try is a request of its own: a return that came first is refused for good."""
    for _ in range(100):
        try:
            return await shop.give_back(receipt=receipt_of(sold))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
    raise AssertionError("the sale never came")


async def test_points_spent_are_forgiven_within_the_balance(shop: Shop) -> None:
    recorded = await shop.record(sale(new_card()))
    wallet = wallet_of(recorded.sale)
    await shop.adjust(wallet, -8)
    back = await shop.give_back(sale=recorded.sale)
    assert (back.points_forgiven, back.balance.available) == (8, 0)


async def test_points_spent_are_owed_where_the_policy_allows_it(
    databases: Databases, serve: Serve, tokens: Tokens
) -> None:
    url = databases.create("ledger")
    settings = earn_policy_pb2.EarnSettings(
        clawback=earn_policy_pb2.EarnSettings.CLAWBACK_ALLOW_NEGATIVE
    )
    publish(url, earn_policy(rule("base", kinds=BOTH), settings=settings))
    shop = Shop(await serve("ledger", url), tokens, url)
    card = new_card()
    recorded = await shop.record(sale(card))
    wallet = wallet_of(recorded.sale)
    await shop.adjust(wallet, -8)
    back = await shop.give_back(sale=recorded.sale)
    assert (back.points_forgiven, back.balance.available) == (0, -8)
    assert lots_of(shop, wallet) == []
    assert (await shop.record(sale(card))).balance.available == 2
    assert [row[1] for row in lots_of(shop, wallet)] == [2]


async def test_more_points_are_not_taken_than_there_are(shop: Shop) -> None:
    recorded = await shop.record(sale(new_card()))
    wallet = wallet_of(recorded.sale)
    for kind in BOTH:
        before = await shop.wallet(wallet)
        request_id = new_id()
        first = await refused(shop.adjust(wallet, -11, kind=kind, request_id=request_id))
        assert (first.code, first.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "INSUFFICIENT_POINTS",
        )
        assert first.metadata == {"wanted": "11", "available": "10"}
        assert await shop.wallet(wallet) == before
        await shop.adjust(wallet, 5, kind=kind)
        again = shop.adjust(wallet, -11, kind=kind, request_id=request_id)
        assert await refused(again) == first
