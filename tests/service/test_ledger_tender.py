"""Paying a part of a basket with points, as tills call it."""

import functools
from collections.abc import Iterator

import pytest
from loyalty.ledger.v1 import earn_policy_pb2, ledger_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.cli.audit import run_audit
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_members import Told, new_member, told, wallet_name
from tests.service.ledger_shop import (
    BOTH,
    Shop,
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

DOLLAR_A_HUNDRED = earn_policy_pb2.TillRedemption(points=100, amount_minor=100)


@functools.cache
def paying_database(databases: Databases) -> str:
    url = databases.create("ledger")
    publish(url, earn_policy(rule("base", kinds=BOTH), redemption=DOLLAR_A_HUNDRED))
    return url


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = paying_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


@pytest.fixture
def telling(databases: Databases) -> Iterator[Told]:
    with told(paying_database(databases)) as opened:
        yield opened


async def member_with(shop: Shop, telling: Told, points: int) -> tuple[str, str]:
    """A card of a member who has so many points, and the member's wallet."""
    member, card = new_member(), new_card()
    telling.enrolled(member)
    telling.issued(member, card)
    await shop.adjust(wallet_name(member), points)
    return card, wallet_name(member)


async def test_a_quote_and_the_sale_say_what_is_paid_with_points(shop: Shop, telling: Told) -> None:
    card, wallet = await member_with(shop, telling, 700)
    basket = sale(card, line(900), line(300), tender_points=500)
    quoted = await shop.quote(basket)
    assert (quoted.tender.points, quoted.tender.amount_minor) == (500, 500)
    assert (await shop.wallet(wallet)).available == 700

    recorded = await shop.record(basket)
    assert recorded.tender == quoted.tender
    assert [(p.rule, p.points) for p in recorded.points] == [("base", 7), ("base", 7)]
    assert list(recorded.receipt_texts) == [
        "Paid with 500 points.",
        "You earned 7 points.",
        "Your balance: 207 points.",
    ]
    entries = [e for e in (await shop.entries(wallet)).entries if e.sale == recorded.sale]
    assert [(each.account, each.points, each.explanation) for each in entries] == [
        ("redemption", -500, "500 points spent on 5.00 USD of the basket"),
        ("issuance", 7, "7 points for 7.00 USD: Rule base"),
        ("issuance", 7, "7 points for 7.00 USD: Rule base"),
    ]


async def test_goods_come_back_for_points_and_money_in_proportion(
    shop: Shop, telling: Told
) -> None:
    card, wallet = await member_with(shop, telling, 700)
    recorded = await shop.record(sale(card, line(900), line(300), tender_points=500))
    back = await shop.give_back(2, sale=recorded.sale)
    assert (back.tender.points, back.tender.amount_minor, back.money_minor) == (125, 125, 175)
    rest = await shop.give_back(sale=recorded.sale)
    assert (rest.tender.points, rest.money_minor) == (375, 525)
    assert (await shop.wallet(wallet)).available == 700


async def test_a_void_gives_all_points_back(shop: Shop, telling: Told) -> None:
    card, wallet = await member_with(shop, telling, 700)
    recorded = await shop.record(sale(card, line(1200), tender_points=700))
    voided = await shop.void(sale=recorded.sale)
    assert (voided.tender.points, voided.money_minor) == (700, 500)
    assert (await shop.wallet(wallet)).available == 700


async def test_two_tills_cannot_spend_the_same_points(shop: Shop, telling: Told) -> None:
    card, wallet = await member_with(shop, telling, 700)
    requests = [
        pos.RecordSaleRequest(request_id=new_id(), sale=sale(card, line(400), tender_points=400))
        for _ in range(5)
    ]
    outcomes = await shop.record_all(*requests)
    assert [outcome.refused.reason for outcome in outcomes] == [
        "",
        *["INSUFFICIENT_POINTS"] * 4,
    ]
    assert (await shop.wallet(wallet)).available == 300


async def test_the_same_request_pays_once_and_with_other_points_is_refused(
    shop: Shop, telling: Told
) -> None:
    card, wallet = await member_with(shop, telling, 700)
    basket, request_id = sale(card, line(1200), tender_points=300), new_id()
    first = await shop.record(basket, request_id)
    assert await shop.record(basket, request_id) == first
    basket.tender_points = 400
    assert (await refused(shop.record(basket, request_id))).reason == "REQUEST_ID_REUSED"
    assert (await shop.wallet(wallet)).available == 409


async def test_a_card_nobody_enrolled_with_cannot_pay_and_nothing_moves(shop: Shop) -> None:
    card = new_card()
    first = await shop.record(sale(card, line(100_000)))
    wallet = wallet_of(first.sale)
    before = await shop.wallet(wallet)
    problem = await refused(shop.record(sale(card, line(400), tender_points=400)))
    assert problem.reason == "MEMBER_NEEDED"
    assert await shop.wallet(wallet) == before


async def test_the_statement_shows_the_tender_and_the_books_prove(
    shop: Shop, telling: Told
) -> None:
    card, wallet = await member_with(shop, telling, 700)
    await shop.record(sale(card, line(1200), tender_points=300))
    listed = await shop.care.ListSales(
        ledger_pb2.ListSalesRequest(parent=wallet), metadata=shop.everything
    )
    (sold,) = listed.sales
    assert (sold.sale.tender_points, sold.redeemable_points) == (300, 9)
    report = run_audit(shop.database_url)
    assert report.ok, report
