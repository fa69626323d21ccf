"""What the ledger counts for whoever watches it."""

import asyncio
import urllib.request
from collections.abc import Iterator

import pytest
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from prometheus_client import start_http_server

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import Shop, common_database, new_card, new_id, sale
from tests.service.tokens import Tokens


@pytest.fixture
def metrics() -> Iterator[str]:
    """The address of this process's metrics."""
    server, thread = start_http_server(0, addr="127.0.0.1")
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()
    thread.join()


async def sales_counted(metrics: str) -> float:
    def read() -> str:
        with urllib.request.urlopen(metrics, timeout=10) as page:  # noqa: S310 -- our own
            return str(page.read().decode())

    page = await asyncio.to_thread(read)
    (line,) = (line for line in page.splitlines() if line.startswith("ledger_sales_total "))
    return float(line.split()[1])


@pytest.mark.parametrize("committer_processes", [False, True])
async def test_a_sale_counts_once_however_often_it_is_sent(
    databases: Databases, serve: Serve, tokens: Tokens, metrics: str, committer_processes: bool
) -> None:
    url = common_database(databases)
    running = await serve("ledger", url, committer_processes=committer_processes)
    shop = Shop(running, tokens, url)
    before = await sales_counted(metrics)
    sold, request_id = sale(new_card()), new_id()
    for _ in range(2):
        await shop.record(sold, request_id)
    assert await sales_counted(metrics) == before + 1

    first, other = (
        pos.RecordSaleRequest(request_id=new_id(), sale=sale(new_card())) for _ in range(2)
    )
    known = pos.RecordSaleRequest(request_id=request_id, sale=sold)
    outcomes = await shop.record_all(first, known, first, other)
    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["recorded"] * 4
    assert outcomes[0] == outcomes[2]
    assert await sales_counted(metrics) == before + 3
