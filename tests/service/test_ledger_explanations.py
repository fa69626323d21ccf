"""Why an entry is there, and what the programme's own accounts gave."""

import pytest
from loyalty.ledger.v1 import ledger_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import (
    Shop,
    common_database,
    line,
    new_card,
    next_moment,
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


async def explain(shop: Shop, name: str) -> ledger_pb2.ExplainEntryResponse:
    request = ledger_pb2.ExplainEntryRequest(name=name)
    return await shop.care.ExplainEntry(request, metadata=shop.everything)


async def test_an_entry_is_explained_by_its_lines_rule_and_lot(shop: Shop) -> None:
    figs = line(1234, "PRODUCE", description="Figs")
    answer = await shop.record(sale(new_card(), line(500), figs))
    entries = (await shop.entries(wallet_of(answer.sale))).entries
    found = await explain(shop, entries[2].name)
    assert found.entry == entries[2]
    assert [each.description for each in found.lines] == ["Figs"]
    assert (found.rule_title, found.recomputed_points) == ("Rule produce", 12)
    assert found.recomputation_agrees
    [lot] = found.lots
    assert (lot.points, lot.earn_time) == (12, entries[2].business_time)
    assert not lot.HasField("expire_time")


async def test_a_return_and_an_adjustment_name_the_lots_they_drew_on(shop: Shop) -> None:
    card = new_card()
    answer = await shop.record(sale(card))
    wallet = wallet_of(answer.sale)
    await shop.adjust(wallet, -4, business_time=next_moment())
    await shop.give_back(sale=answer.sale)
    back, _, taken, *_ = (await shop.entries(wallet)).entries
    explained = [await explain(shop, each.name) for each in (back, taken)]
    assert [[lot.points for lot in each.lots] for each in explained] == [[-6], [-4]]
    assert {lot.lot for each in explained for lot in each.lots} == {
        f"{wallet}/lots/{answer.sale.split('/')[-1]}-1"
    }
    assert all(each.recomputation_agrees for each in explained)
    # Four were spent and forgiven, so six came back of the ten that were due.
    assert (back.points, explained[0].recomputed_points) == (-6, -10)


async def test_an_entry_of_another_wallet_is_not_found(shop: Shop) -> None:
    first, _, second = [await shop.record(sale(new_card())) for _ in range(3)]
    document = first.sale.split("/")[-1]
    assert schema_of(first.sale) == schema_of(second.sale)
    for name in (
        f"{wallet_of(second.sale)}/entries/{document}-1",
        f"{wallet_of(first.sale)}/entries/{document}-9",
    ):
        assert (await refused(explain(shop, name))).reason == "ENTRY_NOT_FOUND"


async def test_the_programmes_accounts_move_by_what_wallets_got(shop: Shop) -> None:
    async def issued() -> dict[tuple[str, int], int]:
        answer = await shop.care.GetProgrammeAccounts(
            ledger_pb2.GetProgrammeAccountsRequest(), metadata=shop.everything
        )
        return {(each.account, each.kind): each.issued for each in answer.accounts}

    answer = await shop.record(sale(new_card()))
    before = await issued()
    await shop.record(sale(new_card(), line(1000, "PRODUCE")))
    await shop.give_back(sale=answer.sale)
    await shop.adjust(wallet_of(answer.sale), 7)
    await shop.record(sale(new_card(), line(10)))
    after = await issued()
    moved = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key)}
    redeemable = pos.POINT_KIND_REDEEMABLE
    assert moved == {("issuance", redeemable): 10, ("adjustment", redeemable): 7}
