"""What a till rang up: a sale and its lines.

Values of the hot path are msgspec structs: frozen, slotted, typed as dataclasses are, several times
cheaper to make, and
their JSON is what the journal keeps.
"""

import enum
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

MICROS_PER_SECOND = 1_000_000

# ISO 4217 currencies whose minor unit is not a hundredth.
_NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
_MINOR_DIGITS = dict.fromkeys(_NO_DIGITS.split(), 0) | dict.fromkeys(_THREE_DIGITS.split(), 3)


class Nature(enum.IntEnum):
    PRODUCT = 1
    SHIPPING = 2
    SERVICE = 3


class Line(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One line of a basket: amounts in minor units, quantity in thousandths.

    amount is what the customer pays for the line, tax included, discounts deducted.
    """

    sku: str
    quantity: int
    amount: int
    description: str = ""
    category_path: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tax: int = 0
    discount: int = 0
    nature: int = 1


# A line with its number in the sale, counted from 1; a return keeps the numbers of what is left.
NumberedLine = tuple[int, Line]


class Sale(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A basket at a till. business_time is in microseconds since 1970-01-01 UTC."""

    store: str
    terminal: str
    receipt_number: str
    business_time: int
    currency: str
    # Its Lines as the journal keeps them: only who looks at them reads them.
    lines_json: str
    # Points that a part of it is paid with.
    tender_points: int = 0

    @property
    def lines(self) -> list[Line]:
        """Read anew each time."""
        return lines_from_json(self.lines_json)


# What says in a line's JSON what is sold: before quantity and amount, and behind them.
ProductJson: TypeAlias = tuple[str, str]
# What says the rest of a line: quantity and amount, and what stands at its end.
AmountsJson: TypeAlias = tuple[str, str]

_encode = msgspec.json.Encoder().encode
_decode_lines = msgspec.json.Decoder(list[Line]).decode


def lines_json(lines: Sequence[Line]) -> str:
    return _encode(lines).decode()


def product_json(sku: str, description: str, category_path: Sequence[str]) -> ProductJson:
    said = f",{_encode(description).decode()},{_encode(category_path).decode()},"
    return f"[{_encode(sku).decode()},", said


def amounts_json(line: Line) -> AmountsJson:
    end = f"{_encode(line.tags).decode()},{line.tax},{line.discount},{line.nature}]"
    return f"{line.quantity},{line.amount}", end


def lines_from_json(text: str | bytes) -> list[Line]:
    return _decode_lines(text)


def money(minor: int, currency: str) -> str:
    """An amount for people: money(1234, "USD") is "12.34 USD"."""
    digits = _MINOR_DIGITS.get(currency, 2)
    if digits == 0:
        return f"{minor} {currency}"
    whole, rest = divmod(minor, 10**digits)
    return f"{whole}.{str(rest).zfill(digits)} {currency}"
