"""Lines of baskets, read out of their bytes.

A shop sells the same things at the same prices, so most of a line has been seen before. The wire
names a line's product first and then its amounts, and what is the concatenation of two messages is
their merger: both halves are checked and read once, and remembered by their bytes.
"""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from google.protobuf.message import DecodeError
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.domain.basket import (
    AmountsJson,
    ProductJson,
    amounts_json,
    product_json,
)
from services.ledger.rpc import messages
from services.plumbing.errors import Invalid
from services.plumbing.validation import Validation

# Of each half; together they take some 50 MB.
REMEMBERED_MAX = 65_536
# Longer ones are read anew each time: so what is remembered is bounded.
REMEMBERED_BYTES_MAX = 256
# How sku, description and category path begin on the wire: number and kind of the field.
_PRODUCT = frozenset(
    number << 3 | 2
    for number in (
        pos.Line.SKU_FIELD_NUMBER,
        pos.Line.DESCRIPTION_FIELD_NUMBER,
        pos.Line.CATEGORY_PATH_FIELD_NUMBER,
    )
)
_ONE_BYTE = 0x80

# A line begins with the number and kind of a field, and how long it is.
_SHORTEST = 2
_SOME_PRODUCT = pos.Line(sku="some").SerializeToString()

# What is sold: its bytes, and what the journal keeps of it.
_Product: TypeAlias = tuple[bytes, ProductJson]
Half = TypeVar("Half")


class LineReader:
    """Reads lines. No rule is about a product and its amounts together, so each half is checked by
    itself: with no amounts, and as those of some product.
    """

    def __init__(self) -> None:
        self._validation = Validation()
        self._products: dict[bytes, _Product] = {}
        # The product that a sku was last the name of, by how a line begins with the sku.
        self._latest: dict[bytes, _Product] = {}
        self._amounts: dict[bytes, AmountsJson] = {}

    def read(self, lines: Sequence[bytes]) -> str | None:
        """The lines of a basket as the journal keeps them; None where one breaks a rule or is not
        written as usual.
        """
        latest, amounts = self._latest, self._amounts
        found = []
        for line in lines:
            if len(line) < _SHORTEST:
                return None
            product, counted = latest.get(line[: 2 + line[1]]), None
            if product is not None and line.startswith(product[0]):
                counted = amounts.get(line[len(product[0]) :])
            if product is None or counted is None:
                halves = self._learn(line)
                if halves is None:
                    return None
                product, counted = halves
            _, (before, behind) = product
            counts, end = counted
            found.append(f"{before}{counts}{behind}{end}")
        return f"[{','.join(found)}]"

    def _learn(self, line: bytes) -> tuple[_Product, AmountsJson] | None:
        # The product ends here, as far as it stands first and its texts are short.
        end, last = 0, len(line) - 1
        while end < last and line[end] in _PRODUCT and (length := line[end + 1]) < _ONE_BYTE:
            end += 2 + length
        product = self._products.get(line[:end]) or self._learn_product(line[:end])
        counted = self._amounts.get(line[end:]) or self._learn_amounts(line[end:])
        if product is None or counted is None:
            return None
        if end <= REMEMBERED_BYTES_MAX:
            _remember(self._latest, line[: 2 + line[1]], product)
        return product, counted

    def _learn_product(self, half: bytes) -> _Product | None:
        message = self._checked(half)
        if message is None:
            return None
        sold = product_json(message.sku, message.description, tuple(message.category_path))
        return _remember(self._products, half, (half, sold))

    def _learn_amounts(self, half: bytes) -> AmountsJson | None:
        message = self._checked(_SOME_PRODUCT + half)
        # What names the product anew or says anything twice is no half of its own.
        if message is None or message.SerializeToString() != _SOME_PRODUCT + half:
            return None
        read = messages.read_line(message)
        if read.description or read.category_path or read.tax > read.amount:
            return None
        return _remember(self._amounts, half, amounts_json(read))

    def _checked(self, line: bytes) -> pos.Line | None:
        try:
            message = pos.Line.FromString(line)
            self._validation.check(message)
        except (DecodeError, Invalid):
            return None
        return message


def _remember(known: dict[bytes, Half], half: bytes, read: Half) -> Half:
    if len(half) > REMEMBERED_BYTES_MAX:
        return read
    if len(known) >= REMEMBERED_MAX:
        known.clear()
    known[half] = read
    return read
