"""What a ledger should answer, in a few plain rules that share nothing with the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

NOW = 1_767_225_600_000_000
DAY = 86_400_000_000
# From here on a dollar gives two points, and what a return takes back may be owed.
SECOND_VERSION = NOW - 30 * DAY
REDEEMABLE, QUALIFYING = 1, 2


@dataclass(frozen=True)
class Item:
    """A line of a basket."""

    amount: int
    quantity: int
    produce: bool


@dataclass(frozen=True)
class Asked:
    """A request as the model sees it."""

    wallet: int
    request_id: str
    body: str
    time: int


@dataclass(frozen=True)
class SaleAsked(Asked):
    items: tuple[Item, ...] = ()
    currency: str = "USD"
    blocked: bool = False


@dataclass(frozen=True)
class ReturnAsked(Asked):
    # The request that recorded the sale, and line numbers with quantities (zero: all that is left).
    sale: str = ""
    lines: tuple[tuple[int, int], ...] = ()
    void: bool = False


@dataclass(frozen=True)
class AdjustAsked(Asked):
    kind: int = REDEEMABLE
    points: int = 0


@dataclass(frozen=True)
class Reply:
    """A refusal's reason, or what was posted: points by rule and kind, and the wallet after."""

    refusal: str = ""
    points: frozenset[tuple[str, int, int]] = frozenset()
    forgiven: int = 0
    balance: tuple[int, int, int] = (0, 0, 0)


class No(Exception):  # noqa: N818 — an answer
    """The request is refused for the reason it carries."""


@dataclass
class Sold:
    asked: SaleAsked
    gone: dict[int, int] = field(default_factory=dict)
    returns: int = 0
    voided: bool = False


@dataclass
class Wallet:
    # What a lot holds, by when it was earned and which of the document's entries opened it.
    lots: dict[tuple[int, int], int] = field(default_factory=dict)
    qualifying: int = 0
    lifetime: int = 0
    owed: int = 0
    posted: int = 0
    # Whether it came into being: a return alone makes no wallet, and nothing remembers it.
    made: bool = False
    sales: dict[str, Sold] = field(default_factory=dict)
    replies: dict[str, tuple[str, Reply]] = field(default_factory=dict)

    @property
    def available(self) -> int:
        return sum(self.lots.values()) - self.owed

    def credit(self, lot: tuple[int, int], points: int) -> None:
        repaid = min(points, self.owed)
        self.owed -= repaid
        self.lots[lot] = points - repaid
        self.lifetime += points

    def draw(self, points: int, own_time: int | None = None) -> int:
        """Take points from lots, a sale's own before the oldest. Returns what there was not."""
        for lot in sorted(self.lots, key=lambda lot: (lot[0] != own_time, lot)):
            taken = min(points, self.lots[lot])
            self.lots[lot] -= taken
            points -= taken
        return points


def left(sold: Sold, number: int) -> int | None:
    """How much of a line may still come back; None when all of it did."""
    bought = sold.asked.items[number - 1].quantity
    if number in sold.gone and sold.gone[number] >= bought:
        return None
    return bought - sold.gone.get(number, 0)


def earned(sold: Sold) -> dict[tuple[str, int], int]:
    """What the lines that were not returned earn."""
    total = produce = 0
    for number, item in enumerate(sold.asked.items, 1):
        kept = left(sold, number)
        if kept is None:
            continue
        amount = item.amount
        if kept < item.quantity:
            amount = (2 * item.amount * kept + item.quantity) // (2 * item.quantity)
        total += amount
        produce += amount if item.produce else 0
    times = 2 if sold.asked.time >= SECOND_VERSION else 1
    base = times * total // 100
    return {
        ("base", REDEEMABLE): base,
        ("base", QUALIFYING): base,
        ("produce", REDEEMABLE): produce // 100,
    }


class Model:
    """All wallets, and what each request is answered."""

    def __init__(self) -> None:
        self.wallets: dict[int, Wallet] = {}

    def wallet(self, number: int) -> Wallet:
        return self.wallets.setdefault(number, Wallet())

    def ask_all(self, batch: Sequence[SaleAsked | ReturnAsked | AdjustAsked]) -> list[Reply]:
        """What the requests of one batch are answered."""
        for asked in batch:
            if not isinstance(asked, ReturnAsked):
                self.wallet(asked.wallet).made = True
        return [self.ask(asked) for asked in batch]

    def ask(self, asked: SaleAsked | ReturnAsked | AdjustAsked) -> Reply:
        wallet = self.wallet(asked.wallet)
        if not wallet.made:
            return Reply("UNKNOWN_SALE")
        if asked.request_id in wallet.replies:
            body, reply = wallet.replies[asked.request_id]
            return reply if body == asked.body else Reply("REQUEST_ID_REUSED")
        try:
            if isinstance(asked, SaleAsked):
                reply = self._sell(asked, wallet)
            elif isinstance(asked, ReturnAsked):
                reply = self._take_back(asked, wallet)
            else:
                reply = self._adjust(asked, wallet)
        except No as no:
            reply = Reply(str(no))
        else:
            wallet.posted += 1
            balance = (wallet.available, wallet.qualifying, wallet.lifetime)
            reply = replace(reply, balance=balance)
        wallet.replies[asked.request_id] = asked.body, reply
        return reply

    def _sell(self, asked: SaleAsked, wallet: Wallet) -> Reply:
        if asked.blocked:
            raise No("CARD_BLOCKED")
        check_time(asked.time)
        if asked.currency != "USD":
            raise No("WRONG_CURRENCY")
        sold = Sold(asked)
        wallet.sales[asked.request_id] = sold
        points = {key: value for key, value in earned(sold).items() if value}
        for ordinal, ((_, kind), value) in enumerate(points.items(), 1):
            if kind == REDEEMABLE:
                wallet.credit((asked.time, ordinal), value)
            else:
                wallet.qualifying += value
        return Reply(points=frozenset((rule, kind, v) for (rule, kind), v in points.items()))

    def _take_back(self, asked: ReturnAsked, wallet: Wallet) -> Reply:
        check_time(asked.time)
        sold = wallet.sales.get(asked.sale)
        if sold is None:
            raise No("UNKNOWN_SALE")
        if sold.voided:
            raise No("SALE_VOIDED")
        if asked.void and sold.returns:
            raise No("SALE_HAS_RETURNS")
        if asked.time < sold.asked.time:
            raise No("RETURN_BEFORE_SALE")
        back = quantities_back(sold, asked.lines)
        before = earned(sold)
        for number, quantity in back.items():
            sold.gone[number] = sold.gone.get(number, 0) + quantity
        sold.returns += 1
        sold.voided = asked.void
        return self._claw_back(wallet, sold, before)

    @staticmethod
    def _claw_back(wallet: Wallet, sold: Sold, before: dict[tuple[str, int], int]) -> Reply:
        points, forgiven = [], 0
        for (rule, kind), now in earned(sold).items():
            lost = before[rule, kind] - now
            if kind == QUALIFYING:
                wallet.qualifying -= lost
            else:
                missing = wallet.draw(lost, sold.asked.time)
                if sold.asked.time >= SECOND_VERSION:
                    wallet.owed += missing
                else:
                    forgiven += missing
                    lost -= missing
                wallet.lifetime -= lost
            if lost:
                points.append((rule, kind, -lost))
        return Reply(points=frozenset(points), forgiven=forgiven)

    @staticmethod
    def _adjust(asked: AdjustAsked, wallet: Wallet) -> Reply:
        check_time(asked.time)
        held = wallet.qualifying if asked.kind == QUALIFYING else wallet.available
        if asked.points < 0 and held + asked.points < 0:
            raise No("INSUFFICIENT_POINTS")
        if asked.kind == QUALIFYING:
            wallet.qualifying += asked.points
        elif asked.points > 0:
            wallet.credit((asked.time, 1), asked.points)
        else:
            wallet.draw(-asked.points)
        return Reply(points=frozenset({("", asked.kind, asked.points)}))


def check_time(time: int) -> None:
    if time > NOW:
        raise No("BUSINESS_TIME_IN_FUTURE")
    if time < NOW - 400 * DAY:
        raise No("BUSINESS_TIME_TOO_OLD")


def quantities_back(sold: Sold, lines: tuple[tuple[int, int], ...]) -> dict[int, int]:
    numbers = range(1, len(sold.asked.items) + 1)
    if not lines:
        back = {n: rest for n in numbers if (rest := left(sold, n)) is not None}
        if not back:
            raise No("RETURN_EXCEEDS_SALE")
        return back
    back = {}
    for number, quantity in lines:
        if number not in numbers:
            raise No("UNKNOWN_LINE")
        rest = left(sold, number)
        if rest is None or quantity > rest:
            raise No("RETURN_EXCEEDS_SALE")
        if number in back:
            raise No("UNKNOWN_LINE")
        back[number] = quantity or rest
    return back
