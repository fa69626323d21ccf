"""RabbitMQ stops, is killed and starts again, and its consumers die at random, under 100,000 sales.

Every consumer ends with exactly the ledger's totals; events that come again change nothing.
"""

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.ledger.v1 import point_of_sale_pb2_grpc

from loadtests.broker import Broker
from tests.faults.bus_consumers import (
    Consumer,
    Killer,
    inject_duplicates,
    ledger_points,
    tiering,
    totals,
)
from tests.faults.programme import Programme
from tests.faults.tills import NAMESPACE, OPTIONS

SALES, BATCH, CARDS = 100_000, 500, 2_000
# When, in sales, RabbitMQ goes away and comes back.
STOPS_AT, STARTS_AT, DIES_AT = 20_000, 50_000, 75_000
# Counted in sales, so that a slow machine does not spend its time on starting the dead again.
KILLED_EVERY_SALES = 10_000
LOOK_SECONDS = 0.25
CATCH_UP_SECONDS_MAX = 120.0

Sell = Callable[[pos.BatchRecordSalesRequest], Awaitable[int]]


def batches() -> Iterator[pos.BatchRecordSalesRequest]:
    """All sales, the same in every run; each earns its whole dollars in points of both kinds."""
    chance = random.Random("bus")  # noqa: S311 — the same chance in every run is what is wanted
    business_time = datetime.now(UTC) - timedelta(hours=1)
    for first in range(0, SALES, BATCH):
        batch = pos.BatchRecordSalesRequest()
        for number in range(first, first + BATCH):
            request = batch.requests.add(request_id=str(uuid.uuid5(NAMESPACE, f"bus {number}")))
            sale = request.sale
            sale.card_token = f"bus-{chance.randrange(CARDS)}"
            sale.store, sale.terminal, sale.receipt_number = "31", "1", f"bus-{number}"
            sale.currency_code = "USD"
            sale.business_time.FromDatetime(business_time)
            sale.lines.add(
                sku="1", quantity_thousandths=1000, amount_minor=100 * chance.randint(1, 99)
            )
        yield batch


async def test_100_000_sales_reach_every_consumer_once(
    running_on_rabbitmq: Programme, rabbitmq: Broker, tmp_path: Path
) -> None:
    programme = running_on_rabbitmq
    async with AsyncExitStack() as opened:
        sell = await opened.enter_async_context(till(programme))
        consumers = [
            opened.enter_context(totals(programme, rabbitmq.url, tmp_path)),
            tiering(programme),
        ]
        killer = Killer(consumers)
        unsold = batches()
        most = itertools.islice(unsold, SALES // BATCH - 1)
        sold = await sell_while_the_broker_dies(sell, rabbitmq, killer, most)
        assert min(killer.kills.values()) >= 1, killer.kills
        expected = ledger_points(programme)
        await eventually(
            lambda: all(agrees(each, expected) for each in consumers), CATCH_UP_SECONDS_MAX
        )
        before = [each.delivered() for each in consumers]
        sent = inject_duplicates(programme, rabbitmq.url, count=50)
        assert sent > 50
        wanted = [count + sent for count in before]
        await eventually(
            lambda: [each.delivered() for each in consumers] == wanted, CATCH_UP_SECONDS_MAX
        )
        for each in consumers:
            assert agrees(each, expected), each.name
        sold += await sell(next(unsold))
        expected = ledger_points(programme)
        await eventually(
            lambda: all(agrees(each, expected) for each in consumers), CATCH_UP_SECONDS_MAX
        )
    assert sum(points for (_, kind), points in expected.items() if kind == 1) == sold
    assert programme.count("SELECT count(*) FROM inbox_parked") == 0


async def sell_while_the_broker_dies(
    sell: Sell, broker: Broker, killer: Killer, batches: Iterable[pos.BatchRecordSalesRequest]
) -> int:
    """Record sales, whatever becomes of the broker. Returns what was earned of each kind."""
    fate = {STOPS_AT: broker.stop, STARTS_AT: broker.start, DIES_AT: lambda: revive(broker)}
    earned = 0
    meanwhile = asyncio.create_task(asyncio.sleep(0))
    for number, batch in enumerate(batches):
        if (turn := fate.get(number * BATCH)) is not None:
            # Tills go on while it comes to pass, but one thing after the other.
            await meanwhile
            meanwhile = asyncio.create_task(asyncio.to_thread(turn))
        await asyncio.to_thread(killer.perhaps, BATCH / KILLED_EVERY_SALES)
        earned += await sell(batch)
    await meanwhile
    return earned


@asynccontextmanager
async def till(programme: Programme) -> AsyncIterator[Sell]:
    """What records the sales of a batch and gives what was earned of each kind."""
    metadata = programme.bearer("sales.write")

    async def sell(batch: pos.BatchRecordSalesRequest) -> int:
        answer = await stub.BatchRecordSales(batch, metadata=metadata, timeout=60)
        assert all(outcome.HasField("recorded") for outcome in answer.outcomes)
        return sum(each.sale.lines[0].amount_minor // 100 for each in batch.requests)

    async with grpc.aio.insecure_channel(programme.ledger_address, options=OPTIONS) as channel:
        stub = point_of_sale_pb2_grpc.PointOfSaleServiceStub(channel)
        yield sell


def revive(broker: Broker) -> None:
    """Kill it, and start it again on what it had written down."""
    broker.kill()
    broker.start()


async def eventually(condition: Callable[[], bool], timeout_seconds: float) -> None:
    """Come back when something holds that is dear to find out."""
    deadline = time.monotonic() + timeout_seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(LOOK_SECONDS)


def agrees(consumer: Consumer, expected: dict[tuple[int, int], int]) -> bool:
    """Whether a consumer has exactly the points of the ledger, of the kinds it sums."""
    wanted = {key: points for key, points in expected.items() if key[1] in consumer.kinds}
    return consumer.points() == wanted
