"""A wallet in a few plain rules that share nothing with the ledger."""

from dataclasses import dataclass, field

from tests.service.ledger_model_requests import DAY, REDEEMABLE, Reply, SaleAsked


@dataclass
class Sold:
    asked: SaleAsked
    gone: dict[int, int] = field(default_factory=dict)
    returns: int = 0
    voided: bool = False

    @property
    def kept(self) -> bool:
        """Whether anything of it was not returned."""
        return any(
            number not in self.gone or self.gone[number] < item.quantity
            for number, item in enumerate(self.asked.items, 1)
        )


# A lot, by when it was earned, and which entry of which document opened it.
Lot = tuple[int, int, int]


@dataclass
class Held:
    brief: bool
    # Points of lots, the first to be burned first; and which document of the wallet set them aside.
    parts: list[tuple[Lot, int]]
    left_at: int
    state: str = "OPEN"

    @property
    def points(self) -> int:
        return sum(points for _, points in self.parts)


@dataclass
class Forgave:
    """What the so manieth document of a wallet did not take back, being spent; what is left."""

    posted: int
    sale: int
    left: int


@dataclass
class Wallet:
    # What can be spent of a lot.
    lots: dict[Lot, int] = field(default_factory=dict)
    qualifying: int = 0
    lifetime: int = 0
    owed: int = 0
    posted: int = 0
    # Whether it came into being: a return alone makes no wallet, and nothing remembers it.
    made: bool = False
    sales: dict[str, Sold] = field(default_factory=dict)
    replies: dict[str, tuple[str, Reply]] = field(default_factory=dict)
    holds: dict[str, Held] = field(default_factory=dict)
    # What was burned and not given back, and when it was set aside, by the request that captured.
    burns: dict[str, tuple[list[tuple[Lot, int]], int]] = field(default_factory=dict)
    forgiven: list[Forgave] = field(default_factory=list)
    # When points were set aside.
    held_at: list[int] = field(default_factory=list)
    # What lots repaid of what was owed.
    repaid: dict[Lot, int] = field(default_factory=dict)
    # What was sent, by the request that did.
    sent: dict[str, list[tuple[Lot, int]]] = field(default_factory=dict)

    @property
    def available(self) -> int:
        return sum(self.lots.values()) - self.owed

    @property
    def active_day(self) -> int | None:
        """When the member last bought what they did not bring back as a whole, or set points
        aside.
        """
        bought = [sold.asked.time for sold in self.sales.values() if sold.kept]
        return max((time // DAY for time in (*bought, *self.held_at)), default=None)

    @property
    def held(self) -> int:
        return sum(held.points for held in self.holds.values() if held.state == "OPEN")

    @property
    def remaining(self) -> list[int]:
        """What lots hold, that which is set aside included."""
        whole = dict(self.lots)
        for held in self.holds.values():
            for lot, points in held.parts if held.state == "OPEN" else ():
                whole[lot] += points
        return sorted(points for points in whole.values() if points)

    def put_back(self, parts: list[tuple[Lot, int]], left_at: int) -> set[tuple[str, int, int]]:
        """Make points available again: what was forgiven since they left is taken of them, then
        what is owed. Returns what was taken.
        """
        for lot, points in parts:
            self.lots[lot] += points
        came, taken = sum(points for _, points in parts), set()
        for each in self.forgiven:
            paid = min(each.left, came) if each.posted > left_at else 0
            if paid:
                each.left -= paid
                came -= paid
                self.lifetime -= paid
                self.draw(paid, each.sale, {lot for lot, _ in parts})
                taken.add(("made_good", REDEEMABLE, -paid))
        self.repay()
        return taken

    def repay(self) -> None:
        before = dict(self.lots)
        repaid = min(self.owed, sum(self.lots.values()))
        self.draw(repaid)
        self.owed -= repaid
        for lot, points in before.items():
            self.repaid[lot] = self.repaid.get(lot, 0) + points - self.lots[lot]

    def credit(self, lot: Lot, points: int) -> None:
        self.lots[lot] = points
        self.lifetime += points
        self.repay()

    def take_back(self, points: int, sale: int, *, owes: bool) -> int:
        """Undo what a sale gave: its own points, what of them repaid a debt, then others or a debt
        of its own. Returns what is forgiven.
        """
        own = {lot for lot in self.lots if lot[1] == sale}
        points = self.draw(points, None, own)
        for lot in sorted(own):
            again = min(points, self.repaid.get(lot, 0))
            self.repaid[lot] = self.repaid.get(lot, 0) - again
            self.owed += again
            points -= again
        if owes:
            self.owed += points
            points = 0
        else:
            points = self.draw(points)
        self.repay()
        return points

    def draw(self, points: int, own: int | None = None, of: set[Lot] | None = None) -> int:
        """Take points from lots, those of a document before the oldest; of some or of all. Returns
        what there was not.
        """
        found = self.lots if of is None else of
        for lot in sorted(found, key=lambda lot: (lot[1] != own, lot)):
            taken = min(points, self.lots[lot])
            self.lots[lot] -= taken
            points -= taken
        return points


def parted(
    parts: list[tuple[Lot, int]], points: int
) -> tuple[list[tuple[Lot, int]], list[tuple[Lot, int]]]:
    """The first so many points of parts, and the rest."""
    first, rest = [], []
    for lot, there in parts:
        taken = min(there, points)
        points -= taken
        first += [(lot, taken)] if taken else []
        rest += [(lot, there - taken)] if there > taken else []
    return first, rest
