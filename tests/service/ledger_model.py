"""What a ledger should answer, in a few plain rules that share nothing with the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.service.ledger_model_requests import (
    QUALIFYING,
    REDEEMABLE,
    SECOND_VERSION,
    AdjustAsked,
    AnythingAsked,
    CaptureAsked,
    HoldAsked,
    No,
    ReceiveAsked,
    RefundAsked,
    ReleaseAsked,
    Reply,
    ReturnAsked,
    SaleAsked,
    SendAsked,
    check_time,
)


@dataclass
class Sold:
    asked: SaleAsked
    gone: dict[int, int] = field(default_factory=dict)
    returns: int = 0
    voided: bool = False


# A lot, by when it was earned, and which entry of which document opened it.
Lot = tuple[int, int, int]


@dataclass
class Held:
    brief: bool
    # Points of lots, the first to be burned first.
    parts: list[tuple[Lot, int]]
    state: str = "OPEN"

    @property
    def points(self) -> int:
        return sum(points for _, points in self.parts)


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
    # What was burned and not given back, by the request that captured it.
    burns: dict[str, list[tuple[Lot, int]]] = field(default_factory=dict)
    # What was sent, by the request that did.
    sent: dict[str, list[tuple[Lot, int]]] = field(default_factory=dict)

    @property
    def available(self) -> int:
        return sum(self.lots.values()) - self.owed

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

    def put_back(self, parts: list[tuple[Lot, int]]) -> None:
        """Make points available again; what is owed is repaid out of them."""
        for lot, points in parts:
            self.lots[lot] += points
        repaid = min(self.owed, sum(self.lots.values()))
        self.draw(repaid)
        self.owed -= repaid

    def credit(self, lot: Lot, points: int) -> None:
        repaid = min(points, self.owed)
        self.owed -= repaid
        self.lots[lot] = points - repaid
        self.lifetime += points

    def draw(self, points: int, own: int | None = None) -> int:
        """Take points from lots, those of a document before the oldest. Returns what there was
        not.
        """
        for lot in sorted(self.lots, key=lambda lot: (lot[1] != own, lot)):
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
    """All wallets, and what each request is answered. documents names those that requests
    became.
    """

    def __init__(self, documents: Mapping[str, int]) -> None:
        self.wallets: dict[int, Wallet] = {}
        self.documents = documents

    def wallet(self, number: int) -> Wallet:
        return self.wallets.setdefault(number, Wallet())

    def ask_all(self, batch: Sequence[AnythingAsked]) -> list[Reply]:
        """What the requests of one batch are answered."""
        for asked in batch:
            if isinstance(asked, SaleAsked | AdjustAsked | SendAsked | ReceiveAsked):
                self.wallet(asked.wallet).made = True
        return [self.ask(asked) for asked in batch]

    def ask(self, asked: AnythingAsked) -> Reply:
        wallet = self.wallet(asked.wallet)
        if not wallet.made:
            return Reply(OF_NO_WALLET[type(asked)])
        if asked.request_id in wallet.replies:
            body, reply = wallet.replies[asked.request_id]
            return reply if body == asked.body else Reply("REQUEST_ID_REUSED")
        try:
            reply = self._decide(asked, wallet)
        except No as no:
            reply = Reply(str(no))
        else:
            wallet.posted += 1
            balance = (wallet.available, wallet.qualifying, wallet.lifetime, wallet.held)
            reply = replace(reply, balance=balance)
        wallet.replies[asked.request_id] = asked.body, reply
        return reply

    def _decide(self, asked: AnythingAsked, wallet: Wallet) -> Reply:
        match asked:
            case SaleAsked():
                return self._sell(asked, wallet)
            case ReturnAsked():
                return self._take_back(asked, wallet)
            case AdjustAsked():
                return self._adjust(asked, wallet)
            case HoldAsked():
                return hold(asked, wallet)
            case CaptureAsked():
                return capture(asked, wallet)
            case ReleaseAsked():
                return release(asked, wallet)
            case RefundAsked():
                return refund(asked, wallet)
            case SendAsked():
                return send(asked, wallet)
            case ReceiveAsked():
                return self._receive(asked, wallet)

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
                wallet.credit((asked.time, self.documents[asked.request_id], ordinal), value)
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

    def _claw_back(self, wallet: Wallet, sold: Sold, before: dict[tuple[str, int], int]) -> Reply:
        points, forgiven = [], 0
        for (rule, kind), now in earned(sold).items():
            lost = before[rule, kind] - now
            if kind == QUALIFYING:
                wallet.qualifying -= lost
            else:
                missing = wallet.draw(lost, self.documents[sold.asked.request_id])
                if sold.asked.time >= SECOND_VERSION:
                    wallet.owed += missing
                else:
                    forgiven += missing
                    lost -= missing
                wallet.lifetime -= lost
            if lost:
                points.append((rule, kind, -lost))
        return Reply(points=frozenset(points), forgiven=forgiven)

    def _adjust(self, asked: AdjustAsked, wallet: Wallet) -> Reply:
        check_time(asked.time)
        held = wallet.qualifying if asked.kind == QUALIFYING else wallet.available
        if asked.points < 0 and held + asked.points < 0:
            raise No("INSUFFICIENT_POINTS")
        if asked.kind == QUALIFYING:
            wallet.qualifying += asked.points
        elif asked.points > 0:
            wallet.credit((asked.time, self.documents[asked.request_id], 1), asked.points)
        else:
            wallet.draw(-asked.points)
        return Reply(points=frozenset({("", asked.kind, asked.points)}))

    def _receive(self, asked: ReceiveAsked, wallet: Wallet) -> Reply:
        """Points are as old as they were where they came from."""
        (sent,) = (w.sent[asked.send] for w in self.wallets.values() if asked.send in w.sent)
        opened = []
        for ordinal, ((time, _, _), points) in enumerate(sent, 1):
            lot = time, self.documents[asked.request_id], ordinal
            wallet.lots[lot] = 0
            opened.append((lot, points))
        wallet.put_back(opened)
        return Reply(points=frozenset(("", REDEEMABLE, points) for _, points in sent))


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


OF_NO_WALLET: dict[type, str] = {
    ReturnAsked: "UNKNOWN_SALE",
    HoldAsked: "INSUFFICIENT_POINTS",
    CaptureAsked: "HOLD_NOT_FOUND",
    ReleaseAsked: "HOLD_NOT_FOUND",
    RefundAsked: "BURN_NOT_FOUND",
}


def hold(asked: HoldAsked, wallet: Wallet) -> Reply:
    check_time(asked.time)
    if asked.points > sum(wallet.lots.values()):
        raise No("INSUFFICIENT_POINTS")
    held = Held(asked.brief, [])
    for lot in sorted(wallet.lots):
        taken = min(wallet.lots[lot], asked.points - held.points)
        if taken:
            wallet.lots[lot] -= taken
            held.parts.append((lot, taken))
    wallet.holds[asked.request_id] = held
    return Reply()


def send(asked: SendAsked, wallet: Wallet) -> Reply:
    if asked.points > sum(wallet.lots.values()):
        raise No("INSUFFICIENT_POINTS")
    before = dict(wallet.lots)
    wallet.draw(asked.points)
    taken = [(lot, before[lot] - wallet.lots[lot]) for lot in sorted(before)]
    wallet.sent[asked.request_id] = [(lot, points) for lot, points in taken if points]
    return Reply(points=frozenset({("", REDEEMABLE, -asked.points)}))


def capture(asked: CaptureAsked, wallet: Wallet) -> Reply:
    held = wallet.holds.get(asked.hold)
    if held is None:
        raise No("HOLD_NOT_FOUND")
    if held.state in ("CAPTURED", "RELEASED"):
        raise No(f"HOLD_{held.state}")
    if held.brief:
        raise No("HOLD_EXPIRED")
    points = asked.points or held.points
    if points > held.points:
        raise No("CAPTURE_EXCEEDS_HOLD")
    held.state = "CAPTURED"
    burned, rest = parted(held.parts, points)
    wallet.burns[asked.request_id] = burned
    wallet.put_back(rest)
    return Reply(points=frozenset({("", REDEEMABLE, -points)}))


def release(asked: ReleaseAsked, wallet: Wallet) -> Reply:
    held = wallet.holds.get(asked.hold)
    if held is None:
        raise No("HOLD_NOT_FOUND")
    if held.state == "CAPTURED":
        raise No("HOLD_CAPTURED")
    if held.state == "OPEN":
        held.state = "RELEASED" if not held.brief else "OVER"
        wallet.put_back(held.parts)
    return Reply()


def refund(asked: RefundAsked, wallet: Wallet) -> Reply:
    check_time(asked.time)
    burned = wallet.burns.get(asked.capture)
    if burned is None:
        raise No("BURN_NOT_FOUND")
    there = sum(points for _, points in burned)
    points = asked.points or there
    if points > there or not there:
        raise No("REFUND_EXCEEDS_BURN")
    wallet.burns[asked.capture], back = parted(burned, there - points)
    wallet.put_back(back)
    return Reply(points=frozenset({("restored", REDEEMABLE, points)}))


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
