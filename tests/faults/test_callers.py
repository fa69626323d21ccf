"""Tills that leave, time out, lose answers and ask twice; each sale is there once all the same."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import grpc
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.ledger.v1 import point_of_sale_pb2_grpc

from tests.faults.network import Line
from tests.faults.programme import Metadata, Programme
from tests.faults.proof import prove_exactly_once, recorded
from tests.faults.tills import NAMESPACE, OPTIONS, Manner, at_work, sales
from tests.service.waiting import until

Request = TypeVar("Request", pos.RecordSaleRequest, pos.RecordReturnRequest)
Answer = TypeVar("Answer")
CALLS_AT_ONCE = 16
CALL_SECONDS_MAX = 60.0


async def test_till_that_leaves_mid_call_and_asks_again_is_counted_once(
    programme: Programme,
) -> None:
    async with at_work(
        sales("leaving", tills=8, each=30, cards=10),
        address=programme.ledger_address,
        metadata=programme.bearer("sales.write"),
        manner=Manner(cancels_within_seconds=0.04),
    ) as tills:
        pass
    assert tills.cancelled
    assert tills.failures == []
    prove_exactly_once(programme.ledger_url, tills.requests, tills.answers)


async def test_answers_later_than_the_till_waits_are_given_again(programme: Programme) -> None:
    slow = Line(programme.ledger_address, answer_delay_seconds=0.5)
    async with (
        slow.opened(),
        at_work(
            sales("slow", tills=8, each=3, cards=6),
            address=slow.address,
            metadata=programme.bearer("sales.write"),
            # 0.1, 0.2 and 0.4 seconds are too short for any answer.
            manner=Manner(deadline_seconds_min=0.1, deadline_seconds_max=20.0),
        ) as tills,
    ):
        pass
    assert {each.code for each in tills.failures} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert len(tills.failures) >= 3 * len(tills.requests)
    prove_exactly_once(programme.ledger_url, tills.requests, tills.answers)


async def test_answers_lost_with_the_connection_are_given_again(programme: Programme) -> None:
    lists = sales("lost", tills=8, each=4, cards=6)
    cards = [request.sale.card_token for own in lists for request in own]
    line = Line(programme.ledger_address, answer_delay_seconds=0.3)
    async with (
        line.opened(),
        at_work(lists, address=line.address, metadata=programme.bearer("sales.write")) as tills,
    ):
        for _ in range(3):
            # Something is recorded that no till knows of yet: its answer is on the line.
            await until(lambda: len(recorded(programme.ledger_url, cards)) > len(tills.answers), 60)
            line.break_off()
    assert {each.code for each in tills.failures} == {grpc.StatusCode.UNAVAILABLE}
    prove_exactly_once(programme.ledger_url, tills.requests, tills.answers)


async def test_everything_sent_twice_at_once_to_two_servers_is_done_once(
    programme: Programme,
) -> None:
    requests = [each for own in sales("twice", tills=6, each=40, cards=12) for each in own]
    token = programme.bearer("sales.write")
    with programme.second_ledger() as second_address:
        async with (
            grpc.aio.insecure_channel(programme.ledger_address, options=OPTIONS) as channel,
            grpc.aio.insecure_channel(second_address, options=OPTIONS) as second_channel,
        ):
            one, other = Caller(channel, token), Caller(second_channel, token)
            first, second, bulk = await asyncio.gather(
                send_all(one.record, requests, seed=1),
                send_all(other.record, requests, seed=2),
                other.record_in_bulk(requests + requests[::-1]),
            )
            assert second == first
            assert bulk == [first[each.request_id] for each in requests + requests[::-1]]
            going_back = [return_of(sold, first[sold.request_id]) for sold in requests[::3]]
            returns, again, late = await asyncio.gather(
                send_all(one.take_back, going_back, seed=3),
                send_all(other.take_back, going_back, seed=4),
                send_all(other.record, requests, seed=5),
            )
            assert again == returns
            assert late == first
    prove_exactly_once(programme.ledger_url, requests, first, returns)


class Caller:
    """Calls one server; every call must be answered at the first attempt."""

    def __init__(self, channel: grpc.aio.Channel, token: Metadata) -> None:
        self._stub = point_of_sale_pb2_grpc.PointOfSaleServiceStub(channel)
        self._token = token

    async def record(self, request: pos.RecordSaleRequest) -> pos.RecordSaleResponse:
        return await self._stub.RecordSale(request, metadata=self._token, timeout=CALL_SECONDS_MAX)

    async def take_back(self, request: pos.RecordReturnRequest) -> pos.RecordReturnResponse:
        return await self._stub.RecordReturn(
            request, metadata=self._token, timeout=CALL_SECONDS_MAX
        )

    async def record_in_bulk(
        self, requests: Sequence[pos.RecordSaleRequest]
    ) -> list[pos.RecordSaleResponse]:
        bulk = pos.BatchRecordSalesRequest(requests=requests)
        answer = await self._stub.BatchRecordSales(
            bulk, metadata=self._token, timeout=CALL_SECONDS_MAX
        )
        return [outcome.recorded for outcome in answer.outcomes]


async def send_all(
    send: Callable[[Request], Awaitable[Answer]], requests: Sequence[Request], *, seed: int
) -> dict[str, Answer]:
    """Send requests in an order of chance, many at a time; gives the answers by request_id."""
    chance = random.Random(seed)  # noqa: S311 — the same chance in every run is what is wanted
    at_once = asyncio.Semaphore(CALLS_AT_ONCE)
    answers = {}

    async def send_one(request: Request) -> None:
        async with at_once:
            answers[request.request_id] = await send(request)

    await asyncio.gather(*map(send_one, chance.sample(requests, len(requests))))
    return answers


def return_of(
    sold: pos.RecordSaleRequest, answer: pos.RecordSaleResponse
) -> pos.RecordReturnRequest:
    """All of a sale comes back."""
    return pos.RecordReturnRequest(
        request_id=str(uuid.uuid5(NAMESPACE, f"return of {sold.request_id}")),
        sale=answer.sale,
        store=sold.sale.store,
        terminal=sold.sale.terminal,
        receipt_number=f"back/{sold.sale.terminal}",
        business_time=sold.sale.business_time,
    )
