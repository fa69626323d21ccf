"""Baskets as tills ring them up."""

import random
import time

from loyalty.ledger.v1 import point_of_sale_pb2 as pos

SHELF = (
    ("PRODUCE", "TROPICAL FRUIT", "BANANAS"),
    ("PRODUCE", "VEGETABLES SALAD", "LETTUCE"),
    ("GROCERY", "BREAD", "MAINSTREAM WHITE BREAD"),
    ("GROCERY", "FLUID MILK PRODUCTS", "WHITE MILK"),
    ("GROCERY", "SOFT DRINKS", "CANS"),
    ("MEAT", "BEEF", "CHOICE BEEF"),
    ("DELI", "CHEESES", "SLICED"),
    ("DRUG GM", "CIGARETTES", "CIGARETTES"),
)
LINES_MAX = 12
CENTS_MIN, CENTS_MAX = 49, 1_999

_draw = random.Random()  # noqa: S311 — a workload, no secret


def basket(
    *, card: str, store: str, terminal: str, receipt_number: str, age_seconds: int
) -> pos.Sale:
    """A random basket that was rung up so many seconds ago."""
    sale = pos.Sale(
        card_token=card,
        store=store,
        terminal=terminal,
        receipt_number=receipt_number,
        currency_code="USD",
        lines=[_line() for _ in range(_draw.randint(1, LINES_MAX))],
    )
    sale.business_time.seconds = int(time.time()) - age_seconds
    return sale


def _line() -> pos.Line:
    category = _draw.choice(SHELF)
    return pos.Line(
        sku=str(1_000_000 + SHELF.index(category)),
        description=category[-1].capitalize(),
        category_path=category,
        quantity_thousandths=1_000,
        amount_minor=_draw.randint(CENTS_MIN, CENTS_MAX),
    )
