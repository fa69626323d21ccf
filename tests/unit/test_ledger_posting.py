"""What a sale and an adjustment do to a wallet, and what they are refused for."""

import pytest

from services.ledger.domain.documents import (
    Account,
    Balance,
    CardState,
    Document,
    DocumentType,
    Entry,
    Flag,
)
from services.ledger.domain.receipt import explanation, receipt_texts
from tests.unit.ledger_baskets import (
    NOON,
    QUALIFYING,
    REDEEMABLE,
    categories,
    fixed,
    line,
    micros,
    per_amount,
    policy,
)
from tests.unit.ledger_till import DAY, SECOND, Till, points, refusal

BASE = per_amount(kinds=(REDEEMABLE, QUALIFYING))
PRODUCE = per_amount(rule="produce", lines=categories(("PRODUCE",)))
NOTHING = {"available": 0, "pending": 0, "qualifying": 0, "lifetime": 0, "overdrawn": 0}


def till() -> Till:
    return Till(policy(BASE, PRODUCE))


def rules_and_points(document: Document) -> list[tuple[str, str, int]]:
    return [(entry.rule, entry.kind.name, entry.points) for entry in document.entries]


def test_a_sale_has_an_entry_for_each_rule_and_kind_and_a_lot_for_each_redeemable_one() -> None:
    shop = till()
    sale = shop.sale(line(250), line(300, "PRODUCE"))
    assert rules_and_points(sale) == [
        ("base", "REDEEMABLE", 5),
        ("base", "QUALIFYING", 5),
        ("produce", "REDEEMABLE", 3),
    ]
    assert [entry.ordinal for entry in sale.entries] == [1, 2, 3]
    assert {entry.account for entry in sale.entries} == {Account.ISSUANCE}
    assert [(lot.id, lot.points, lot.remaining) for lot in sale.lots] == [
        ((1, 1), 5, 5),
        ((1, 3), 3, 3),
    ]
    assert sale.balance == Balance(8, 0, 5, 8)
    assert (sale.type, sale.amount, sale.policy_version, sale.sequence) == (
        DocumentType.SALE,
        550,
        1,
        1,
    )


def test_a_lot_is_earned_when_the_sale_took_place() -> None:
    shop = till()
    yesterday = shop.now - DAY
    [lot] = shop.sale(line(100), business_time=yesterday).lots
    assert lot.earn_time == yesterday


def test_a_sale_that_earns_nothing_is_recorded_all_the_same() -> None:
    shop = till()
    sale = shop.sale(line(99))
    assert (sale.refused, list(sale.entries), sale.sequence) == (False, [], 1)
    assert shop.counters == NOTHING


def test_the_version_in_force_at_the_sales_time_applies() -> None:
    noon = micros(NOON)
    shop = Till(
        policy(per_amount(), version=1),
        policy(per_amount(2), version=2, effective_time=noon),
    )
    before, at = (shop.sale(line(100), business_time=time) for time in (noon - 1, noon))
    assert [(d.policy_version, points(d)) for d in (before, at)] == [(1, 1), (2, 2)]


def test_flags_say_what_was_odd() -> None:
    shop = till()
    assert shop.sale(line(100)).flags == 0
    odd = shop.sale(line(100), unknown_card=True, duplicate=True)
    assert odd.flags == Flag.UNKNOWN_CARD | Flag.POSSIBLE_DUPLICATE
    assert points(odd) == 1


@pytest.mark.parametrize("state", [CardState.BLOCKED, CardState.REPLACED])
def test_a_card_that_is_not_active_is_refused(state: CardState) -> None:
    shop = till()
    sale = shop.sale(line(100), card_state=state)
    assert refusal(sale) == ("CARD_BLOCKED", {"state": state.name})
    assert shop.counters == NOTHING


def test_refusals_take_no_place_among_a_wallets_documents() -> None:
    shop = till()
    assert shop.sale(line(100), card_state=CardState.BLOCKED).sequence == 0
    assert shop.sale(line(100)).sequence == 1


@pytest.mark.parametrize(
    ("away", "reason"),
    [
        (300 * SECOND, None),
        (300 * SECOND + 1, "BUSINESS_TIME_IN_FUTURE"),
        (-400 * DAY, None),
        (-400 * DAY - 1, "BUSINESS_TIME_TOO_OLD"),
    ],
)
def test_business_times_too_far_from_now_are_refused(away: int, reason: str | None) -> None:
    for shop in (till(), till()):
        time = shop.now + away
        documents = [shop.sale(line(100), business_time=time)]
        shop.now -= SECOND
        documents.append(shop.adjust(5, business_time=time))
        for document in documents:
            assert (refusal(document)[0] if document.refused else None) == reason


def test_another_currency_is_refused_and_both_are_named() -> None:
    sale = till().sale(line(100), currency="EUR")
    assert refusal(sale) == ("WRONG_CURRENCY", {"expected": "USD", "given": "EUR"})


def test_a_sale_before_the_first_policy_is_refused() -> None:
    shop = Till(policy(BASE, effective_time=micros(NOON)))
    assert refusal(shop.sale(line(100), business_time=micros(NOON) - 1))[0] == "NO_POLICY_IN_FORCE"


def test_an_adjustment_gives_a_lot_or_takes_from_lots() -> None:
    shop = till()
    given = shop.adjust(10)
    taken = shop.adjust(-4)
    assert [entry.account for entry in given.entries] == [Account.ADJUSTMENT]
    assert [(lot.points, lot.remaining) for lot in given.lots] == [(10, 10)]
    assert [(use.lot, use.points) for use in taken.lot_uses] == [((1, 1), 4)]
    assert (given.actor, given.reason) == ("care", "by hand")
    assert shop.counters == NOTHING | {"available": 6, "lifetime": 10}


def test_an_adjustment_of_qualifying_points_opens_no_lot() -> None:
    shop = till()
    assert shop.adjust(10, QUALIFYING).lots == []
    shop.adjust(-3, QUALIFYING)
    assert shop.counters == NOTHING | {"qualifying": 7}


@pytest.mark.parametrize("kind", [REDEEMABLE, QUALIFYING])
def test_more_cannot_be_taken_than_is_there(kind: type) -> None:
    shop = till()
    shop.adjust(10, kind)  # type: ignore[arg-type]
    before = (shop.counters, shop.lots)
    taken = shop.adjust(-11, kind)  # type: ignore[arg-type]
    assert refusal(taken) == ("INSUFFICIENT_POINTS", {"wanted": "11", "available": "10"})
    assert (shop.counters, shop.lots) == before


def test_points_can_be_given_to_who_owes_qualifying_points() -> None:
    shop = till()
    sale = shop.sale(line(1000))
    shop.adjust(-10, QUALIFYING)
    shop.give_back(sale)
    assert shop.counters["qualifying"] == -10
    assert not shop.adjust(4, QUALIFYING).refused
    assert shop.counters["qualifying"] == -6


def entry(value: int, **fields: object) -> Entry:
    said = {"basis": 250, "title": "1 point per 1.00 USD", **fields}
    return Entry(1, REDEEMABLE, Account.ISSUANCE, value, **said)  # type: ignore[arg-type]


def test_every_entry_is_explained_in_a_plain_sentence() -> None:
    shop = till()
    sale = shop.sale(line(250), line(100, "PRODUCE"))
    back = shop.give_back(sale, 1)
    assert [explanation(sale, each) for each in sale.entries] == [
        "3 points for 3.50 USD: 1 for 100",
        "3 points for 3.50 USD: 1 for 100",
        "1 point for 1.00 USD: 1 for 100",
    ]
    assert explanation(back, back.entries[0]) == "2 points taken back with the return: 1 for 100"
    adjusted = shop.adjust(5)
    assert explanation(adjusted, adjusted.entries[0]) == "by hand"


def test_a_point_given_anew_by_a_return_is_explained() -> None:
    shop = Till(policy(per_amount()))
    back = shop.give_back(shop.sale(line(100)))
    assert (
        explanation(back, entry(1)) == "1 point given anew after the return: 1 point per 1.00 USD"
    )


@pytest.mark.parametrize(
    ("values", "available", "texts"),
    [
        ([1200, 34], 5678, ["You earned 1,234 points.", "Your balance: 5,678 points."]),
        ([1], 1, ["You earned 1 point.", "Your balance: 1 point."]),
        ([], 0, ["No points this time.", "Your balance: 0 points."]),
        ([-3, 2], -1, ["Taken back: 1 point.", "Your balance: -1 point."]),
    ],
)
def test_receipts_say_what_was_earned_and_what_there_is(
    values: list[int], available: int, texts: list[str]
) -> None:
    assert receipt_texts([entry(value) for value in values], Balance(available)) == texts


def test_receipts_do_not_count_qualifying_points() -> None:
    status = Entry(1, QUALIFYING, Account.ISSUANCE, 5)
    assert receipt_texts([status], Balance(0))[0] == "No points this time."


def test_points_owed_are_repaid_out_of_the_next_sale() -> None:
    shop = till()
    shop.wallet.overdrawn, shop.wallet.available = 4, -4
    sale = shop.sale(line(600))
    assert [(lot.points, lot.remaining) for lot in sale.lots] == [(6, 2)]
    assert [(use.lot, use.points) for use in sale.lot_uses] == [((1, 1), 4)]
    assert sale.balance.available == 2


def test_fixed_points_and_money_stand_in_the_entry() -> None:
    sale = Till(policy(fixed(50))).sale(line(250), line(150))
    [given] = sale.entries
    assert (given.points, given.basis, given.lines) == (50, 400, (1, 2))
