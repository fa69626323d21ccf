"""A queue that is full says so and forgets nothing that it took."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from prometheus_client import REGISTRY
from pydantic import Field

from services.ledger import main
from services.ledger.settings import LedgerSettings
from services.plumbing.database import engine, transaction
from services.plumbing.grpc_client import aio_channel
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import (
    Shop,
    added,
    common_database,
    eventually,
    new_card,
    new_id,
    sale,
    schema_of,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.servers import PATIENCE_SECONDS, Running
from tests.service.tokens import Tokens

QUEUE_MAX = 3


class SmallQueue(LedgerSettings):
    """As a ledger's, with a queue that a test can fill."""

    queue_max: int = Field(default=QUEUE_MAX, ge=1)


@pytest.fixture
async def shop(databases: Databases, tokens: Tokens) -> AsyncIterator[Shop]:
    url = common_database(databases)
    settings = SmallQueue(
        database_url=url,
        grpc_address="127.0.0.1:0",
        metrics_port=0,
        committer_processes=False,
    )
    server = await main.start(settings, tokens.settings)
    address = f"127.0.0.1:{server.port}"
    without_retries = ("grpc.enable_retries", 0)
    channel = aio_channel(address, without_retries, seconds_max=PATIENCE_SECONDS)
    running = Running(server, address, channel)
    yield Shop(running, tokens, url)
    await running.stop()


@asynccontextmanager
async def held(shop: Shop, wallet: str) -> AsyncIterator[None]:
    """Another transaction holds a wallet while the block runs, so its shard's committer waits."""
    holding = engine(shop.database_url, pool_size=1)
    with transaction(holding) as connection:
        connection.exec_driver_sql(
            f"SELECT FROM {schema_of(wallet)}.wallets"
            f" WHERE wallet_id = {int(wallet.split('/')[1])} FOR UPDATE"
        )
        yield
    holding.dispose()


async def test_a_full_queue_refuses_with_advice_and_what_it_took_is_recorded(shop: Shop) -> None:
    card = new_card()
    wallet = wallet_of((await shop.record(sale(card))).sale)
    later = sale(card)
    async with held(shop, wallet):
        first = asyncio.ensure_future(shop.record(sale(card)))
        await eventually(shop.waiting_for_locks, what="a committer waiting for the wallet")
        waiting = [asyncio.ensure_future(shop.record(sale(card))) for _ in range(QUEUE_MAX)]
        await eventually(lambda: is_full(wallet), what="a full queue")
        before = shop.contents()
        found = await refused(shop.record(later))
        assert (found.code, found.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "QUEUE_FULL",
        )
        assert retry_seconds(await error_of(shop, later)) == 1
        [outcome] = await shop.record_all(pos.RecordSaleRequest(request_id=new_id(), sale=later))
        assert (outcome.refused.reason, outcome.refused.retryable) == ("QUEUE_FULL", True)
        assert added(before, shop.contents()) == {}
    answers = await asyncio.gather(first, *waiting)
    assert [answer.balance.available for answer in answers] == [20, 30, 40, 50]
    assert (await shop.record(later)).balance.available == 60


async def is_full(wallet: str) -> bool:
    """Whether as many wait for a wallet's shard as may."""
    shard = {"shard": str(int(schema_of(wallet)[-2:]))}
    return REGISTRY.get_sample_value("ledger_queue_depth", shard) == QUEUE_MAX


async def error_of(shop: Shop, sold: pos.Sale) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shop.record(sold)
    return caught.value


def retry_seconds(error: grpc.aio.AioRpcError) -> int:
    """The delay a RetryInfo advises."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for packed in status_pb2.Status.FromString(value).details:
                retry = error_details_pb2.RetryInfo()
                if packed.Unpack(retry):
                    return int(retry.retry_delay.ToSeconds())
    raise AssertionError("no RetryInfo")


async def test_a_refusal_for_want_of_room_is_not_remembered(shop: Shop) -> None:
    card, request_id = new_card(), new_id()
    wallet = wallet_of((await shop.record(sale(card))).sale)
    sold = sale(card)
    async with held(shop, wallet):
        first = asyncio.ensure_future(shop.record(sale(card)))
        await eventually(shop.waiting_for_locks, what="a committer waiting for the wallet")
        requests = [
            pos.RecordSaleRequest(request_id=new_id(), sale=sale(card))
            for _ in range(QUEUE_MAX + 1)
        ]
        outcomes = await shop.record_all(*requests)
        assert {each.refused.reason for each in outcomes} == {"QUEUE_FULL"}
    await first
    assert (await shop.record(sold, request_id)).balance.available == 30
    for number, request in enumerate(requests, 4):
        answer = await shop.record(request.sale, request.request_id)
        assert answer.balance.available == number * 10


async def test_a_full_shard_does_not_keep_the_other_from_recording(shop: Shop) -> None:
    cards = [new_card() for _ in range(12)]
    wallets = {card: wallet_of((await shop.record(sale(card))).sale) for card in cards}
    by_shard: dict[str, list[str]] = {}
    for card, wallet in wallets.items():
        by_shard.setdefault(schema_of(wallet), []).append(card)
    full, free = (by_shard[schema] for schema in ("ledger_00", "ledger_01"))
    async with held(shop, wallets[full[0]]):
        first = asyncio.ensure_future(shop.record(sale(full[0])))
        await eventually(shop.waiting_for_locks, what="a committer waiting for the wallet")
        requests = [
            pos.RecordSaleRequest(request_id=new_id(), sale=sale(card))
            for card in (*full[:1] * (QUEUE_MAX + 1), *free[:1] * QUEUE_MAX)
        ]
        outcomes = await shop.record_all(*requests)
    refusals = [each.refused.reason for each in outcomes[: QUEUE_MAX + 1]]
    assert refusals == ["QUEUE_FULL"] * (QUEUE_MAX + 1)
    assert [each.recorded.balance.available for each in outcomes[QUEUE_MAX + 1 :]] == [20, 30, 40]
    assert (await first).balance.available == 20


async def test_a_server_that_ends_records_what_it_took(
    shop: Shop, serve: Serve, tokens: Tokens
) -> None:
    card = new_card()
    wallet = wallet_of((await shop.record(sale(card))).sale)
    ending = await serve("ledger", shop.database_url)
    caller = Shop(ending, tokens, shop.database_url)
    async with held(shop, wallet):
        waiting = asyncio.ensure_future(caller.record(sale(card)))
        await eventually(shop.waiting_for_locks, what="a committer waiting for the wallet")
        stopping = asyncio.create_task(ending.server.stop(drain_seconds=10))
        await asyncio.sleep(0)
    assert (await waiting).balance.available == 20
    await stopping
    with pytest.raises(grpc.aio.AioRpcError):
        await caller.tills.QuoteSale(
            pos.QuoteSaleRequest(sale=sale(card)), metadata=shop.everything, timeout=0.2
        )
    assert (await shop.record(sale(card))).balance.available == 30
