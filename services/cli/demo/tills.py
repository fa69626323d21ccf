"""The chain's tills: they send a day's sales and, when unsure, the same ones again."""

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeAlias

import grpc
from loyalty.ledger.v1 import point_of_sale_pb2, point_of_sale_pb2_grpc

from services.cli.demo.enrolment import ENROL_TIME
from services.cli.demo.failure import ReplayError
from services.cli.demo.preparation import PreparedBatch, PreparedDay
from services.cli.demo.redeeming import Shoppers
from services.cli.demo.requests import CURRENCY_CODE, TERMINAL, card_token
from services.plumbing.grpc_client import bearer, channel, error_info

CALLS_IN_FLIGHT = 8
CALL_SECONDS_MAX = 30.0
RETRY_SECONDS_MAX = 120.0
RETRY_PAUSE_SECONDS = 0.5
METHOD = "/loyalty.ledger.v1.PointOfSaleService/BatchRecordSales"
# After these nobody knows whether the sales were recorded; the request ids make asking again safe.
RETRYABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    # What a server that stops says to calls that it had not looked at.
    grpc.StatusCode.CANCELLED,
)

RecordSales: TypeAlias = (
    "grpc.UnaryUnaryMultiCallable[bytes, point_of_sale_pb2.BatchRecordSalesResponse]"
)


class Tills:
    """Sends prepared batches to the ledger; a context manager."""

    def __init__(self, shoppers: Shoppers, *, ledger_address: str, token: str) -> None:
        self._shoppers = shoppers
        self._channel = channel(ledger_address)
        self._metadata = bearer(token)
        self._till = point_of_sale_pb2_grpc.PointOfSaleServiceStub(self._channel)
        # The requests are bytes already, so nothing serializes them.
        self._record_sales: RecordSales = self._channel.unary_unary(
            METHOD,
            request_serializer=None,
            response_deserializer=point_of_sale_pb2.BatchRecordSalesResponse.FromString,
        )
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(CALLS_IN_FLIGHT, thread_name_prefix="till")

    def __enter__(self) -> "Tills":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)
        self._channel.close()

    def require_old_sales_taken(self) -> None:
        """Refuses: ReplayError where the ledger would refuse the year's sales for their age.

        Asked before the first is sent, because a refusal is remembered for its request_id.
        """
        try:
            self._till.QuoteSale(_oldest_sale(), timeout=CALL_SECONDS_MAX, metadata=self._metadata)
        except grpc.RpcError as error:
            info = error_info(error)
            if info is not None and info.reason == "BUSINESS_TIME_TOO_OLD":
                raise ReplayError(
                    "the running platform refuses sales of 2017; stop it and replay again,"
                    " or start it with LEDGER_SALE_AGE_DAYS_MAX=36500"
                ) from error
            raise

    def record_day(self, day: PreparedDay) -> None:
        """Record every sale of a day, several calls at a time. Refuses: ReplayError."""
        for _ in self._pool.map(self._record, day.batches):
            pass

    def _record(self, batch: PreparedBatch) -> None:
        deadline = time.monotonic() + RETRY_SECONDS_MAX
        while not self._is_recorded(batch):
            if time.monotonic() > deadline:
                raise ReplayError("the ledger does not record the sales; is it up?")
            if self._closing.wait(RETRY_PAUSE_SECONDS):
                raise ReplayError("interrupted")

    def _is_recorded(self, batch: PreparedBatch) -> bool:
        try:
            response = self._record_sales(
                batch.request, timeout=CALL_SECONDS_MAX, metadata=self._metadata
            )
        except grpc.RpcError as error:
            if error.code() in RETRYABLE:
                return False
            raise
        refusals = [o.refused for o in response.outcomes if o.HasField("refused")]
        _raise_lasting(refusals)
        if refusals or len(response.outcomes) != batch.sales:
            return False
        for household, outcome in zip(batch.households, response.outcomes, strict=True):
            self._shoppers.note(household, outcome.recorded.balance.available)
        return True


def _oldest_sale() -> point_of_sale_pb2.QuoteSaleRequest:
    sale = point_of_sale_pb2.Sale(
        card_token=card_token(0),
        store="1",
        terminal=TERMINAL,
        receipt_number="1",
        currency_code=CURRENCY_CODE,
        lines=[point_of_sale_pb2.Line(sku="1", amount_minor=100)],
    )
    sale.business_time.FromDatetime(ENROL_TIME)
    return point_of_sale_pb2.QuoteSaleRequest(sale=sale)


def _raise_lasting(refusals: Iterable[point_of_sale_pb2.Refusal]) -> None:
    for refusal in refusals:
        if not refusal.retryable:
            raise ReplayError(f"the ledger refused a sale: {refusal.reason}: {refusal.message}")
