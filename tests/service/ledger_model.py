"""What a ledger should answer, in a few plain rules that share nothing with the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from tests.service.ledger_model_wallet import Forgave, Held, Sold, Wallet, parted


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
                owes = sold.asked.time >= SECOND_VERSION
                missing = wallet.take_back(lost, self.documents[sold.asked.request_id], owes=owes)
                forgiven += missing
                lost -= missing
                wallet.lifetime -= lost
            if lost:
                points.append((rule, kind, -lost))
        if forgiven:
            sale = self.documents[sold.asked.request_id]
            wallet.forgiven.append(Forgave(wallet.posted + 1, sale, forgiven))
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
        left_at = wallet.posted + 1 if asked.left_at is None else asked.left_at
        taken = wallet.put_back(opened, left_at)
        return Reply(points=frozenset({*(("", REDEEMABLE, p) for _, p in sent), *taken}))


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
    held = Held(asked.brief, [], wallet.posted + 1)
    for lot in sorted(wallet.lots):
        taken = min(wallet.lots[lot], asked.points - held.points)
        if taken:
            wallet.lots[lot] -= taken
            held.parts.append((lot, taken))
    wallet.holds[asked.request_id] = held
    wallet.held_at.append(asked.time)
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
    wallet.burns[asked.request_id] = burned, held.left_at
    taken = wallet.put_back(rest, held.left_at)
    return Reply(points=frozenset({("", REDEEMABLE, -points), *taken}))


def release(asked: ReleaseAsked, wallet: Wallet) -> Reply:
    held = wallet.holds.get(asked.hold)
    if held is None:
        raise No("HOLD_NOT_FOUND")
    if held.state == "CAPTURED":
        raise No("HOLD_CAPTURED")
    if held.state == "OPEN":
        held.state = "RELEASED" if not held.brief else "OVER"
        return Reply(points=frozenset(wallet.put_back(held.parts, held.left_at)))
    return Reply()


def refund(asked: RefundAsked, wallet: Wallet) -> Reply:
    check_time(asked.time)
    if asked.capture not in wallet.burns:
        raise No("BURN_NOT_FOUND")
    burned, left_at = wallet.burns[asked.capture]
    there = sum(points for _, points in burned)
    points = asked.points or there
    if points > there or not there:
        raise No("REFUND_EXCEEDS_BURN")
    kept, back = parted(burned, there - points)
    wallet.burns[asked.capture] = kept, left_at
    taken = wallet.put_back(back, left_at)
    return Reply(points=frozenset({("restored", REDEEMABLE, points), *taken}))
