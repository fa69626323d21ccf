"""A part of a basket paid with points: the rest earns, and a return gives back points and money."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from services.ledger.domain.checking import check_document
from services.ledger.domain.circumstances import Rules
from services.ledger.domain.documents import Account, Document
from services.ledger.domain.point_life import Expiry, PointLife, Shortfall
from services.ledger.domain.policy import Clawback, Policy, Settings, TillRedemption
from tests.unit.ledger_baskets import line, per_amount, policy
from tests.unit.ledger_chance import CHANCES
from tests.unit.ledger_till import DAY, Till, points, refusal, standing

# A hundred points are worth a dollar.
DOLLAR_A_HUNDRED = TillRedemption(100, 100)


def paying(redemption: TillRedemption | None = DOLLAR_A_HUNDRED, **fields: Any) -> Policy:
    return policy(per_amount(), redemption=redemption, **fields)


def shop_with(points_there: int, taking: Policy | None = None) -> Till:
    shop = Till(taking or paying())
    shop.adjust(points_there)
    return shop


def burned(document: Document) -> int:
    return -sum(e.points for e in document.entries if e.account is Account.REDEMPTION)


def test_points_pay_a_part_and_the_rest_earns() -> None:
    shop = shop_with(700)
    sale = shop.sale(line(1200), tender=500)
    assert sale.tender is not None
    assert (sale.tender.points, sale.tender.amount, sale.amount) == (500, 500, 1200)
    assert (burned(sale), points(sale)) == (500, 7 - 500)
    assert shop.wallet.available == 700 - 500 + 7


def test_points_may_pay_the_whole_basket_which_then_earns_nothing() -> None:
    shop = shop_with(1200)
    assert points(shop.sale(line(700), line(500), tender=1200)) == -1200
    assert shop.counters["available"] == 0


def test_the_whole_basket_earns_where_the_policy_says_so() -> None:
    shop = shop_with(700, paying(TillRedemption(100, 100, whole_basket_earns=True)))
    assert points(shop.sale(line(1200), tender=500)) == 12 - 500


def test_what_a_sale_earns_cannot_pay_for_it() -> None:
    shop = shop_with(100)
    sale = shop.sale(line(100_000), tender=200)
    assert refusal(sale) == ("INSUFFICIENT_POINTS", {"wanted": "200", "available": "100"})
    assert shop.wallet.available == 100


def test_each_line_bears_its_share_and_shares_add_up() -> None:
    """Ten cents off three lines of a dollar: 3, 3 and 4; only what is left counts."""
    produce = per_amount(1, 1, rule="produce")
    shop = shop_with(700, policy(produce, redemption=TillRedemption(1, 10)))
    sale = shop.sale(line(100), line(100), line(100), tender=1)
    assert points(sale) == 290 - 1


@pytest.mark.parametrize(
    ("taking", "tender", "unknown", "expected"),
    [
        (paying(None), 100, False, ("POINTS_NOT_TAKEN", {})),
        (paying(), 100, True, ("MEMBER_NEEDED", {})),
        (paying(), 150, False, ("TENDER_UNEVEN", {"step": "100"})),
        (paying(), 1300, False, ("TENDER_EXCEEDS_SALE", {"worth": "1300", "due": "1200"})),
        (paying(), 800, False, ("INSUFFICIENT_POINTS", {"wanted": "800", "available": "700"})),
    ],
)
def test_a_tender_that_cannot_be_taken_refuses_the_sale_and_changes_nothing(
    taking: Policy, tender: int, *, unknown: bool, expected: tuple[str, dict[str, str]]
) -> None:
    shop = shop_with(700, taking)
    before = standing(shop)
    sale = shop.sale(line(1200), tender=tender, unknown_card=unknown)
    assert (refusal(sale), standing(shop)) == (expected, before)


def test_more_than_there_is_takes_whole_steps_of_what_there_is_where_the_policy_clamps() -> None:
    shop = shop_with(770, paying(life=PointLife(shortfall=Shortfall.CLAMP)))
    assert burned(shop.sale(line(1200), tender=1000)) == 700


def test_buy_and_full_return_leaves_the_wallet_as_if_never_bought() -> None:
    shop = shop_with(700)
    before = standing(shop)
    back = shop.give_back(shop.sale(line(700), line(500), tender=500))
    assert standing(shop) == before
    assert back.tender is not None
    assert (back.tender.points, back.tender.amount, back.amount) == (500, 500, -1200)


def test_a_partial_return_gives_back_points_and_money_in_proportion() -> None:
    shop = shop_with(700)
    sale = shop.sale(line(900), line(300), tender=500)
    first = shop.give_back(sale, 2)
    assert first.tender is not None
    # A quarter of the basket: 125 points for 1.25, and 1.75 in money.
    assert (first.tender.points, first.tender.amount) == (125, 125)
    # 9.00 of which 3.75 were paid with points: 5.25 earn 5 of the 7 points earned.
    assert points(first) == 125 - 2
    second = shop.give_back(sale, 1)
    assert second.tender is not None
    assert (second.tender.points, second.tender.amount) == (375, 375)
    assert shop.counters["available"] == 700


def test_a_partial_return_gives_back_money_alone_where_the_policy_says_so() -> None:
    keeps = TillRedemption(100, 100, partial_return_keeps_points=True)
    shop = shop_with(700, paying(keeps))
    sale = shop.sale(line(900), line(300), tender=500)
    assert burned(shop.give_back(sale, 2)) == 0
    assert burned(shop.give_back(sale, 1)) == -500
    assert shop.counters["available"] == 700


def test_points_come_back_into_their_lots_with_their_expiry() -> None:
    life = PointLife(expiry=Expiry.DAYS, expiry_count=10)
    shop = shop_with(700, paying(life=life))
    (lot,) = shop.wallet.lots.values()
    sale = shop.sale(line(1200), tender=500)
    shop.give_back(sale)
    assert shop.wallet.lots[lot.id] == lot


def test_points_of_a_lot_that_is_gone_by_come_back_with_days_of_grace() -> None:
    life = PointLife(expiry=Expiry.DAYS, expiry_count=10, refund_grace_days=5)
    shop = shop_with(500, paying(life=life))
    sale = shop.sale(line(500), tender=500)
    shop.now += 20 * DAY
    back = shop.give_back(sale)
    (grace,) = back.lots
    assert (grace.points, grace.term.expire_time) == (500, (back.business_time // DAY + 6) * DAY)


def test_points_that_come_back_pay_for_what_is_clawed_back() -> None:
    """All that was earned is spent; the points the basket was paid with cover the clawback."""
    shop = shop_with(500, paying(settings=Settings(clawback=Clawback.WITHIN_BALANCE)))
    sale = shop.sale(line(10_000), tender=500)
    shop.adjust(-95)
    back = shop.give_back(sale)
    assert (back.points_forgiven, shop.counters["available"]) == (0, 405)


@settings(max_examples=300, deadline=None)
@given(chance=CHANCES)
def test_however_goods_come_back_all_points_do_and_every_document_recomputes(
    chance: Random,
) -> None:
    step, worth = chance.choice((1, 7, 100)), chance.choice((1, 3, 100))
    taking = paying(TillRedemption(step, worth, chance.random() < 0.3, chance.random() < 0.3))
    rules = Rules([taking])
    shop = shop_with(5_000, taking)
    before = standing(shop)
    lines = [
        line(chance.randint(0, 900), quantity=chance.choice((1000, 2000, 3000)))
        for _ in range(chance.randint(1, 4))
    ]
    due = sum(each.amount for each in lines)
    tender = min(due // worth, 5_000 // step) * step
    sale = shop.sale(*lines, tender=chance.randint(0, tender // step) * step)
    assert not check_document(sale, None, rules).problems
    for number in chance.sample(range(1, len(lines) + 1), len(lines)):
        for _ in range(lines[number - 1].quantity // 1000):
            original = shop.original(sale)
            back = shop.give_back(sale, (number, 1000))
            assert not back.refused
            assert not check_document(back, original, rules).problems
    assert standing(shop) == before
