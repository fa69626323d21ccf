"""Whatever is bought, spent and returned: it is as if only what was kept had ever been bought."""

from collections import Counter
from fractions import Fraction
from random import Random

import msgspec
from hypothesis import given, settings

from services.ledger.domain.basket import Line
from services.ledger.domain.documents import Document
from services.ledger.domain.policy import Clawback, Combination, PointKind, Settings
from tests.unit.ledger_baskets import fixed, per_amount, policy
from tests.unit.ledger_chance import CHANCES, a_basket, a_policy, a_time
from tests.unit.ledger_reference import expected_points
from tests.unit.ledger_till import Till, points

# Quantities given back, by line.
Back = dict[int, int]


def half_up(exact: Fraction) -> int:
    return (exact + Fraction(1, 2)).__floor__()


def kept(basket: list[tuple[int, Line]], gone: Back) -> list[tuple[int, Line]]:
    """What a basket would have been without what was given back."""
    rest = []
    for number, each in basket:
        if number not in gone:
            rest.append((number, each))
        elif gone[number] < each.quantity:
            part = Fraction(each.quantity - gone[number], each.quantity)
            smaller = msgspec.structs.replace(
                each,
                quantity=each.quantity - gone[number],
                amount=half_up(each.amount * part),
                tax=half_up(each.tax * part),
                discount=half_up(each.discount * part),
            )
            rest.append((number, smaller))
    return rest


def some_back(chance: Random, basket: list[tuple[int, Line]], gone: Back) -> Back:
    """What comes back next: parts of lines of which something is left."""
    back = {}
    for number, each in basket:
        left = each.quantity - gone.get(number, 0)
        if (left or number not in gone) and chance.random() < 0.5:
            back[number] = chance.choice((left, left, chance.randint(min(left, 1), left)))
    return back


def posted(documents: list[Document]) -> dict[tuple[str, PointKind], int]:
    """The points of documents by rule and kind, where they are not zero."""
    sums: Counter[tuple[str, PointKind]] = Counter()
    for document in documents:
        for entry in document.entries:
            sums[entry.rule, entry.kind] += entry.points
    return {key: points for key, points in sums.items() if points}


@settings(max_examples=500, deadline=None)
@given(chance=CHANCES)
def test_a_sale_and_its_returns_give_what_the_rest_would_have_earned(chance: Random) -> None:
    rules, basket, time = a_policy(chance), a_basket(chance), a_time(chance)
    till = Till(rules)
    till.now = time
    sale = till.sale(*(each for _, each in basket), business_time=time)
    gone: Back = {}
    for _ in range(3):
        back = some_back(chance, basket, gone)
        if not back:
            continue
        document = till.give_back(sale, *back.items())
        assert not document.refused
        for number, quantity in back.items():
            gone[number] = gone.get(number, 0) + quantity
        found = expected_points(rules, kept(basket, gone), store="31", business_time=time)
        expected = {(each.rule, each.kind): each.points for each in found}
        assert posted(till.documents) == expected
        assert all(lot.remaining >= 0 for lot in till.wallet.lots.values())
    if len(gone) < len(basket) or any(gone[n] < each.quantity for n, each in basket):
        assert not till.give_back(sale).refused
    assert posted(till.documents) == {}
    assert set(till.counters.values()) == {0}
    assert till.lots == []


def visit(till: Till, step: int, chance: Random, sales: list[Document]) -> None:
    """A sale of three lines at one step of a life, that comes back bit by bit until the last."""
    if step == BOUGHT:
        sales.append(till.sale(*(Line("a", 1000, chance.randint(0, 900)) for _ in range(3))))
    if step in GIVEN_BACK:
        for number in chance.sample((1, 2, 3), 2):
            till.give_back(sales[0], number)
    if step == ALL_BACK:
        till.give_back(sales[0])


def live(till: Till, chance: Random, owned: int) -> int:
    """One step of a member's life: buy or spend. Returns what is there to be spent."""
    asked = chance.randint(1, 12)
    if chance.random() < 0.5:
        return owned + points(till.sale(Line("b", 1000, asked * 100 + 50)))
    if asked <= owned:
        assert not till.adjust(-asked).refused
        return owned - asked
    return owned


BOUGHT, GIVEN_BACK, ALL_BACK, STEPS = 3, {5, 8}, 10, 14
POLICIES = (
    policy(per_amount()),
    policy(per_amount(), fixed(4), settings=Settings(combination=Combination.HIGHEST_ONLY)),
    policy(per_amount(), points_per_sale_max=7, eligible_minor_min=300),
    policy(per_amount(), settings=Settings(clawback=Clawback.ALLOW_NEGATIVE)),
)


@settings(max_examples=500, deadline=None)
@given(chance=CHANCES, visits=CHANCES)
def test_buying_and_returning_bit_by_bit_is_as_if_never_bought(
    chance: Random, visits: Random
) -> None:
    """Spent is only what would be there without the sale; else that life could not have been."""
    rules = chance.choice(POLICIES)
    same_chance = chance.getstate()
    with_it, without = Till(rules), Till(rules)
    owned = 0
    for _ in range(STEPS):
        owned = live(without, chance, owned)
    chance.setstate(same_chance)
    owned = 0
    sales: list[Document] = []
    for step in range(STEPS):
        visit(with_it, step, visits, sales)
        owned = live(with_it, chance, owned)
    held = [[remaining for _, remaining in till.lots] for till in (with_it, without)]
    assert (with_it.counters, held[0]) == (without.counters, held[1])
