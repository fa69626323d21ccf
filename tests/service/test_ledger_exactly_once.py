"""A request sent again gets its first answer, be it a refusal; one id stands for one body."""

import asyncio
from typing import Any

import grpc
import pytest
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.domain.documents import CardState
from services.ledger.storage import directory
from services.plumbing.database import engine, transaction
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import (
    Shop,
    added,
    common_database,
    eventually,
    line,
    new_card,
    new_id,
    next_moment,
    sale,
    schema_of,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens

CLASH = grpc.StatusCode.ALREADY_EXISTS


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


def set_card_state(shop: Shop, card: str, state: CardState) -> None:
    changing = engine(shop.database_url, pool_size=1)
    with transaction(changing) as connection:
        directory.set_card_state(connection, card, state)
    changing.dispose()


async def test_a_sale_sent_again_gets_its_first_answer_and_changes_nothing(shop: Shop) -> None:
    sold, request_id = sale(new_card(), line(1234, "PRODUCE")), new_id()
    first = await shop.record(sold, request_id)
    await shop.record(sale(sold.card_token))
    before = shop.contents()
    assert await shop.record(sold, request_id) == first
    assert await shop.record(sold, request_id.upper()) == first
    assert added(before, shop.contents()) == {}


async def test_a_sale_sent_many_times_at_once_is_recorded_once(shop: Shop) -> None:
    sold, request_id = sale(new_card()), new_id()
    answers = await asyncio.gather(*(shop.record(sold, request_id) for _ in range(50)))
    assert {answer.SerializeToString() for answer in answers} == {answers[0].SerializeToString()}
    assert (await shop.wallet(wallet_of(answers[0].sale))).lifetime == 10


async def test_two_servers_record_a_sale_once_between_them(
    shop: Shop, serve: Serve, tokens: Tokens
) -> None:
    other = Shop(await serve("ledger", shop.database_url), tokens, shop.database_url)
    for _ in range(5):
        sold, request_id = sale(new_card()), new_id()
        both = [each.record(sold, request_id) for each in (shop, other) * 4]
        answers = await asyncio.gather(*both)
        assert all(answer == answers[0] for answer in answers)
        assert answers[0].balance.available == 10


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("store", "32"),
        ("terminal", "2"),
        ("receipt_number", "other"),
        ("currency_code", "EUR"),
    ],
)
async def test_an_id_with_another_sale_is_refused_and_changes_nothing(
    shop: Shop, field: str, value: str
) -> None:
    sold, request_id = sale(new_card()), new_id()
    first = await shop.record(sold, request_id)
    before = shop.contents()
    other = pos.Sale()
    other.CopyFrom(sold)
    setattr(other, field, value)
    found = await refused(shop.record(other, request_id))
    assert (found.code, found.reason) == (CLASH, "REQUEST_ID_REUSED")
    assert added(before, shop.contents()) == {}
    assert await shop.record(sold, request_id) == first


async def test_an_id_with_other_lines_or_another_time_is_refused(shop: Shop) -> None:
    sold, request_id = sale(new_card(), line(100), line(200)), new_id()
    await shop.record(sold, request_id)
    before = shop.contents()
    for change in (
        lambda other: other.lines.add(sku="x", quantity_thousandths=1000),
        lambda other: other.lines.reverse(),
        lambda other: other.lines.pop(),
        lambda other: other.lines[0].tags.append("new"),
        lambda other: setattr(other.lines[0], "description", "other"),
        lambda other: setattr(other.business_time, "nanos", 1_000),
    ):
        other = pos.Sale()
        other.CopyFrom(sold)
        change(other)
        assert (await refused(shop.record(other, request_id))).reason == "REQUEST_ID_REUSED"
    assert added(before, shop.contents()) == {}


async def test_an_id_of_a_sale_is_not_one_of_a_return_or_an_adjustment(shop: Shop) -> None:
    request_id = new_id()
    recorded = await shop.record(sale(new_card()), request_id)
    before = shop.contents()
    calls = (
        shop.give_back(sale=recorded.sale, request_id=request_id),
        shop.void(sale=recorded.sale, request_id=request_id),
        shop.adjust(wallet_of(recorded.sale), 5, request_id=request_id),
    )
    for call in calls:
        assert (await refused(call)).reason == "REQUEST_ID_REUSED"
    assert added(before, shop.contents()) == {}


async def test_returns_voids_and_adjustments_sent_again_get_their_first_answers(
    shop: Shop,
) -> None:
    recorded = await shop.record(sale(new_card(), line(500), line(500)))
    voided = await shop.record(sale(new_card()))
    wallet = wallet_of(recorded.sale)
    common: dict[str, Any] = {"request_id": new_id(), "business_time": next_moment()}
    back = {**common, "sale": recorded.sale, "receipt_number": "B1"}
    undone = {**common, "sale": voided.sale}
    by_hand = {"request_id": new_id(), "reason": "lost in the post"}
    first = [
        await shop.give_back(1, **back),
        await shop.void(**undone),
        await shop.adjust(wallet, 7, **by_hand),
    ]
    before = shop.contents()
    again = [
        await shop.give_back(1, **back),
        await shop.void(**undone),
        await shop.adjust(wallet, 7, **by_hand),
    ]
    assert again == first
    assert (await refused(shop.give_back(2, **back))).reason == "REQUEST_ID_REUSED"
    assert (await refused(shop.adjust(wallet, 8, **by_hand))).reason == "REQUEST_ID_REUSED"
    assert added(before, shop.contents()) == {}


async def test_a_refusal_is_remembered_after_its_cause_is_gone(shop: Shop) -> None:
    card, request_id = new_card(), new_id()
    recorded = await shop.record(sale(card))
    set_card_state(shop, card, CardState.BLOCKED)
    await shop.has_heard(card, "CARD_BLOCKED")
    refused_sale = sale(card)
    first = await refused(shop.record(refused_sale, request_id))
    assert (first.code, first.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CARD_BLOCKED")
    assert first.metadata == {"state": "BLOCKED"}

    set_card_state(shop, card, CardState.ACTIVE)
    await shop.has_heard(card, "WRONG_CURRENCY")
    before = shop.contents()
    assert await refused(shop.record(refused_sale, request_id)) == first
    assert added(before, shop.contents()) == {}
    assert (await shop.record(refused_sale)).balance.available == 20
    assert (await shop.wallet(wallet_of(recorded.sale))).available == 20


async def test_a_refused_id_with_another_body_is_refused_as_reused(shop: Shop) -> None:
    card, request_id = new_card(), new_id()
    await refused(shop.record(sale(card, currency_code="EUR"), request_id))
    found = await refused(shop.record(sale(card), request_id))
    assert found.reason == "REQUEST_ID_REUSED"


async def test_a_sale_accepted_first_is_answered_so_after_its_card_was_replaced(
    shop: Shop,
) -> None:
    card, request_id = new_card(), new_id()
    sold = sale(card)
    first = await shop.record(sold, request_id)
    set_card_state(shop, card, CardState.REPLACED)
    await shop.has_heard(card, "CARD_BLOCKED")
    assert await shop.record(sold, request_id) == first


async def test_the_same_receipt_under_another_id_is_recorded_and_flagged(shop: Shop) -> None:
    sold = sale(new_card())
    first = await shop.record(sold)
    second = await shop.record(sold)
    assert pos.FLAG_POSSIBLE_DUPLICATE not in first.flags
    assert pos.FLAG_POSSIBLE_DUPLICATE in second.flags
    assert (second.balance.available, second.sale == first.sale) == (20, False)


@pytest.mark.parametrize("change", ["store", "terminal", "receipt_number", "card_token", "day"])
async def test_what_differs_in_anything_of_the_receipt_is_no_duplicate(
    shop: Shop, change: str
) -> None:
    sold = sale(new_card())
    await shop.record(sold)
    if change == "day":
        sold.business_time.seconds -= 86_401
    else:
        setattr(sold, change, f"{new_card()[5:]}")
    assert pos.FLAG_POSSIBLE_DUPLICATE not in (await shop.record(sold)).flags


async def test_a_receipt_that_was_refused_makes_no_duplicate(shop: Shop) -> None:
    sold = sale(new_card(), currency_code="EUR")
    await refused(shop.record(sold))
    sold.currency_code = "USD"
    assert pos.FLAG_POSSIBLE_DUPLICATE not in (await shop.record(sold)).flags


async def test_a_call_given_up_is_recorded_once_and_answered_to_who_asks_again(
    shop: Shop,
) -> None:
    """The caller leaves while the sale waits for its wallet, which another transaction holds."""
    card, request_id = new_card(), new_id()
    wallet = wallet_of((await shop.record(sale(card))).sale)
    schema, wallet_id = schema_of(wallet), int(wallet.split("/")[1])
    sold = sale(card)
    request = pos.RecordSaleRequest(request_id=request_id, sale=sold)
    holding = engine(shop.database_url, pool_size=1)
    with transaction(holding) as connection:
        connection.exec_driver_sql(
            f"SELECT FROM {schema}.wallets WHERE wallet_id = {wallet_id} FOR UPDATE"
        )
        leaving = shop.tills.RecordSale(request, metadata=shop.everything)
        await eventually(shop.waiting_for_locks, what="a sale waiting for its wallet")
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    holding.dispose()
    answer = await shop.record(sold, request_id)
    assert answer.balance.available == 20
    counted = shop.rows(
        f"SELECT count(*) FROM {schema}.journal WHERE request_id = %(id)s", id=request_id
    )
    assert counted == [(1,)]
