"""A server lets go of what a call was asked and answered when it is answered: it seldom looks for
cycles, and batches are large.
"""

import pytest
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from tests.service.conftest import Serve
from tests.service.cycles import left_to_the_collector
from tests.service.databases import Databases
from tests.service.ledger_shop import Shop, common_database, line, new_card, new_id, sale, wallet_of
from tests.service.tokens import Tokens


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


def request(card: str) -> pos.RecordSaleRequest:
    return pos.RecordSaleRequest(request_id=new_id(), sale=sale(card))


async def test_a_sale_leaves_nothing_to_the_collector(shop: Shop) -> None:
    card = new_card()
    assert await left_to_the_collector(lambda: shop.record(sale(card))) == set()


@pytest.mark.parametrize("refused", [["4111111111111111"], []], ids=["one refused", "none refused"])
async def test_a_batch_leaves_nothing_to_the_collector(shop: Shop, refused: list[str]) -> None:
    cards = [*refused, *[new_card() for _ in range(20)]]
    assert (
        await left_to_the_collector(lambda: shop.record_all(*[request(card) for card in cards]))
        == set()
    )


async def test_a_return_leaves_nothing_to_the_collector(shop: Shop) -> None:
    card = new_card()

    async def buy_and_return() -> None:
        sold = await shop.record(sale(card, line(500)))
        await shop.void(sale=sold.sale)
        await shop.wallet(wallet_of(sold.sale))

    assert await left_to_the_collector(buy_and_return) == set()
