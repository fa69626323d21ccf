"""Statements: every entry once, whatever the page size, in its period, and each explained."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import ledger_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.plumbing.pages import page_token
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_members import new_member, told, wallet_name
from tests.service.ledger_shop import (
    Shop,
    common_database,
    earn_policy,
    line,
    moment,
    new_card,
    next_moment,
    publish,
    sale,
    schema_of,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens

Listing = Callable[..., Awaitable[Any]]
PAGES_MAX = 200


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


async def list_sales(shop: Shop, parent: str, **fields: Any) -> ledger_pb2.ListSalesResponse:
    request = ledger_pb2.ListSalesRequest(parent=parent, **fields)
    return await shop.care.ListSales(request, metadata=shop.everything)


async def all_entries(shop: Shop, parent: str, **fields: Any) -> list[ledger_pb2.Entry]:
    """Page by page, until there is no token."""
    found: list[ledger_pb2.Entry] = []
    token = ""
    for _ in range(PAGES_MAX):
        page = await shop.entries(parent, page_token=token, **fields)
        found += page.entries
        token = page.next_page_token
        if not token:
            return found
    raise AssertionError("the pages do not end")


async def all_sales(shop: Shop, parent: str, **fields: Any) -> list[ledger_pb2.JournalSale]:
    found: list[ledger_pb2.JournalSale] = []
    token = ""
    for _ in range(PAGES_MAX):
        page = await list_sales(shop, parent, page_token=token, **fields)
        found += page.sales
        token = page.next_page_token
        if not token:
            return found
    raise AssertionError("the pages do not end")


def seconds(time: Timestamp) -> int:
    return time.seconds


async def test_a_statement_tells_what_happened_newest_first(shop: Shop) -> None:
    card = new_card()
    first = await shop.record(sale(card, line(1000, "PRODUCE")))
    wallet = wallet_of(first.sale)
    await shop.give_back(sale=first.sale)
    await shop.adjust(wallet, 7, reason="a birthday", business_time=next_moment())
    entries = (await shop.entries(wallet)).entries
    told_of = [
        (ledger_pb2.EntryType.Name(e.type), e.rule, e.account, e.points, e.explanation)
        for e in entries
    ]
    taken, earned = "taken back with the return", "for 10.00 USD"
    assert told_of == [
        ("ENTRY_TYPE_ADJUSTMENT", "", "adjustment", 7, "a birthday"),
        ("ENTRY_TYPE_RETURN", "base", "issuance", -10, f"10 points {taken}: Rule base"),
        ("ENTRY_TYPE_RETURN", "base", "issuance", -10, f"10 points {taken}: Rule base"),
        ("ENTRY_TYPE_RETURN", "produce", "issuance", -10, f"10 points {taken}: Rule produce"),
        ("ENTRY_TYPE_EARN", "base", "issuance", 10, f"10 points {earned}: Rule base"),
        ("ENTRY_TYPE_EARN", "base", "issuance", 10, f"10 points {earned}: Rule base"),
        ("ENTRY_TYPE_EARN", "produce", "issuance", 10, f"10 points {earned}: Rule produce"),
    ]
    assert [e.sale for e in entries] == ["", *[first.sale] * 6]
    assert {e.policy_version for e in entries[1:]} == {1}
    assert [list(e.lines) for e in entries] == [[], *[[1]] * 6]


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 100])
async def test_no_entry_is_lost_or_doubled_across_pages(shop: Shop, page_size: int) -> None:
    card, member = new_card(), new_member()
    other = new_card()
    with told(shop.database_url) as ledger:
        ledger.issued(member, card)
        await shop.record(sale(other))
        ledger.issued(member, other)
    # Two wallets, and times that several sales share, across both and within each.
    same = next_moment()
    for number in range(12):
        time = same if number % 2 else next_moment()
        await shop.record(sale(card if number % 3 else other, business_time=time))
        await shop.record(sale(card, line(10), business_time=time))
    parent = wallet_name(member)
    expected = [entry.name for entry in (await shop.entries(parent, page_size=500)).entries]
    assert len(expected) == len(set(expected)) == 13 * 2
    paged = await all_entries(shop, parent, page_size=page_size)
    assert [entry.name for entry in paged] == expected
    times = [seconds(entry.business_time) for entry in paged]
    assert times == sorted(times, reverse=True)
    sales = await all_sales(shop, parent, page_size=page_size)
    assert len({each.name for each in sales}) == len(sales) == 25


async def test_documents_of_two_shards_with_the_same_number_and_time_are_both_listed(
    databases: Databases, serve: Serve, tokens: Tokens
) -> None:
    """Each shard numbers its documents from 1, so neither number nor time tells them apart."""
    url = databases.create("ledger")
    publish(url, earn_policy())
    shop = Shop(await serve("ledger", url), tokens, url)
    member, same = new_member(), next_moment()
    cards = [new_card(), new_card()]
    recorded = [await shop.record(sale(card, business_time=same)) for card in cards]
    assert {schema_of(wallet_of(each.sale)) for each in recorded} == {"ledger_00", "ledger_01"}
    assert {each.sale.split("/")[-1] for each in recorded} == {"1"}
    with told(url) as ledger:
        for card in cards:
            ledger.issued(member, card)
    sales = await all_sales(shop, wallet_name(member), page_size=1)
    assert sorted(each.name for each in sales) == sorted(each.sale for each in recorded)
    entries = await all_entries(shop, wallet_name(member), page_size=1)
    assert len({entry.name for entry in entries}) == len(entries) == 4


async def test_sales_that_earned_nothing_do_not_end_a_statement(shop: Shop) -> None:
    card = new_card()
    first = await shop.record(sale(card))
    for _ in range(8):
        await shop.record(sale(card, line(10)))
    wallet = wallet_of(first.sale)
    for page_size in (1, 3, 8):
        found = await all_entries(shop, wallet, page_size=page_size)
        assert [entry.sale for entry in found] == [first.sale] * 2
    sales = await all_sales(shop, wallet, page_size=4)
    assert [each.redeemable_points for each in sales] == [0] * 8 + [10]


async def test_entries_of_one_sale_stand_on_one_page(shop: Shop) -> None:
    card = new_card()
    for _ in range(3):
        answer = await shop.record(sale(card, line(1000, "PRODUCE")))
    wallet = wallet_of(answer.sale)
    page = await shop.entries(wallet, page_size=1)
    assert [entry.sale for entry in page.entries] == [answer.sale] * 3
    page = await shop.entries(wallet, page_size=5)
    assert len(page.entries) == 3
    assert page.next_page_token


async def test_sales_recorded_meanwhile_do_not_move_the_pages(shop: Shop) -> None:
    card = new_card()
    recorded = [await shop.record(sale(card)) for _ in range(6)]
    wallet = wallet_of(recorded[0].sale)
    first = await list_sales(shop, wallet, page_size=3)
    await shop.record(sale(card))
    rest = await list_sales(shop, wallet, page_size=3, page_token=first.next_page_token)
    names = [each.name for each in (*first.sales, *rest.sales)]
    assert names == [each.sale for each in reversed(recorded)]
    assert not rest.next_page_token


async def test_a_period_holds_its_begin_and_not_its_end(shop: Shop) -> None:
    card = new_card()
    times = [next_moment() for _ in range(5)]
    for time in times:
        answer = await shop.record(sale(card, business_time=time))
    wallet = wallet_of(answer.sale)
    begin, end = times[1], times[3]
    sales = await all_sales(shop, wallet, from_time=begin, until_time=end, page_size=1)
    assert [seconds(each.sale.business_time) for each in sales] == [
        times[2].seconds,
        times[1].seconds,
    ]
    entries = await all_entries(shop, wallet, from_time=begin, until_time=end, page_size=1)
    assert {seconds(e.business_time) for e in entries} == {times[1].seconds, times[2].seconds}
    assert await all_entries(shop, wallet, until_time=times[0]) == []
    assert len(await all_sales(shop, wallet, from_time=times[4])) == 1
    assert await all_sales(shop, wallet, from_time=end, until_time=begin) == []


async def test_a_period_may_be_told_to_the_microsecond(shop: Shop) -> None:
    time = next_moment()
    time.nanos = 123_456_000
    answer = await shop.record(sale(new_card(), business_time=time))
    wallet = wallet_of(answer.sale)
    assert len((await list_sales(shop, wallet, from_time=time)).sales) == 1
    time.nanos += 1_000
    assert len((await list_sales(shop, wallet, from_time=time)).sales) == 0
    assert len((await list_sales(shop, wallet, until_time=time)).sales) == 1


async def test_refused_sales_stand_in_no_statement(shop: Shop) -> None:
    card = new_card()
    recorded = await shop.record(sale(card))
    await refused(shop.record(sale(card, currency_code="EUR")))
    wallet = wallet_of(recorded.sale)
    assert [each.name for each in (await list_sales(shop, wallet)).sales] == [recorded.sale]


async def test_a_sale_is_listed_as_it_was_rung_up_without_the_card(shop: Shop) -> None:
    sold = sale(new_card(), line(1234, "PRODUCE", description="Figs"), line(10, nature=2))
    answer = await shop.record(sold)
    wallet = wallet_of(answer.sale)
    [listed] = (await list_sales(shop, wallet)).sales
    expected = pos.Sale()
    expected.CopyFrom(sold)
    expected.card_token = ""
    expected.lines[0].nature = pos.Line.NATURE_PRODUCT
    assert (listed.name, listed.sale) == (answer.sale, expected)
    assert (listed.redeemable_points, listed.qualifying_points) == (24, 12)
    assert not listed.voided
    await shop.void(sale=answer.sale)
    assert (await list_sales(shop, wallet)).sales[0].voided


TOKENS_NOT_OURS = (
    "x",
    "====",
    "é",
    "bm90IGpzb24=",
    page_token(),
    page_token(1),
    page_token(1, 2),
    page_token(1, 2, 3, 4),
    page_token("1", 2, 3),
    page_token(2**63, 2, 3),
    page_token(2**62, 2, 3),
    page_token(-(2**62), 2, 3),
    page_token(1, -(2**70), 3),
    page_token("' OR true --", "x", "y"),
)


async def test_page_tokens_that_are_not_ours_are_refused(
    shop: Shop, subtests: pytest.Subtests
) -> None:
    wallet = wallet_of((await shop.record(sale(new_card()))).sale)
    for token in TOKENS_NOT_OURS:
        with subtests.test(token):
            for call in (
                shop.entries(wallet, page_token=token),
                list_sales(shop, wallet, page_token=token),
            ):
                found = await refused(call)
                assert found.code == grpc.StatusCode.INVALID_ARGUMENT
                assert found.reason == "PAGE_TOKEN_INVALID"


async def test_page_sizes_are_bounded(shop: Shop) -> None:
    card = new_card()
    requests = [
        pos.RecordSaleRequest(request_id=f"00000000-0000-4000-8000-{n:012d}", sale=sale(card))
        for n in range(110)
    ]
    outcomes = await shop.record_all(*requests)
    wallet = wallet_of(outcomes[0].recorded.sale)
    assert len((await list_sales(shop, wallet)).sales) == 20
    assert len((await list_sales(shop, wallet, page_size=2**31 - 1)).sales) == 100
    assert len((await shop.entries(wallet)).entries) == 50
    assert len((await shop.entries(wallet, page_size=1000)).entries) == 220


async def test_a_wallet_of_nobody_known_is_not_found(shop: Shop) -> None:
    found = await refused(shop.wallet(wallet_name(new_member())))
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "WALLET_NOT_FOUND")
    found = await refused(shop.entries(wallet_name(new_member()), from_time=moment(0)))
    assert found.reason == "WALLET_NOT_FOUND"


async def test_of_two_sales_with_one_id_in_two_shards_only_the_voided_one_is_marked(
    database: Callable[[str], str], serve: Serve, tokens: Tokens
) -> None:
    url = database("ledger")
    publish(url, earn_policy())
    shop = Shop(await serve("ledger", url), tokens, url)
    member, cards = new_member(), [new_card(), new_card()]
    # Each card opens a wallet, the next in the other shard, where documents count from 1 as well.
    sold = [(await shop.record(sale(card))).sale for card in cards]
    assert len({schema_of(wallet_of(name)) for name in sold}) == 2
    assert len({name.rpartition("/")[2] for name in sold}) == 1
    with told(url) as ledger:
        ledger.enrolled(member)
        for card in cards:
            ledger.issued(member, card)
    await shop.void(sale=sold[1])
    listed = await list_sales(shop, wallet_name(member))
    assert {each.name: each.voided for each in listed.sales} == {sold[0]: False, sold[1]: True}
