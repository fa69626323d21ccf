"""Sales read out of the bytes of their requests.

Nearly every sale breaks no rule of the contract. One look at what it says is sure of that for a
fraction of what it takes to check each field by itself; of any other sale the whole message is
checked, which tells all that is wrong with it.
"""

import re

import msgspec
from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.domain.basket import Sale
from services.ledger.rpc import messages, sale_wire
from services.ledger.rpc.line_reading import LineReader
from services.plumbing.errors import FieldViolation
from services.plumbing.validation import Validation, invalid


class AskedSale(msgspec.Struct, frozen=True, gc=False):
    """What a RecordSaleRequest says."""

    request_id: str
    card_token: str
    sale: Sale


def rules_of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    rules: validate_pb2.FieldRules = field.GetOptions().Extensions[validate_pb2.field]
    return rules


_rules = {field.name: rules_of(field) for field in pos.Sale.DESCRIPTOR.fields}
_UUID = "-".join(f"[0-9a-fA-F]{{{digits}}}" for digits in (8, 4, 4, 4, 12))
_TEXTS = ("card_token", "store", "terminal", "receipt_number", "currency_code")
# Stands in no text that keeps its rule.
_BETWEEN = "\n"
_texts_are_right = re.compile(
    _BETWEEN.join([_UUID, *(_rules[text].string.pattern.strip("^$") for text in _TEXTS)])
).fullmatch
_LINES_MAX = _rules["lines"].repeated.max_items
_TENDER_MAX = _rules["tender_points"].int64.lte
_LAST_SECOND = _rules["business_time"].timestamp.lte.seconds


class SaleReader:
    """Reads requests, and remembers the lines it has seen."""

    def __init__(self) -> None:
        self._lines = LineReader()
        self._validation = Validation()

    def read(self, request: bytes) -> AskedSale:
        """What a serialized RecordSaleRequest says. Refuses: Invalid, with all that is wrong."""
        try:
            return self._usual(sale_wire.read_request(request)) or self._whole(request)
        except DecodeError:
            raise invalid([FieldViolation("", "cannot be read")]) from None

    def _usual(self, request: sale_wire.RecordSaleRequest) -> AskedSale | None:
        """None where it is not sure that no rule is broken."""
        sale = request.sale
        request_id, token = request.request_id, sale.card_token
        store, terminal, receipt = sale.store, sale.terminal, sale.receipt_number
        currency, tender_points, time = sale.currency_code, sale.tender_points, sale.business_time
        texts = (request_id, token, store, terminal, receipt, currency)
        if (
            _texts_are_right(_BETWEEN.join(texts)) is None
            or not 0 < len(sale.lines) <= _LINES_MAX
            or not 0 <= tender_points <= _TENDER_MAX
            # Of a sale without its time the seconds are zero.
            or not 0 < time.seconds < _LAST_SECOND
        ):
            return None
        lines = self._lines.read(sale.lines)
        if lines is None:
            return None
        micros = messages.micros(time)
        return AskedSale(
            request_id,
            token,
            Sale(store, terminal, receipt, micros, currency, lines, tender_points),
        )

    def _whole(self, request: bytes) -> AskedSale:
        """Refuses: DecodeError, Invalid."""
        whole = pos.RecordSaleRequest.FromString(request)
        self._validation.check(whole)
        return AskedSale(whole.request_id, whole.sale.card_token, messages.read_sale(whole.sale))
