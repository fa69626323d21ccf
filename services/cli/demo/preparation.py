"""The days' requests, encoded ahead by a process of their own while the ledger records others."""

import multiprocessing
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from multiprocessing.connection import Connection

from services.cli.demo.dataset import Basket, Year
from services.cli.demo.failure import ReplayError
from services.cli.demo.requests import SaleEncoder

BATCH_SALES_MAX = 100
# About 150 MB of requests: the year is encoded while households enrol, not while tills sell.
PREPARED_DAYS_MAX = 400
WAIT_SECONDS_MAX = 60.0
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A serialized BatchRecordSalesRequest."""

    request: bytes
    # Of each sale, in its order.
    households: tuple[int, ...]

    @property
    def sales(self) -> int:
        return len(self.households)


@dataclass(frozen=True, slots=True)
class PreparedDay:
    """What the tills send on one day. A household's sales are in one batch, in business time."""

    day: date
    batches: tuple[PreparedBatch, ...]

    @property
    def sales(self) -> int:
        return sum(batch.sales for batch in self.batches)


def prepare(year: Year, encoder: SaleEncoder, first_day: date) -> Iterator[PreparedDay]:
    """Every calendar day from first_day to the year's last, also those without a basket.

    The encoder is made from the year's line contents.
    """
    expected = first_day
    for day, baskets in groupby(year.baskets(first_day), key=lambda basket: basket.day):
        while expected < day:
            yield PreparedDay(expected, ())
            expected += DAY
        yield PreparedDay(day, _batches(list(baskets), encoder))
        expected = day + DAY


def _batches(baskets: list[Basket], encoder: SaleEncoder) -> tuple[PreparedBatch, ...]:
    # Calls of a day run side by side, so one household must not be spread over several.
    count = -(-len(baskets) // BATCH_SALES_MAX)
    batches: list[list[Basket]] = [[] for _ in range(count)]
    for basket in baskets:
        batches[basket.household % count].append(basket)
    return tuple(
        PreparedBatch(
            b"".join([encoder.encode(basket) for basket in batch]),
            tuple(basket.household for basket in batch),
        )
        for batch in batches
        if batch
    )


@contextmanager
def prepared_days(first_day: date) -> Iterator[Iterator[PreparedDay]]:
    """The days from first_day on, prepared in the background from the start of the block."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_prepare_into, args=(sending, first_day), daemon=True)
    process.start()
    # Only the child may hold this end, so that its death is seen as the end of the stream.
    sending.close()
    days: queue.Queue[PreparedDay | None] = queue.Queue(PREPARED_DAYS_MAX)
    ended = threading.Event()
    reader = threading.Thread(target=_read, args=(receiving, days, ended), daemon=True)
    reader.start()
    try:
        yield _until_end(days, process)
    finally:
        ended.set()
        process.terminate()
        process.join()
        reader.join()
        receiving.close()


def _prepare_into(sending: Connection, first_day: date) -> None:
    # Ctrl-C reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        year = Year()
        for day in prepare(year, SaleEncoder(year.line_contents()), first_day):
            sending.send(day)
        sending.send(None)
    except BrokenPipeError:
        # The replay is gone; there is nobody to prepare for.
        return


def _read(
    receiving: Connection, days: "queue.Queue[PreparedDay | None]", ended: threading.Event
) -> None:
    try:
        while not ended.is_set():
            _put(days, receiving.recv(), ended)
    except (EOFError, OSError):
        # The child ended, between two messages or within one.
        return


def _put(
    days: "queue.Queue[PreparedDay | None]", day: PreparedDay | None, ended: threading.Event
) -> None:
    while not ended.is_set():
        try:
            days.put(day, timeout=0.2)
        except queue.Full:
            continue
        return


def _until_end(
    days: "queue.Queue[PreparedDay | None]", process: multiprocessing.process.BaseProcess
) -> Iterator[PreparedDay]:
    while True:
        day = _next(days, process)
        if day is None:
            return
        yield day


def _next(
    days: "queue.Queue[PreparedDay | None]", process: multiprocessing.process.BaseProcess
) -> PreparedDay | None:
    waited_seconds = 0.0
    while waited_seconds < WAIT_SECONDS_MAX:
        # Asked before the wait: whatever a process that has ended sent is read by then.
        alive = process.is_alive()
        try:
            return days.get(timeout=0.5)
        except queue.Empty:
            if not alive:
                raise ReplayError(
                    f"preparing the requests ended with exit code {process.exitcode}"
                ) from None
        waited_seconds += 0.5
    raise ReplayError(f"no day was prepared within {WAIT_SECONDS_MAX:.0f} seconds")
