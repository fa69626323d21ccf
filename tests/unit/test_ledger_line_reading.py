"""A basket's lines are read out of their bytes as their messages say, whatever was seen before."""

from typing import Any

import pytest
from buf.validate import validate_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.domain.basket import lines_json
from services.ledger.rpc import line_reading, messages, sale_wire
from services.ledger.rpc.line_reading import LineReader
from services.ledger.rpc.sale_reading import SaleReader
from services.plumbing.errors import Invalid

BANANAS = pos.Line(
    sku="4011",
    description="Äpfel, no bananas",
    category_path=["PRODUCE", "FRUIT"],
    quantity_thousandths=1500,
    amount_minor=299,
    tags=["fresh", "local"],
    tax_minor=20,
    discount_minor=5,
    nature=pos.Line.NATURE_SERVICE,
)
RICE = pos.Line(sku="7", quantity_thousandths=1000, amount_minor=450)
BARE = pos.Line(sku="x")
USUAL = (BANANAS, RICE, BARE)
PRODUCT = pos.Line(sku="7", description="Rice").SerializeToString()
AMOUNTS = pos.Line(quantity_thousandths=1000, amount_minor=450).SerializeToString()
# What says the same in other bytes, or more than is known.
UNUSUAL = {
    "amounts first": AMOUNTS + PRODUCT,
    "named twice": PRODUCT + AMOUNTS + pos.Line(sku="8").SerializeToString(),
    "counted twice": PRODUCT + AMOUNTS + AMOUNTS,
    "described anew, as nothing": PRODUCT + AMOUNTS + b"\x12\x00",
    "a long text": pos.Line(sku="7", description="é" * 100, amount_minor=1).SerializeToString(),
}
WRONG = {
    "no product": AMOUNTS,
    "nothing": b"",
    "sku taken back": PRODUCT + AMOUNTS + b"\x0a\x00",
    "tax above amount": pos.Line(sku="7", amount_minor=1, tax_minor=2).SerializeToString(),
    "below zero": pos.Line(sku="7", amount_minor=-1).SerializeToString(),
    "a zero byte": pos.Line(sku="7\0", amount_minor=1).SerializeToString(),
    "no such nature": pos.Line(sku="7", nature=9).SerializeToString(),  # type: ignore[arg-type]
    "no UTF-8": b"\x0a\x01\xff" + AMOUNTS,
    "cut off": PRODUCT[:-1],
    "cut off in the amounts": PRODUCT + AMOUNTS[:-1] + b"\xff",
}


def read_alone(*lines: bytes) -> str:
    """Lines as the journal keeps them, each read by its message."""
    return lines_json([messages.read_line(pos.Line.FromString(line)) for line in lines])


def request_of(line: bytes) -> bytes:
    """A RecordSaleRequest with a line of these bytes."""
    sale = pos.Sale(
        card_token="card-1", store="1", terminal="1", receipt_number="R", currency_code="USD"
    )
    sale.business_time.FromSeconds(1_700_000_000)
    request = pos.RecordSaleRequest(request_id="0b6ecf2e-5ed5-4d14-a0b6-8a9f16d0e7a1", sale=sale)
    read: Any = sale_wire.read_request(request.SerializeToString())
    read.sale.lines.append(line)
    written: bytes = read.SerializeToString()
    return written


@pytest.fixture
def reader() -> LineReader:
    return LineReader()


def test_a_line_is_read_as_its_message_says_the_first_time_and_again(reader: LineReader) -> None:
    lines = [line.SerializeToString() for line in USUAL]
    for _ in range(2):
        assert reader.read(lines) == read_alone(*lines)
        assert reader.read(lines[::-1]) == read_alone(*lines[::-1])


def test_a_known_product_with_known_amounts_is_a_line_of_its_own(reader: LineReader) -> None:
    reader.read([line.SerializeToString() for line in USUAL])
    line = pos.Line(sku="7", quantity_thousandths=0)
    line.MergeFrom(pos.Line(tags=BANANAS.tags, tax_minor=20, discount_minor=5, amount_minor=299))
    line.quantity_thousandths, line.nature = 1500, BANANAS.nature
    written = line.SerializeToString()
    assert reader.read([written]) == read_alone(written)


@pytest.mark.parametrize("line", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_written_unusually_is_left_to_its_message(reader: LineReader, line: bytes) -> None:
    reader.read([RICE.SerializeToString(), PRODUCT + AMOUNTS])
    assert reader.read([line]) is None
    assert SaleReader().read(request_of(line)).sale.lines_json == read_alone(line)


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_what_breaks_a_rule_is_refused_whatever_was_seen_before(
    reader: LineReader, line: bytes
) -> None:
    reader.read([RICE.SerializeToString(), PRODUCT + AMOUNTS])
    for _ in range(2):
        assert reader.read([line]) is None
    with pytest.raises(Invalid):
        SaleReader().read(request_of(line))


def test_a_product_that_shares_its_sku_with_another_is_read_as_its_own(reader: LineReader) -> None:
    lines = [PRODUCT + AMOUNTS, RICE.SerializeToString(), BARE.SerializeToString()]
    for _ in range(2):
        assert reader.read(lines) == read_alone(*lines)


def test_no_rule_is_about_a_line_as_a_whole() -> None:
    assert not pos.Line.DESCRIPTOR.GetOptions().HasExtension(validate_pb2.message)


def test_lines_are_read_when_no_more_may_be_remembered(
    reader: LineReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_reading, "REMEMBERED_MAX", 2)
    lines = [pos.Line(sku=str(n), amount_minor=n).SerializeToString() for n in range(7)]
    assert reader.read(lines) == read_alone(*lines)


def test_long_lines_are_read_and_not_remembered(
    reader: LineReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ["PRODUCE", "x" * 100, "y" * 100, "z" * 100]
    line = pos.Line(sku="7", category_path=path, amount_minor=1).SerializeToString()
    for _ in range(2):
        assert reader.read([line]) == read_alone(line)
    # Only what is remembered is read now.
    monkeypatch.setattr(LineReader, "_checked", lambda *_: None)
    assert reader.read([line]) is None
