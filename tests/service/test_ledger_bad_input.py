"""Requests that cannot be right: what the caller sees, and that nothing changed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import ledger_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import (
    Shop,
    added,
    common_database,
    line,
    moment,
    new_card,
    new_id,
    sale,
    schema_of,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DAY_SECONDS = 86_400
HUGE = 2**63 - 1
Change = Callable[[pos.Sale], Any]


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


@dataclass(frozen=True)
class Bad:
    """A change that makes a good sale a bad one, and the field that is blamed."""

    name: str
    change: Change
    blamed: str
    values: dict[str, Any] = field(default_factory=dict)


def setting(path: str, value: Any) -> Change:
    """Set a field of the sale, or of its first line, to a value."""

    def change(sold: pos.Sale) -> None:
        setattr(sold.lines[0] if path.startswith("line.") else sold, path.split(".")[-1], value)

    return change


def at(seconds: int) -> Change:
    return lambda sold: sold.business_time.CopyFrom(Timestamp(seconds=seconds))


def lines_of(count: int) -> Change:
    return lambda sold: sold.lines.extend(line(1) for _ in range(count - len(sold.lines)))


BREAKING_A_RULE = (
    Bad("no lines", lambda sold: sold.ClearField("lines"), "sale.lines"),
    Bad("10,001 lines", lines_of(10_001), "sale.lines"),
    Bad("no business time", lambda sold: sold.ClearField("business_time"), "sale.business_time"),
    Bad("a time beyond all calendars", at(2**62), "sale.business_time"),
    Bad("a time before all calendars", at(-(2**62)), "sale.business_time"),
    Bad("no card", setting("card_token", ""), "sale.card_token"),
    Bad("a card with spaces", setting("card_token", "4111 1111 1111 1111"), "sale.card_token"),
    Bad("a card of 65 letters", setting("card_token", "x" * 65), "sale.card_token"),
    Bad("no store", setting("store", ""), "sale.store"),
    Bad("a store with a slash", setting("store", "31/1"), "sale.store"),
    Bad("a terminal with a NUL", setting("terminal", "1\x00"), "sale.terminal"),
    Bad("no receipt number", setting("receipt_number", ""), "sale.receipt_number"),
    Bad("a currency in small letters", setting("currency_code", "usd"), "sale.currency_code"),
    Bad("no currency", setting("currency_code", ""), "sale.currency_code"),
    Bad("a negative amount", setting("line.amount_minor", -1), "sale.lines[0].amount_minor"),
    Bad("a huge amount", setting("line.amount_minor", 10**11 + 1), "sale.lines[0].amount_minor"),
    Bad("the hugest amount", setting("line.amount_minor", HUGE), "sale.lines[0].amount_minor"),
    Bad(
        "a negative quantity",
        setting("line.quantity_thousandths", -1),
        "sale.lines[0].quantity_thousandths",
    ),
    Bad(
        "a huge quantity",
        setting("line.quantity_thousandths", HUGE),
        "sale.lines[0].quantity_thousandths",
    ),
    Bad("a negative tax", setting("line.tax_minor", -1), "sale.lines[0].tax_minor"),
    Bad("more tax than amount", setting("line.tax_minor", 1001), "sale.lines[0].tax_minor"),
    Bad("a negative discount", setting("line.discount_minor", -1), "sale.lines[0].discount_minor"),
    Bad("a huge discount", setting("line.discount_minor", HUGE), "sale.lines[0].discount_minor"),
    Bad("an unknown nature", setting("line.nature", 9), "sale.lines[0].nature"),
    Bad("a negative nature", setting("line.nature", -1), "sale.lines[0].nature"),
    Bad("no sku", setting("line.sku", ""), "sale.lines[0].sku"),
    Bad("a sku with a NUL", setting("line.sku", "a\x00b"), "sale.lines[0].sku"),
    Bad("a long sku", setting("line.sku", "x" * 65), "sale.lines[0].sku"),
    Bad("a NUL in words", setting("line.description", "\x00"), "sale.lines[0].description"),
    Bad(
        "a NUL in a category",
        lambda sold: sold.lines[0].category_path.append("FUEL\x00"),
        "sale.lines[0].category_path[0]",
    ),
    Bad("a NUL in a tag", lambda sold: sold.lines[0].tags.append("\x00"), "sale.lines[0].tags[0]"),
    Bad("an empty tag", lambda sold: sold.lines[0].tags.append(""), "sale.lines[0].tags[0]"),
    Bad(
        "nine categories",
        lambda sold: sold.lines[0].category_path.extend("ABCDEFGHI"),
        "sale.lines[0].category_path",
    ),
)


async def test_a_sale_that_breaks_a_rule_is_refused_with_the_field_and_changes_nothing(
    shop: Shop, subtests: pytest.Subtests
) -> None:
    before = shop.contents()
    for bad in BREAKING_A_RULE:
        with subtests.test(bad.name):
            sold = sale(new_card())
            bad.change(sold)
            for answer in (shop.record(sold), shop.quote(sold)):
                found = await refused(answer)
                assert (found.code, found.reason) == (INVALID, "INVALID_REQUEST")
                assert found.fields == (bad.blamed,)
    assert added(before, shop.contents()) == {}


async def test_every_field_that_is_wrong_is_named(shop: Shop) -> None:
    bad = sale(new_card(), line(-1), line(1, sku=""), store="")
    found = await refused(shop.record(bad))
    assert set(found.fields) == {"sale.store", "sale.lines[0].amount_minor", "sale.lines[1].sku"}


async def test_a_sale_without_an_id_or_with_a_strange_one_is_refused(shop: Shop) -> None:
    before = shop.contents()
    for request_id in ("", "1", "not-a-uuid", new_id().replace("-", "")):
        request = pos.RecordSaleRequest(request_id=request_id, sale=sale(new_card()))
        found = await refused(shop.tills.RecordSale(request, metadata=shop.everything))
        assert (found.code, found.fields) == (INVALID, ("request_id",))
    request = pos.RecordSaleRequest(request_id=new_id())
    found = await refused(shop.tills.RecordSale(request, metadata=shop.everything))
    assert found.fields == ("sale",)
    assert added(before, shop.contents()) == {}


def now() -> int:
    return int(time.time())


NOT_OUR_PROGRAMME = (
    Bad("a future time", at(now() + DAY_SECONDS), "BUSINESS_TIME_IN_FUTURE"),
    Bad("the year 9999", at(253402300799), "BUSINESS_TIME_IN_FUTURE"),
    Bad("an ancient time", at(now() - 401 * DAY_SECONDS), "BUSINESS_TIME_TOO_OLD"),
    Bad("the year 1", at(-62135596800), "BUSINESS_TIME_TOO_OLD"),
    Bad(
        "another currency",
        setting("currency_code", "EUR"),
        "WRONG_CURRENCY",
        {"expected": "USD", "given": "EUR"},
    ),
)


async def test_a_sale_that_does_not_fit_is_refused_and_only_the_refusal_is_kept(
    shop: Shop, subtests: pytest.Subtests
) -> None:
    card = new_card()
    schema = schema_of(wallet_of((await shop.record(sale(card))).sale))
    for bad in NOT_OUR_PROGRAMME:
        with subtests.test(bad.name):
            sold = sale(card)
            bad.change(sold)
            before = shop.contents()
            assert (await refused(shop.quote(sold))).reason == bad.blamed
            assert added(before, shop.contents()) == {}
            found = await refused(shop.record(sold))
            assert (found.code, found.reason) == (INVALID, bad.blamed)
            assert found.metadata == bad.values
            assert added(before, shop.contents()) == {
                f"{schema}.batches": 1,
                f"{schema}.journal": 1,
            }


async def test_how_far_a_time_may_lie_is_a_setting(
    databases: Databases, serve: Serve, tokens: Tokens
) -> None:
    url = common_database(databases)
    settings = {"sale_age_days_max": 1, "sale_ahead_seconds_max": 0}
    strict = Shop(await serve("ledger", url, **settings), tokens, url)
    old = sale(new_card(), business_time=moment(now() - DAY_SECONDS - 60))
    assert (await refused(strict.record(old))).reason == "BUSINESS_TIME_TOO_OLD"
    ahead = sale(new_card(), business_time=moment(now() + 60))
    assert (await refused(strict.record(ahead))).reason == "BUSINESS_TIME_IN_FUTURE"


async def test_ten_thousand_lines_are_recorded(shop: Shop) -> None:
    sold = sale(new_card(), *(line(100, sku=str(number)) for number in range(10_000)))
    answer = await shop.record(sold)
    assert answer.balance.available == 10_000
    assert len(answer.points[0].lines) == 10_000


async def test_the_largest_amounts_are_counted_to_the_point(shop: Shop) -> None:
    largest = line(10**11, quantity_thousandths=10**9, tax_minor=10**11, discount_minor=10**11)
    answer = await shop.record(sale(new_card(), *(largest for _ in range(100))))
    assert answer.balance.available == 10**11


async def test_letters_of_any_alphabet_are_kept_as_they_are(shop: Shop) -> None:
    words = 'Bananes "mûres" \\ 香蕉 🍌 {1,2} NULL \t\n %s %(x)s'
    odd = line(100, words, sku="ж\u2028;--", description=words, tags=[words[:64]])
    answer = await shop.record(sale(new_card(), odd))
    request = ledger_pb2.ListSalesRequest(parent=wallet_of(answer.sale))
    listed = await shop.care.ListSales(request, metadata=shop.everything)
    assert listed.sales[0].sale.lines[0] == pos.Line(
        **{**{f.name: v for f, v in odd.ListFields()}, "nature": pos.Line.NATURE_PRODUCT}
    )


async def test_adjustments_that_cannot_be_right_change_nothing(
    shop: Shop, subtests: pytest.Subtests
) -> None:
    wallet = wallet_of((await shop.record(sale(new_card()))).sale)
    before = shop.contents()
    bad: dict[str, dict[str, Any]] = {
        "points": {"points": 0},
        "kind": {"kind": 7},
        "reason": {"reason": "a\x00b!"},
        "request_id": {"request_id": "1"},
        "wallet": {"wallet": "members/1/wallet"},
        "business_time": {"business_time": moment(2**60)},
    }
    more: dict[str, dict[str, Any]] = {
        "points": {"points": 10**9 + 1},
        "kind": {"kind": pos.POINT_KIND_UNSPECIFIED},
        "reason": {"reason": "ok"},
        "wallet": {"wallet": "wallets/x"},
    }
    for blamed, change in (*bad.items(), *more.items()):
        with subtests.test(str(change)):
            found = await refused(shop.adjust(**{"wallet": wallet, "points": 5, **change}))
            assert (found.code, found.reason) == (INVALID, "INVALID_REQUEST")
            assert found.fields == (blamed,)
    assert added(before, shop.contents()) == {}


async def test_names_of_what_there_cannot_be_are_not_found(shop: Shop) -> None:
    before = shop.contents()
    too_large = str(10**19 - 1)
    for name in (f"wallets/{too_large}", f"wallets/{10**15}", "wallets/0"):
        assert (await refused(shop.wallet(name))).reason == "WALLET_NOT_FOUND"
        assert (await refused(shop.entries(name))).reason == "WALLET_NOT_FOUND"
        assert (await refused(shop.adjust(name, 5))).reason == "WALLET_NOT_FOUND"
    for name in (f"wallets/{too_large}/sales/1", f"wallets/1/sales/{too_large}"):
        assert (await refused(shop.give_back(sale=name))).reason == "UNKNOWN_SALE"
        assert (await refused(shop.void(sale=name))).reason == "UNKNOWN_SALE"
    for name in (f"wallets/{too_large}/entries/1-1", "wallets/1/entries/999999-99999"):
        request = ledger_pb2.ExplainEntryRequest(name=name)
        found = await refused(shop.care.ExplainEntry(request, metadata=shop.everything))
        assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "ENTRY_NOT_FOUND")
    assert added(before, shop.contents()) == {}


@pytest.mark.parametrize(
    "name",
    [
        "members/------------------------------------/wallet",
        "members/00000000-0000-0000-0000-00000000000g/wallet",
        "wallets/-1",
        "wallets/99999999999999999999",
        "wallets/1; DROP TABLE members",
    ],
)
async def test_a_name_that_is_none_is_refused(shop: Shop, name: str) -> None:
    found = await refused(shop.wallet(name))
    assert (found.code, found.fields) == (INVALID, ("name",))


async def test_periods_beyond_all_calendars_are_refused(shop: Shop) -> None:
    wallet = wallet_of((await shop.record(sale(new_card()))).sale)
    found = await refused(shop.entries(wallet, from_time=moment(2**62)))
    assert (found.code, found.fields) == (INVALID, ("from_time",))
    found = await refused(shop.entries(wallet, until_time=moment(-(2**62))))
    assert found.fields == ("until_time",)
    found = await refused(shop.entries(wallet, page_size=-1))
    assert found.fields == ("page_size",)
