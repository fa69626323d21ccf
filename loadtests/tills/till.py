"""A till: it sells, quotes, takes back, and sends what it kept while it was offline."""

import itertools
import random
import time
import uuid
from collections import deque

from locust import User, between, task
from locust.env import Environment
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.ledger.v1 import point_of_sale_pb2_grpc

from loadtests.tills.baskets import basket
from loadtests.tills.calls import Calls
from loadtests.tills.world import world

TILLS_PER_STORE = 8
# A full queue asks for patience; the till keeps the sale and sends it later, with its batch.
TOLERATED = ("QUEUE_FULL",)
SALES_REMEMBERED = 50
BATCH_MAX = 1_000
SALES_WHILE_OFFLINE = (10, 200)
OFFLINE_SECONDS_MAX = 3_600
# Of a hundred customers, so many hold a card that nobody has enrolled with yet.
UNKNOWN_CARDS_PERCENT = 5

_draw = random.Random()  # noqa: S311 — a workload, no secret
_numbers = itertools.count()


class Till(User):
    """Rings up a basket about every second, which is a brisk till."""

    weight = 9
    wait_time = between(0.5, 1.5)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        number = next(_numbers)
        self._store = str(1 + number // TILLS_PER_STORE)
        self._terminal = f"{1 + number % TILLS_PER_STORE}"
        # One run's receipts differ from another's.
        self._receipts = itertools.count(time.time_ns() // 1_000)
        subject = f"stores/{self._store}/terminals/{self._terminal}"
        self._calls = Calls(
            environment, world().token(subject, "sales.write", stores=[self._store])
        )
        self._ledger = point_of_sale_pb2_grpc.PointOfSaleServiceStub(world().ledger)
        self._sold: deque[str] = deque(maxlen=SALES_REMEMBERED)
        self._kept: list[pos.RecordSaleRequest] = []

    @task(60)
    def sell(self) -> None:
        request = self._sale(self._card())
        answer = self._calls.answer(
            "RecordSale", self._ledger.RecordSale, request, tolerated=TOLERATED
        )
        if answer is None:
            self._kept.append(request)
        else:
            self._sold.append(answer.sale)

    @task(10)
    def quote(self) -> None:
        request = pos.QuoteSaleRequest(sale=self._basket(self._card()))
        self._calls.answer("QuoteSale", self._ledger.QuoteSale, request)

    @task(5)
    def take_back(self) -> None:
        """The first line of an earlier sale comes back, and once in a while a second time."""
        if not self._sold:
            return
        sale = self._sold.popleft()
        answer = self._calls.answer(
            "RecordReturn", self._ledger.RecordReturn, self._return(sale), tolerated=TOLERATED
        )
        if answer is not None and _draw.random() < 0.1:
            self._calls.refusal(
                "RecordReturn",
                self._ledger.RecordReturn,
                self._return(sale),
                due="RETURN_EXCEEDS_SALE",
            )

    @task(2)
    def sell_and_ask_again(self) -> None:
        """The answer got lost, so the same request is sent again: it must get the same answer."""
        request = self._sale(self._card())
        first = self._calls.answer(
            "RecordSale", self._ledger.RecordSale, request, tolerated=TOLERATED
        )
        started = time.perf_counter()
        second = self._calls.answer(
            "RecordSale again", self._ledger.RecordSale, request, tolerated=TOLERATED
        )
        if first is not None and second is not None and first != second:
            self._calls.tell("RecordSale again", started, failure="another answer")

    @task(1)
    def try_blocked_card(self) -> None:
        card = _draw.choice(world().customers.blocked_cards)
        self._calls.refusal(
            "RecordSale", self._ledger.RecordSale, self._sale(card), due="CARD_BLOCKED"
        )

    @task(1)
    def come_back_online(self) -> None:
        """Send what was sold meanwhile in one call; what is not acknowledged is kept."""
        count = _draw.randint(*SALES_WHILE_OFFLINE)
        self._kept += [
            self._sale(self._card(), age_seconds=_draw.randint(0, OFFLINE_SECONDS_MAX))
            for _ in range(count)
        ]
        sent = self._kept[:BATCH_MAX]
        answer = self._calls.answer(
            "BatchRecordSales",
            self._ledger.BatchRecordSales,
            pos.BatchRecordSalesRequest(requests=sent),
        )
        if answer is None:
            return
        self._kept = self._kept[len(sent) :]
        for request, outcome in zip(sent, answer.outcomes, strict=True):
            reason = outcome.refused.reason
            if reason in TOLERATED:
                self._kept.append(request)
            elif reason:
                self._calls.tell("BatchRecordSales", time.perf_counter(), failure=reason)

    def _card(self) -> str:
        if _draw.randrange(100) < UNKNOWN_CARDS_PERCENT:
            return f"new-{uuid.uuid4()}"
        return _draw.choice(world().customers.cards)

    def _basket(self, card: str, age_seconds: int = 0) -> pos.Sale:
        return basket(
            card=card,
            store=self._store,
            terminal=self._terminal,
            receipt_number=str(next(self._receipts)),
            age_seconds=age_seconds,
        )

    def _sale(self, card: str, age_seconds: int = 0) -> pos.RecordSaleRequest:
        return pos.RecordSaleRequest(
            request_id=str(uuid.uuid4()), sale=self._basket(card, age_seconds)
        )

    def _return(self, sale: str) -> pos.RecordReturnRequest:
        request = pos.RecordReturnRequest(
            request_id=str(uuid.uuid4()),
            sale=sale,
            store=self._store,
            terminal=self._terminal,
            receipt_number=str(next(self._receipts)),
            lines=[pos.ReturnedLine(line=1)],
        )
        request.business_time.GetCurrentTime()
        return request
