"""Batches: every sale is answered for itself, and a bad one harms none of its neighbours."""

import pytest
from loyalty.ledger.v1 import earn_policy_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import (
    Shop,
    added,
    categories,
    common_database,
    earn_policy,
    line,
    new_card,
    new_id,
    publish,
    rule,
    sale,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


def request(sold: pos.Sale, request_id: str = "") -> pos.RecordSaleRequest:
    return pos.RecordSaleRequest(request_id=request_id or new_id(), sale=sold)


def outcome(found: pos.SaleOutcome) -> str | int:
    """The reason of a refusal, or the balance after the sale."""
    if found.WhichOneof("outcome") == "refused":
        return found.refused.reason
    return found.recorded.balance.available


async def test_each_sale_of_a_batch_is_answered_in_its_place(shop: Shop) -> None:
    cards = [new_card() for _ in range(40)]
    requests = [request(sale(card, line(100 * n))) for n, card in enumerate(cards, 1)]
    found = await shop.record_all(*requests)
    assert [outcome(each) for each in found] == list(range(1, 41))
    for each, sent in zip(found, requests, strict=True):
        assert await shop.record(sent.sale, sent.request_id) == each.recorded


async def test_sales_of_one_wallet_follow_each_other_in_a_batch(shop: Shop) -> None:
    card = new_card()
    found = await shop.record_all(*(request(sale(card)) for _ in range(20)))
    assert [outcome(each) for each in found] == list(range(10, 210, 10))
    wallet = await shop.wallet(wallet_of(found[0].recorded.sale))
    assert (wallet.available, wallet.qualifying) == (200, 200)


async def test_a_poisoned_batch_records_all_that_is_good(shop: Shop) -> None:
    card = new_card()
    blank = request(sale(card))
    blank.sale.ClearField("lines")
    bad: dict[str, pos.RecordSaleRequest] = {
        "no lines": blank,
        "no id": pos.RecordSaleRequest(sale=sale(card)),
        "no sale": pos.RecordSaleRequest(request_id=new_id()),
        "negative": request(sale(card, line(-5))),
        "NUL": request(sale(card, line(5, description="\x00"))),
        "tax": request(sale(card, line(5, tax_minor=6))),
        "card number": request(sale("4111111111111111")),
        "currency": request(sale(card, currency_code="EUR")),
    }
    requests = []
    for each in bad.values():
        requests += [request(sale(card)), each]
    found = await shop.record_all(*requests, request(sale(card)))
    assert [outcome(each) for each in found[::2]] == list(range(10, 100, 10))
    assert [outcome(each) for each in found[1::2]] == [
        *["INVALID_REQUEST"] * 6,
        "RAW_CARD_NUMBER",
        "WRONG_CURRENCY",
    ]
    told = [each.refused for each in found[1::2]]
    assert [[v.field for v in each.field_violations] for each in told] == [
        ["sale.lines"],
        ["request_id"],
        ["sale"],
        ["sale.lines[0].amount_minor"],
        ["sale.lines[0].description"],
        ["sale.lines[0].tax_minor"],
        [],
        [],
    ]
    assert dict(told[-1].metadata) == {"expected": "USD", "given": "EUR"}
    assert not any(each.retryable for each in told)


async def test_a_refusal_in_a_batch_reads_as_that_of_the_single_call(shop: Shop) -> None:
    wrong = sale(new_card(), currency_code="EUR")
    [found] = await shop.record_all(request(wrong))
    alone = await refused(shop.record(wrong))
    said = found.refused
    assert (said.reason, said.message, dict(said.metadata)) == (
        alone.reason,
        alone.message,
        alone.metadata,
    )


async def test_a_foreign_stores_sale_in_a_batch_is_refused_alone(
    shop: Shop, tokens: Tokens
) -> None:
    card = new_card()
    requests = [request(sale(card)), request(sale(card, store="32")), request(sale(card))]
    batch = pos.BatchRecordSalesRequest(requests=requests)
    local = tokens.bearer("sales.write", stores=["31"])
    found = (await shop.tills.BatchRecordSales(batch, metadata=local)).outcomes
    assert [outcome(each) for each in found] == [10, "FOREIGN_STORE", 20]


async def test_an_id_twice_in_a_batch_is_one_sale(shop: Shop) -> None:
    card, request_id = new_card(), new_id()
    once, other = request(sale(card), request_id), request(sale(card), request_id)
    found = await shop.record_all(once, once, other)
    assert found[0] == found[1]
    assert [outcome(each) for each in found] == [10, 10, "REQUEST_ID_REUSED"]


async def test_a_receipt_twice_in_a_batch_is_flagged_the_second_time(shop: Shop) -> None:
    sold = sale(new_card())
    found = await shop.record_all(request(sold), request(sold))
    flags = [pos.FLAG_POSSIBLE_DUPLICATE in each.recorded.flags for each in found]
    assert flags == [False, True]
    assert outcome(found[1]) == 20


async def test_a_batch_sent_again_gets_the_same_answers_and_changes_nothing(shop: Shop) -> None:
    card = new_card()
    requests = [request(sale(card)) for _ in range(5)]
    requests.insert(2, request(sale(card, currency_code="EUR")))
    first = await shop.record_all(*requests)
    before = shop.contents()
    assert await shop.record_all(*requests) == first
    assert await shop.record_all(*reversed(requests)) == first[::-1]
    assert added(before, shop.contents()) == {}


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_one_to_a_thousand_sales(shop: Shop, count: int) -> None:
    card = new_card()
    before = shop.contents()
    found = await refused(shop.record_all(*(request(sale(card)) for _ in range(count))))
    assert (found.reason, found.fields) == ("INVALID_REQUEST", ("requests",))
    assert added(before, shop.contents()) == {}


async def test_a_thousand_sales_are_recorded_in_one_call(shop: Shop) -> None:
    cards = [new_card() for _ in range(50)]
    found = await shop.record_all(*(request(sale(cards[n % 50])) for n in range(1000)))
    assert sorted({outcome(each) for each in found}) == list(range(10, 210, 10))


def extravagant() -> earn_policy_pb2.EarnPolicy:
    """More points for a basket of gold than the database can count."""
    gold = rule("gold", lines=categories(("GOLD",)))
    gold.per_amount.points, gold.per_amount.per_minor = 1_000_000, 1
    return earn_policy(rule("base", lines=categories(("BREAD",))), gold)


async def test_a_sale_the_database_refuses_fails_alone(
    databases: Databases, serve: Serve, tokens: Tokens
) -> None:
    url = databases.create("ledger")
    publish(url, extravagant())
    shop = Shop(await serve("ledger", url), tokens, url)
    gold = [line(10**11, "GOLD") for _ in range(100)]
    cards = [new_card() for _ in range(4)]
    # A wallet of its own, and one shared with its neighbours, on either shard.
    requests = [request(sale(card, line(1000, "BREAD"))) for card in cards * 3]
    poison = [request(sale(cards[0], *gold)), request(sale(new_card(), *gold))]
    batch = [*requests[:5], poison[0], *requests[5:9], poison[1], *requests[9:]]
    found = await shop.record_all(*batch)
    answers = [outcome(each) for each in found]
    assert (answers[5], answers[10]) == ("INTERNAL", "INTERNAL")
    assert [answers[n] for n in range(14) if n not in {5, 10}] == [10] * 4 + [20] * 4 + [30] * 4
    await nothing_but(shop, 12)
    again = await shop.record_all(*batch)
    assert [outcome(each) for each in again] == answers
    await nothing_but(shop, 12)
    databases.drop(url)


async def nothing_but(shop: Shop, sales: int) -> None:
    tables = shop.contents()
    assert sum(len(tables[f"ledger_{n:02d}.journal"]) for n in (0, 1)) == sales
    entries = "SELECT count(*) FROM ledger_{:02d}.entries"
    assert sum(shop.rows(entries.format(n))[0][0] for n in (0, 1)) == sales
    given = "SELECT coalesce(sum(points), 0) FROM ledger_{:02d}.account_movements"
    assert sum(shop.rows(given.format(n))[0][0] for n in (0, 1)) == 10 * sales
