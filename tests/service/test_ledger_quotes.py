"""A quote says what recording the sale then gives, and writes nothing."""

from typing import Any

import pytest
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_members import new_member, told
from tests.service.ledger_shop import (
    Shop,
    added,
    common_database,
    line,
    new_card,
    sale,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


BASKETS: tuple[tuple[pos.Line, ...], ...] = (
    (line(1234),),
    (line(99),),
    (line(250, "PRODUCE"), line(150, "PRODUCE"), line(900, "TOBACCO")),
    (line(0),),
    tuple(line(333, "PRODUCE", sku=str(number)) for number in range(50)),
)


def promised(answer: pos.QuoteSaleResponse | pos.RecordSaleResponse) -> tuple[Any, ...]:
    return (
        list(answer.points),
        answer.balance,
        list(answer.receipt_texts),
        list(answer.flags),
    )


async def test_a_quote_equals_what_the_sale_then_gives_and_writes_nothing(shop: Shop) -> None:
    known, member = new_card(), new_member()
    with told(shop.database_url) as ledger:
        ledger.issued(member, known)
    for card in (known, new_card()):
        for basket in BASKETS:
            sold = sale(card, *basket)
            before = shop.contents()
            quoted = await shop.quote(sold)
            assert added(before, shop.contents()) == {}
            assert promised(await shop.record(sold)) == promised(quoted)


async def test_a_quote_counts_from_the_balance_there_is(shop: Shop) -> None:
    card = new_card()
    recorded = await shop.record(sale(card))
    await shop.adjust(wallet_of(recorded.sale), -4)
    quoted = await shop.quote(sale(card))
    assert quoted.balance.available == 16
    assert list(quoted.receipt_texts) == ["You earned 10 points.", "Your balance: 16 points."]


async def test_a_quote_for_a_card_nobody_knows_makes_no_wallet(shop: Shop) -> None:
    before = shop.contents()
    quoted = await shop.quote(sale(new_card()))
    assert (quoted.balance.available, list(quoted.flags)) == (10, [pos.FLAG_UNKNOWN_CARD])
    assert added(before, shop.contents()) == {}


async def test_a_quote_is_refused_where_the_sale_would_be(shop: Shop) -> None:
    card, member = new_card(), new_member()
    with told(shop.database_url) as ledger:
        ledger.issued(member, card)
        ledger.blocked(member, card)
    await shop.has_heard(card, "CARD_BLOCKED")
    before = shop.contents()
    found = await refused(shop.quote(sale(card)))
    assert (found.reason, found.metadata) == ("CARD_BLOCKED", {"state": "BLOCKED"})
    assert added(before, shop.contents()) == {}
