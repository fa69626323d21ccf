"""A sale is read as its message says, and refused for all that its message breaks."""

from collections.abc import Callable

import pytest
from buf.validate import validate_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.domain.basket import Sale, lines_json
from services.ledger.rpc import messages
from services.ledger.rpc.sale_reading import AskedSale, SaleReader, rules_of
from services.plumbing.errors import Invalid
from services.plumbing.validation import Validation

REQUEST_ID = "0b6ecf2e-5ed5-4d14-a0b6-8a9f16d0e7A1"
LINE = pos.Line(sku="7", quantity_thousandths=1000, amount_minor=450)


def usual() -> pos.RecordSaleRequest:
    sale = pos.Sale(
        card_token="card-1",
        store="31",
        terminal="2",
        receipt_number="R/1",
        currency_code="USD",
        lines=[LINE],
    )
    sale.business_time.seconds, sale.business_time.nanos = 1_700_000_000, 5_999
    return pos.RecordSaleRequest(request_id=REQUEST_ID, sale=sale)


Change = Callable[[pos.RecordSaleRequest], object]


def text(field: str, value: str) -> Change:
    return lambda request: setattr(request.sale, field, value)


def seconds(value: int) -> Change:
    return lambda request: request.sale.business_time.CopyFrom(Timestamp(seconds=value))


KEPT: dict[str, Change] = {
    "nothing": lambda _: None,
    "the shortest token": text("card_token", "abcd"),
    "the longest token": text("card_token", "a" * 64),
    "the longest store": text("store", "a" * 32),
    "the longest receipt": text("receipt_number", "a" * 40),
    "a tender": lambda request: setattr(request.sale, "tender_points", 1_000_000_000),
    "the first second": seconds(-62_135_596_800),
    "the second of 1970": seconds(0),
    "the last second": seconds(253_402_300_799),
    "many lines": lambda request: request.sale.lines.extend([LINE] * 9_999),
}
BROKEN: dict[str, Change] = {
    "a short token": text("card_token", "abc"),
    "a long token": text("card_token", "a" * 65),
    "a token with a line's end": text("card_token", "abcd\n"),
    "two texts in one": text("store", "31\n2"),
    "no store": text("store", ""),
    "a letter of another script": text("terminal", "\u0663"),
    "a long receipt": text("receipt_number", "a" * 41),
    "a currency in small letters": text("currency_code", "usd"),
    "no id": lambda request: setattr(request, "request_id", ""),
    "an id without hyphens": lambda request: setattr(request, "request_id", "0b6ecf2e" * 4),
    "a tender below zero": lambda request: setattr(request.sale, "tender_points", -1),
    "too large a tender": lambda request: setattr(request.sale, "tender_points", 1_000_000_001),
    "no time": lambda request: request.sale.ClearField("business_time"),
    "too early": seconds(-62_135_596_801),
    "too late": seconds(253_402_300_800),
    "no lines": lambda request: request.sale.ClearField("lines"),
    "too many lines": lambda request: request.sale.lines.extend([LINE] * 10_000),
    "no sale": lambda request: request.ClearField("sale"),
    "a wrong line, and more": lambda request: request.sale.MergeFrom(
        pos.Sale(store="!", lines=[pos.Line(sku="7", amount_minor=-1)])
    ),
}


@pytest.fixture
def reader() -> SaleReader:
    return SaleReader()


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT)
def test_a_sale_that_breaks_no_rule_is_read_as_its_message_says(
    reader: SaleReader, change: Change
) -> None:
    request = usual()
    change(request)
    Validation().check(request)
    assert reader.read(request.SerializeToString()) == AskedSale(
        request.request_id, request.sale.card_token, messages.read_sale(request.sale)
    )


def test_a_time_is_read_to_the_microsecond(reader: SaleReader) -> None:
    sale = reader.read(usual().SerializeToString()).sale
    line = messages.read_line(LINE)
    assert sale == Sale("31", "2", "R/1", 1_700_000_000_000_005, "USD", lines_json([line]))


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_sale_that_breaks_rules_is_refused_for_all_of_them(
    reader: SaleReader, change: Change
) -> None:
    request = usual()
    change(request)
    with pytest.raises(Invalid) as expected:
        Validation().check(request)
    with pytest.raises(Invalid) as refusal:
        reader.read(request.SerializeToString())
    assert refusal.value.violations == expected.value.violations


def test_what_is_no_request_is_refused(reader: SaleReader) -> None:
    for written in (b"\xff", usual().SerializeToString()[:-1]):
        with pytest.raises(Invalid):
            reader.read(written)


def test_a_sale_has_no_rules_but_those_that_one_look_knows() -> None:
    found = {field.name: rules_of(field) for field in pos.Sale.DESCRIPTOR.fields}
    known = {name: validate_pb2.FieldRules() for name in found}
    for name in ("card_token", "store", "terminal", "receipt_number", "currency_code"):
        pattern = found[name].string.pattern
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        known[name].string.pattern = pattern
    time, tender = known["business_time"], known["tender_points"]
    time.required = True
    time.timestamp.gte.seconds = -62_135_596_800
    time.timestamp.lte.seconds = 253_402_300_799
    tender.ignore = validate_pb2.IGNORE_IF_ZERO_VALUE
    tender.int64.gt, tender.int64.lte = 0, 1_000_000_000
    known["lines"].repeated.min_items, known["lines"].repeated.max_items = 1, 10_000
    assert found == known
    known_of_request = {
        "request_id": validate_pb2.FieldRules(string=validate_pb2.StringRules(uuid=True)),
        "sale": validate_pb2.FieldRules(required=True),
    }
    fields = pos.RecordSaleRequest.DESCRIPTOR.fields
    assert {field.name: rules_of(field) for field in fields} == known_of_request
    for message in (pos.Sale, pos.RecordSaleRequest):
        assert not message.DESCRIPTOR.GetOptions().HasExtension(validate_pb2.message)
