"""Tills that store and forward: a sale is kept and sent again until it is answered."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import grpc
from google.rpc import error_details_pb2, status_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.ledger.v1 import point_of_sale_pb2_grpc

from services.plumbing.grpc_client import error_info
from tests.faults.programme import Metadata
from tests.service.waiting import until

# After these nobody knows whether the sale was recorded; its request_id makes asking again safe.
RETRYABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
ATTEMPTS_MAX = 100
BACK_OFF_SECONDS_MIN = 0.05
BACK_OFF_SECONDS_MAX = 1.0
ALL_SECONDS_MAX = 200.0
CANCELS_MAX = 2
OPTIONS = (
    # A till sees every failure itself, and has a connection of its own.
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://loyalty.example/tests/faults")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call ended that recorded nothing the till could know of."""

    code: grpc.StatusCode
    # What the server said; empty where none was there to say anything.
    reason: str
    # How long the server advises to wait before the same is sent again.
    retry_seconds: float | None
    seconds: float
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Manner:
    """How long a till waits for one answer: at first, and at most, doubling in between."""

    deadline_seconds_min: float = 10.0
    deadline_seconds_max: float = 10.0
    # It gives up its first calls for a sale itself, at a random moment within this time.
    cancels_within_seconds: float | None = None


USUAL = Manner()


class NotRecordedError(Exception):
    """A till was refused, or never answered."""


def sales(name: str, *, tills: int, each: int, cards: int) -> list[list[pos.RecordSaleRequest]]:
    """Sales for each of some tills, the same in every run; a name's cards and ids are its own."""
    chance = random.Random(name)  # noqa: S311 — the same chance in every run is what is wanted
    business_time = datetime.now(UTC) - timedelta(hours=1)
    return [
        [
            _sale(
                f"{name}/{till}/{number}",
                f"{name}-{chance.randrange(cards)}",
                till,
                business_time,
                chance,
            )
            for number in range(each)
        ]
        for till in range(tills)
    ]


def _sale(
    key: str, card_token: str, till: int, business_time: datetime, chance: random.Random
) -> pos.RecordSaleRequest:
    lines = [
        pos.Line(
            sku=f"sku-{number}", quantity_thousandths=1000, amount_minor=chance.randint(1, 9_999)
        )
        for number in range(chance.randint(1, 4))
    ]
    sale = pos.Sale(
        card_token=card_token,
        store="31",
        terminal=str(till),
        receipt_number=key,
        currency_code="USD",
        lines=lines,
    )
    sale.business_time.FromDatetime(business_time)
    return pos.RecordSaleRequest(request_id=str(uuid.uuid5(NAMESPACE, key)), sale=sale)


def points_of(request: pos.RecordSaleRequest) -> int:
    """What a sale earns of each kind: a point per whole dollar."""
    return sum(line.amount_minor for line in request.sale.lines) // 100


@dataclass(slots=True)
class Till:
    """One till with its sales, which it sends in their order, one at a time."""

    sales: Sequence[pos.RecordSaleRequest]
    channel: grpc.aio.Channel
    metadata: Metadata
    manner: Manner
    chance: random.Random
    answers: dict[str, pos.RecordSaleResponse] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    cancelled: int = 0

    async def work(self) -> None:
        """Send every sale until it is answered. Refuses: NotRecordedError."""
        for request in self.sales:
            self.answers[request.request_id] = await self._send_until_answered(request)

    async def _send_until_answered(self, request: pos.RecordSaleRequest) -> pos.RecordSaleResponse:
        for attempt in range(ATTEMPTS_MAX):
            answer = await self._send(request, attempt)
            if isinstance(answer, pos.RecordSaleResponse):
                return answer
            if answer is not None:
                self.failures.append(answer)
                if answer.code not in RETRYABLE:
                    raise NotRecordedError(answer)
                await asyncio.sleep(self._pause_seconds(attempt, answer))
        raise NotRecordedError(f"no answer in {ATTEMPTS_MAX} attempts")

    async def _send(
        self, request: pos.RecordSaleRequest, attempt: int
    ) -> pos.RecordSaleResponse | Failure | None:
        """One call: its answer, how it failed, or None when we gave it up ourselves."""
        longest = self.manner.deadline_seconds_max
        deadline_seconds = min(self.manner.deadline_seconds_min * 2.0**attempt, longest)
        began = time.monotonic()
        stub = point_of_sale_pb2_grpc.PointOfSaleServiceStub(self.channel)
        call = stub.RecordSale(request, timeout=deadline_seconds, metadata=self.metadata)
        if self.manner.cancels_within_seconds is not None and attempt < CANCELS_MAX:
            moment = self.chance.uniform(0, self.manner.cancels_within_seconds)
            asyncio.get_running_loop().call_later(moment, call.cancel)
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            return failure(error, time.monotonic() - began, deadline_seconds)
        except asyncio.CancelledError:
            if not call.cancelled() or asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            self.cancelled += 1
            return None

    def _pause_seconds(self, attempt: int, failed: Failure) -> float:
        """Longer each time, and as long as the server advises; not all tills at the same moment."""
        doubled = min(BACK_OFF_SECONDS_MIN * 2.0**attempt, BACK_OFF_SECONDS_MAX)
        return max(doubled, failed.retry_seconds or 0.0) * self.chance.uniform(0.5, 1.0)


def failure(error: grpc.aio.AioRpcError, seconds: float, deadline_seconds: float) -> Failure:
    info = error_info(error)
    reason = info.reason if info is not None else ""
    return Failure(error.code(), reason, retry_seconds(error), seconds, deadline_seconds)


def retry_seconds(error: grpc.aio.AioRpcError) -> float | None:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                advice = error_details_pb2.RetryInfo()
                if detail.Unpack(advice):
                    return float(advice.retry_delay.ToTimedelta().total_seconds())
    return None


class Tills:
    """Several tills at work at the same time."""

    def __init__(self, tills: Sequence[Till]) -> None:
        self._tills = tills

    async def until_answered(self, count: int) -> None:
        """Wait until so many sales are answered, of all tills."""
        await until(lambda: len(self.answers) >= count, ALL_SECONDS_MAX)

    @property
    def done(self) -> bool:
        return len(self.answers) == len(self.requests)

    @property
    def requests(self) -> list[pos.RecordSaleRequest]:
        return [request for till in self._tills for request in till.sales]

    @property
    def answers(self) -> dict[str, pos.RecordSaleResponse]:
        return {key: answer for till in self._tills for key, answer in till.answers.items()}

    @property
    def failures(self) -> list[Failure]:
        return [failed for till in self._tills for failed in till.failures]

    @property
    def cancelled(self) -> int:
        return sum(till.cancelled for till in self._tills)


@asynccontextmanager
async def at_work(
    lists: Sequence[Sequence[pos.RecordSaleRequest]],
    *,
    address: str,
    metadata: Metadata,
    manner: Manner = USUAL,
) -> AsyncIterator[Tills]:
    """Tills that begin with the block, each with its list; at its end all sales are answered.

    Refuses: TimeoutError when they are not in time; in a group: what a till refuses.
    """
    async with AsyncExitStack() as opened:
        tills = []
        for number, own in enumerate(lists):
            channel = grpc.aio.insecure_channel(address, options=OPTIONS)
            await opened.enter_async_context(channel)
            chance = random.Random(number)  # noqa: S311 — as above
            tills.append(Till(own, channel, metadata, manner, chance))
        async with asyncio.timeout(ALL_SECONDS_MAX), asyncio.TaskGroup() as group:
            for till in tills:
                group.create_task(till.work())
            yield Tills(tills)
