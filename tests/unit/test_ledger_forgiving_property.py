"""Whatever is bought, spent, returned and refunded: nothing comes out of nothing."""

from random import Random

from hypothesis import given, settings

from services.ledger.domain.documents import Account, Document, DocumentType
from services.ledger.domain.forgiving import makes_good
from services.ledger.domain.making_good import Followed, Following
from tests.unit.ledger_baskets import line
from tests.unit.ledger_chance import CHANCES
from tests.unit.test_ledger_forgiving import EARLIER, NOTHING, both


def followed(document: Document) -> Followed:
    """A document as the audit follows it."""
    about_hold = (DocumentType.HOLD, DocumentType.BURN, DocumentType.RELEASE)
    entries = document.entries
    return Followed(
        document.wallet_id,
        document.document_id,
        document.sequence,
        document.type,
        document.original_id,
        document.points_forgiven,
        document.lines_json if document.type in about_hold else "",
        document.receipt_number,
        sum(e.points for e in entries if e.account is Account.REDEMPTION and e.points > 0),
        sum(e.points for e in entries if e.account is Account.ISSUANCE and e.points > 0),
        -sum(e.points for e in entries if makes_good(e)),
    )


class Life:
    """What a member does by chance, and how many points goods they kept earned."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.till = both()
        self.sales: dict[int, tuple[Document, dict[int, int]]] = {}
        self.holds: list[Document] = []
        self.burns: list[Document] = []

    @property
    def kept(self) -> int:
        return sum(sum(lines.values()) for _, lines in self.sales.values())

    @property
    def away(self) -> int:
        """Burned points that did not come back."""
        paid = [sale.tender.points for sale, lines in self.sales.values() if sale.tender and lines]
        return sum(self.till.burn_of(burn).points for burn in self.burns) + sum(paid)

    def buy(self) -> None:
        chance, till = self.chance, self.till
        lines = {n: chance.randint(1, 30) for n in range(1, chance.randint(1, 3) + 1)}
        free = max(till.wallet.available, 0)
        tender = chance.choice((0, 0, min(free, 100)))
        time = chance.choice((None, EARLIER))
        basket = [line(100 * each) for each in lines.values()]
        sale = till.sale(*basket, tender=tender, business_time=time)
        self.sales[sale.document_id] = sale, lines

    def give_back(self) -> None:
        """One line; the last of a basket that points paid for comes back with all the rest."""
        found = [each for each in self.sales.values() if each[1]]
        if found:
            sale, lines = self.chance.choice(found)
            if sale.tender is not None or self.chance.random() < 0.4:
                assert not self.till.give_back(sale).refused
                lines.clear()
            else:
                number = self.chance.choice(list(lines))
                assert not self.till.give_back(sale, number).refused
                del lines[number]

    def spend(self) -> None:
        available = self.till.wallet.available
        if available > 0:
            points = self.chance.choice((available, self.chance.randint(1, available)))
            self.holds.append(self.till.hold(points))

    def settle(self, *, capture: bool) -> None:
        if self.holds:
            held = self.holds.pop(self.chance.randrange(len(self.holds)))
            if capture:
                most = self.till.wallet.holds[held.document_id].points
                self.burns.append(self.till.capture(held, self.chance.randint(1, most)))
            else:
                self.till.release(held)

    def refund(self, *, all_of_it: bool = False) -> None:
        found = [burn for burn in self.burns if self.till.burn_of(burn).points]
        if found:
            burn = self.chance.choice(found)
            left = self.till.burn_of(burn).points
            self.till.refund(burn, left if all_of_it else self.chance.randint(1, left))

    def step(self) -> None:
        match self.chance.randrange(7):
            case 0 | 1:
                self.buy()
            case 2:
                self.give_back()
            case 3 | 4:
                self.spend()
            case 5:
                self.settle(capture=self.chance.random() < 0.7)
            case _:
                self.refund()

    def undo_all_spending(self) -> None:
        """Whatever was spent or held comes back, in any order."""
        while self.holds:
            self.settle(capture=False)
        while any(self.till.burn_of(burn).points for burn in self.burns):
            self.refund(all_of_it=self.chance.random() < 0.5)
        for sale, lines in self.sales.values():
            if sale.tender is not None and lines:
                self.till.give_back(sale)
                lines.clear()


@settings(max_examples=300, deadline=None)
@given(chance=CHANCES)
def test_once_all_that_was_spent_came_back_there_is_what_kept_goods_earned(chance: Random) -> None:
    life = Life(chance)
    for _ in range(chance.randint(5, 30)):
        life.step()
        wallet = life.till.wallet
        assert not any(document.refused for document in life.till.documents[-1:])
        left = sum(each.left for each in wallet.forgiven)
        assert wallet.available + wallet.held == life.kept - life.away + left
    life.undo_all_spending()
    following = Following()
    for document in life.till.documents:
        assert list(following.follow(followed(document))) == []
    assert tuple(following.forgiven) == life.till.wallet.forgiven
    counters = life.till.counters
    assert counters == {**NOTHING, "available": life.kept, "lifetime": life.kept}
    assert [each.left for each in life.till.wallet.forgiven if each.left] == []
    assert all(each.remaining == each.free for each in life.till.wallet.lots.values())
