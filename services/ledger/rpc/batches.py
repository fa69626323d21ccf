"""Batches whose items are answered one by one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger.rpc import messages
from services.plumbing.grpc_calls import refusal_of
from services.plumbing.validation import refused_items

log = logging.getLogger("batches")

Request = TypeVar("Request")
Response = TypeVar("Response")


async def answer_each(
    requests: Iterable[Request], answer: Callable[[Request], Awaitable[Response]]
) -> list[Response | pos.Refusal]:
    """Answer requests at once, each on its own; the answers stand in their order.

    What they look up and post goes together where it is gathered, not here.
    """
    invalid = refused_items()

    async def answered(number: int, request: Request) -> Response | pos.Refusal:
        if number in invalid:
            return messages.refusal(invalid[number])
        try:
            return await answer(request)
        except Exception as error:  # noqa: BLE001 — its neighbours are answered all the same
            return refused(error)

    return await asyncio.gather(*(answered(number, each) for number, each in enumerate(requests)))


def refused(error: Exception) -> pos.Refusal:
    """What a caller is told of an item that failed."""
    refusal = refusal_of(error)
    if refusal is not None:
        return messages.refusal(refusal)
    log.error("unexpected error", exc_info=error)
    return messages.INTERNAL
