"""Baskets: how they are written down, and amounts for people."""

import pytest

from services.ledger.domain.basket import Line, Nature, lines_from_json, lines_json, money
from tests.unit.ledger_baskets import line


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1234, "USD", "12.34 USD"),
        (5, "USD", "0.05 USD"),
        (0, "EUR", "0.00 EUR"),
        (1234, "JPY", "1234 JPY"),
        (0, "KRW", "0 KRW"),
        (1234, "KWD", "1.234 KWD"),
        (7, "BHD", "0.007 BHD"),
        (10**13 + 1, "USD", "100000000000.01 USD"),
    ],
)
def test_amounts_have_as_many_digits_as_the_currency(minor: int, currency: str, text: str) -> None:
    assert money(minor, currency) == text


def test_lines_read_back_are_the_lines_written() -> None:
    lines = [
        line(100),
        Line(
            "sku-2",
            1500,
            10**11,
            "Bananas — \"loose\" \\ 'ripe' 香蕉",
            ("PRODUCE", "FRUIT"),
            ("organic", "new"),
            7,
            50,
            Nature.SHIPPING.value,
        ),
    ]
    assert lines_from_json(lines_json(lines)) == lines


def test_what_a_line_does_not_say_is_not_written() -> None:
    assert lines_json([Line("a", 1000, 100)]) == '[["a",1000,100,"",[],[],0,0,1]]'
