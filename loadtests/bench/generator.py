"""A load generator: a process of its own that sends requests made beforehand, as bytes."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from multiprocessing.connection import Connection
from operator import itemgetter
from typing import TypeAlias

import grpc
import uvloop
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.rewards.v1 import redemption_pb2
from plumbing.v1 import diagnostics_pb2

from loadtests.bench.workload import SALES_PER_CALL, RedemptionMaker, SaleMaker
from services.plumbing.grpc_client import bearer
from services.plumbing.grpc_server import MESSAGE_BYTES_MAX

CALL_SECONDS_MAX = 60.0


class Call(Enum):
    """What is sent. A store's concentrator sends some tens of sales at a time, a backlog more."""

    ECHO = "echo"
    SALE = "sale"
    STORE = "store"
    BATCH = "batch"
    REDEEM = "redeem"

    @property
    def path(self) -> str:
        return PATHS[self]


PATHS = {
    Call.ECHO: "/plumbing.v1.DiagnosticsService/Ping",
    Call.SALE: "/loyalty.ledger.v1.PointOfSaleService/RecordSale",
    Call.STORE: "/loyalty.ledger.v1.PointOfSaleService/BatchRecordSales",
    Call.BATCH: "/loyalty.ledger.v1.PointOfSaleService/BatchRecordSales",
    Call.REDEEM: "/loyalty.rewards.v1.RedemptionService/RedeemReward",
}


@dataclass(frozen=True, slots=True)
class Desk:
    """Where members redeem a reward, and who does."""

    address: str
    reward: str
    price_points: int
    members: Sequence[str]


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send. Generators differ by number."""

    address: str
    token: str
    number: int
    channels: int
    wallets: int
    desk: Desk | None = None

    def address_of(self, call: Call) -> str:
        return self.desk.address if self.desk and call is Call.REDEEM else self.address


@dataclass(frozen=True, slots=True)
class Prepare:
    """Have at least so many requests ready."""

    call: Call
    count: int


@dataclass(frozen=True, slots=True)
class FirstSales:
    """Have a batch ready for every block of wallets from first up to, not including, end."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Run:
    """Send what is ready, so many calls at a time, until a time of the monotonic clock.

    With a rate, evenly so many a second and late ones at once; otherwise as fast as answers come.
    Only what is answered from measure_from on counts as measured.
    """

    call: Call
    in_flight: int
    measure_from: float
    until: float
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run came to. sales counts the acknowledged ones, measured or not."""

    measured_calls: int
    measured_seconds: float
    sales: int
    latency_seconds: Sequence[float] = field(repr=False, default=())

    @property
    def calls_per_second(self) -> float:
        return self.measured_calls / self.measured_seconds if self.measured_seconds else 0.0


Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
# When it was sent and answered, by the monotonic clock, and what the answer was.
Answer: TypeAlias = tuple[float, float, bytes]
Order: TypeAlias = Prepare | FirstSales | Run | None


class UnexpectedAnswer(Exception):  # noqa: N818 — says what it is
    """A call succeeded and yet did not do what was asked."""


def work(target: Target, orders: Connection) -> None:
    """Carry out orders until there are none."""
    uvloop.run(_work(target, orders))


async def _work(target: Target, orders: Connection) -> None:
    generator = _Generator(target)
    while True:
        order: Order = await asyncio.to_thread(orders.recv)
        match order:
            case Prepare():
                orders.send(generator.prepare(order))
            case FirstSales():
                orders.send(generator.prepare_first_sales(order))
            case Run():
                orders.send(await generator.run(order))
            case None:
                return


class _Generator:
    def __init__(self, target: Target) -> None:
        self._maker = SaleMaker(target.number, wallets=target.wallets)
        self._metadata = bearer(target.token)
        self._channels = {call: _channels(target, target.address_of(call)) for call in Call}
        self._ready: dict[Call, list[bytes]] = {call: [] for call in Call}
        self._make: dict[Call, Callable[[], bytes]] = {
            Call.ECHO: self._maker.ping,
            Call.SALE: self._maker.sale,
            Call.STORE: self._maker.store_batch,
            Call.BATCH: self._maker.batch,
        }
        if target.desk is not None:
            desk = target.desk
            maker = RedemptionMaker(
                target.number, desk.reward, desk.members, price_points=desk.price_points
            )
            self._make[Call.REDEEM] = maker.redemption

    def prepare(self, order: Prepare) -> int:
        ready = self._ready[order.call]
        make = self._make[order.call]
        ready.extend(make() for _ in range(order.count - len(ready)))
        return len(ready)

    def prepare_first_sales(self, order: FirstSales) -> int:
        ready = self._ready[Call.BATCH]
        for first in range(order.first, order.end, SALES_PER_CALL):
            ready.append(self._maker.batch_of(range(first, min(first + SALES_PER_CALL, order.end))))
        return len(ready)

    async def run(self, order: Run) -> Ran:
        """Send until the time is over or nothing is ready. Refuses: UnexpectedAnswer."""
        ready, channels = self._ready[order.call], self._channels[order.call]
        answers: list[Answer] = []
        turns = _turns(order.per_second)
        await asyncio.gather(
            *(
                self._send(channels[number % len(channels)], order, turns, answers)
                for number in range(order.in_flight)
            )
        )
        # Read after the clock stopped, so that checking every answer costs the measure nothing.
        sales = sum(_sales_in(order.call, answer) for _, _, answer in answers)
        measured, end = _measured(order, answers, ran_out=not ready)
        latencies = [ended - started for started, ended, _ in measured]
        return Ran(len(measured), end - order.measure_from, sales, latencies)

    async def _send(
        self,
        channel: grpc.aio.Channel,
        order: Run,
        turns: Iterator[float],
        answers: list[Answer],
    ) -> None:
        ready = self._ready[order.call]
        method: Method = channel.unary_unary(
            order.call.path, request_serializer=None, response_deserializer=None
        )
        now = time.monotonic
        for turn in turns:
            if (early_seconds := turn - now()) > 0:
                await asyncio.sleep(early_seconds)
            if not ready or (started := now()) >= order.until:
                return
            answer = await method(ready.pop(), metadata=self._metadata, timeout=CALL_SECONDS_MAX)
            answers.append((started, now(), answer))


def _channels(target: Target, address: str) -> list[grpc.aio.Channel]:
    # Channels with the same arguments would share one connection.
    return [
        grpc.aio.insecure_channel(
            address,
            options=(
                ("bench.channel", number),
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ),
        )
        for number in range(target.channels)
    ]


def _turns(per_second: float | None) -> Iterator[float]:
    """When to send one call after the other, by the monotonic clock; long ago is at once."""
    if per_second is None:
        return itertools.repeat(0.0)
    start = time.monotonic()
    return (start + number / per_second for number in itertools.count())


def _measured(
    order: Run, answers: Sequence[Answer], *, ran_out: bool
) -> tuple[Sequence[Answer], float]:
    """The answers that count and the time until which they do.

    A call that outlasts the measure counts alone and lengthens it, so that a rate is never nothing.
    """
    after = sorted((a for a in answers if a[1] >= order.measure_from), key=itemgetter(1))
    within = [answer for answer in after if answer[1] <= order.until]
    if within and not ran_out:
        return within, order.until
    counted = within or after[:1]
    return counted, counted[-1][1] if counted else order.measure_from


def _sales_in(call: Call, answer: bytes) -> int:
    """How many sales an answer acknowledges. Refuses: UnexpectedAnswer."""
    match call:
        case Call.ECHO:
            if diagnostics_pb2.PingResponse.FromString(answer).text != "ping":
                raise UnexpectedAnswer("another echo than what was sent")
            return 0
        case Call.SALE:
            if not pos.RecordSaleResponse.FromString(answer).sale:
                raise UnexpectedAnswer("a sale without a name")
            return 1
        case Call.STORE | Call.BATCH:
            outcomes = pos.BatchRecordSalesResponse.FromString(answer).outcomes
            for outcome in outcomes:
                if not outcome.HasField("recorded"):
                    raise UnexpectedAnswer(f"refused: {outcome.refused.reason}")
            return len(outcomes)
        case Call.REDEEM:
            if not redemption_pb2.RedeemRewardResponse.FromString(answer).voucher.code:
                raise UnexpectedAnswer("a redemption without a voucher")
            return 0
