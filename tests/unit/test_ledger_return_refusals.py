"""Returns that are refused: each says why and changes nothing."""

import pytest

from tests.unit.ledger_baskets import line, shop_of
from tests.unit.ledger_till import DAY, Till, refusal, standing


def refused_reason(shop: Till, *lines: tuple[int, int] | int, void: bool = False) -> str:
    """Why the first sale cannot be returned so; the wallet stands as before."""
    before = standing(shop)
    document = shop.give_back(shop.documents[0], *lines, void=void)
    assert standing(shop) == before
    return refusal(document)[0]


def test_a_voided_sale_neither_comes_back_nor_is_voided_again() -> None:
    shop = Till(shop_of())
    shop.void(shop.sale(line(250)))
    assert refused_reason(shop) == "SALE_VOIDED"
    assert refused_reason(shop, 1) == "SALE_VOIDED"
    assert refused_reason(shop, void=True) == "SALE_VOIDED"


def test_a_sale_of_which_something_came_back_is_not_voided() -> None:
    shop = Till(shop_of())
    shop.give_back(shop.sale(line(250), line(100)), 1)
    assert refused_reason(shop, void=True) == "SALE_HAS_RETURNS"


def test_everything_comes_back_once() -> None:
    shop = Till(shop_of())
    shop.give_back(shop.sale(line(250), line(100)))
    assert refused_reason(shop) == "RETURN_EXCEEDS_SALE"
    assert refused_reason(shop, 2) == "RETURN_EXCEEDS_SALE"


def test_more_than_was_bought_does_not_come_back() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(250, quantity=1500))
    before = standing(shop)
    assert refusal(shop.give_back(sale, (1, 1501))) == ("RETURN_EXCEEDS_SALE", {"line": "1"})
    shop.give_back(sale, (1, 500))
    assert refused_reason(shop, (1, 1001)) == "RETURN_EXCEEDS_SALE"
    assert not shop.give_back(sale, (1, 1000)).refused
    assert standing(shop) != before


@pytest.mark.parametrize("lines", [(3,), ((1, 100), (3, 100)), (10_000,)])
def test_a_line_the_sale_does_not_have_is_unknown(lines: tuple[int, ...]) -> None:
    shop = Till(shop_of())
    shop.sale(line(250), line(100))
    assert refused_reason(shop, *lines) == "UNKNOWN_LINE"


def test_a_line_is_not_named_twice_in_one_return() -> None:
    shop = Till(shop_of())
    shop.sale(line(250, quantity=2000))
    assert refused_reason(shop, (1, 1000), (1, 1000)) == "UNKNOWN_LINE"


def test_a_return_of_no_sale_is_refused() -> None:
    shop = Till(shop_of())
    assert refusal(shop.give_back(None))[0] == "UNKNOWN_SALE"
    assert refusal(shop.void(None))[0] == "UNKNOWN_SALE"


def test_goods_do_not_come_back_before_they_were_sold() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(250))
    back = shop.give_back(sale, business_time=sale.business_time - 1)
    assert refusal(back)[0] == "RETURN_BEFORE_SALE"
    assert not shop.give_back(sale, business_time=sale.business_time).refused


def test_a_return_too_far_back_or_ahead_is_refused() -> None:
    shop = Till(shop_of())
    sale = shop.sale(line(250))
    ahead = shop.give_back(sale, business_time=shop.now + DAY)
    assert refusal(ahead)[0] == "BUSINESS_TIME_IN_FUTURE"
    old = shop.give_back(sale, business_time=shop.now - 401 * DAY)
    assert refusal(old)[0] == "BUSINESS_TIME_TOO_OLD"
