"""The demo's baskets as the requests a till sends, encoded once where contents recur.

A million and a half lines repeat some three hundred thousand contents. A protobuf message is the
concatenation of its fields, so the bytes of a content are made once and reused in every basket
that has it; the client then costs a small part of what the server does with the same lines.
"""

import uuid
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import point_of_sale_pb2

from services.cli.demo.dataset import Basket, LineContent
from services.plumbing import wire

CURRENCY_CODE = "USD"
TERMINAL = "1"
# Request ids are derived, so a replay that starts again sends the same ones.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://loyalty.example/demo/real-year")


def request_id(kind: str, key: object) -> str:
    """The same id for the same thing, in every run."""
    return str(uuid.uuid5(NAMESPACE, f"{kind}/{key}"))


def card_token(household: int) -> str:
    return f"hh-{household:07d}"


class SaleEncoder:
    """Encodes baskets as entries of `BatchRecordSalesRequest.requests`."""

    def __init__(self, contents: Iterable[LineContent]) -> None:
        products: dict[int, bytes] = {}
        self._lines = [_line(content, products) for content in contents]

    def encode(self, basket: Basket) -> bytes:
        """One entry; entries in a row are a BatchRecordSalesRequest."""
        sale = point_of_sale_pb2.Sale(
            card_token=card_token(basket.household),
            store=str(basket.store),
            terminal=TERMINAL,
            receipt_number=str(basket.basket),
            business_time=Timestamp(seconds=basket.business_seconds),
            currency_code=CURRENCY_CODE,
        ).SerializeToString()
        lines = b"".join([self._lines[content] for content in basket.contents])
        request = point_of_sale_pb2.RecordSaleRequest(request_id=request_id("sale", basket.basket))
        return wire.field(
            point_of_sale_pb2.BatchRecordSalesRequest.REQUESTS_FIELD_NUMBER,
            request.SerializeToString()
            + wire.field(point_of_sale_pb2.RecordSaleRequest.SALE_FIELD_NUMBER, sale + lines),
        )


def _line(content: LineContent, products: dict[int, bytes]) -> bytes:
    product = products.get(content.product)
    if product is None:
        product = products[content.product] = point_of_sale_pb2.Line(
            sku=str(content.product),
            description=content.description,
            category_path=content.category_path,
        ).SerializeToString()
    amounts = point_of_sale_pb2.Line(
        quantity_thousandths=content.quantity_thousandths,
        amount_minor=content.amount_minor,
        discount_minor=content.discount_minor,
    ).SerializeToString()
    return wire.field(point_of_sale_pb2.Sale.LINES_FIELD_NUMBER, product + amounts)
