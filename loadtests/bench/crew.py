"""The load generators, and what a round with them came to."""

import multiprocessing
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from loadtests.bench.generator import (
    Call,
    Desk,
    FirstSales,
    Order,
    Prepare,
    Ran,
    Run,
    Target,
    work,
)
from loadtests.bench.subject import GENERATORS, Subject
from loadtests.bench.usage import Meter, Usage, between

PROCESSES = 2
# Several connections each, as many tills have.
CHANNELS_PER_PROCESS = 4
# Left out of the measure: queues fill up first.
WARM_SECONDS = 0.5
# From the order to the start, so that all processes start at once.
START_SECONDS = 0.05
ANSWER_SECONDS_MAX = 300.0
FOREVER_SECONDS = 3_600.0


class GeneratorFailed(Exception):  # noqa: N818 — says what happened
    """A load generator ended or did not answer; its own message is on the terminal."""


@dataclass(frozen=True, slots=True)
class Round:
    """One measured round of all generators together."""

    calls_per_second: float
    p50_seconds: float
    p99_seconds: float
    usage: Usage


@dataclass(slots=True)
class Crew:
    """The generators of one run. sales_acknowledged counts all their sales so far."""

    orders: list[Connection]
    meter: Meter
    sales_acknowledged: int = 0

    def prepare(self, call: Call, ready: int, *, users: int = PROCESSES) -> None:
        """Have at least so many requests made."""
        self._ask([Prepare(call, -(-ready // users))] * users)

    def measure(
        self,
        call: Call,
        *,
        in_flight: int,
        seconds: float,
        ready: int,
        per_second: float | None = None,
    ) -> Round:
        """A round of so many calls at a time, with at least `ready` requests made beforehand.

        With a rate, no more than so many a second.
        """
        users = min(in_flight, len(self.orders))
        self.prepare(call, ready, users=users)
        each = None if per_second is None else per_second / users
        start = time.monotonic() + START_SECONDS
        measure_from = start + WARM_SECONDS
        until = measure_from + seconds
        for orders in self.orders[:users]:
            orders.send(Run(call, in_flight // users, measure_from, until, each))
        _sleep_until(measure_from)
        before = self.meter.sample()
        _sleep_until(until)
        after = self.meter.sample()
        runs = self._runs(users)
        latencies = sorted(latency for run in runs for latency in run.latency_seconds)
        if not latencies:
            raise GeneratorFailed("too little was ready to send")
        return Round(
            calls_per_second=sum(run.calls_per_second for run in runs),
            p50_seconds=statistics.median(latencies),
            p99_seconds=latencies[int(len(latencies) * 0.99)],
            usage=between(before, after),
        )

    def record_first_sales(self, wallets: int, *, in_flight: int) -> None:
        """One sale for every wallet from 1 on."""
        share = -(-wallets // len(self.orders))
        self._ask(
            [
                FirstSales(1 + number * share, 1 + min((number + 1) * share, wallets))
                for number in range(len(self.orders))
            ]
        )
        self._send_all_ready(in_flight)

    def record_batches(self, batches: int, *, in_flight: int) -> None:
        """So many batches at once, unmeasured."""
        self._ask([Prepare(Call.BATCH, -(-batches // len(self.orders)))] * len(self.orders))
        self._send_all_ready(in_flight)

    def _send_all_ready(self, in_flight: int) -> None:
        now = time.monotonic()
        order = Run(Call.BATCH, -(-in_flight // len(self.orders)), now, now + FOREVER_SECONDS)
        for orders in self.orders:
            orders.send(order)
        self._runs(len(self.orders))

    def _runs(self, users: int) -> list[Ran]:
        runs: list[Ran] = [_answer(orders) for orders in self.orders[:users]]
        self.sales_acknowledged += sum(run.sales for run in runs)
        return runs

    def _ask(self, orders: "list[Prepare] | list[FirstSales]") -> None:
        for connection, order in zip(self.orders, orders, strict=False):
            connection.send(order)
        for connection, _ in zip(self.orders, orders, strict=False):
            _answer(connection)


@contextmanager
def crew_for(subject: Subject, desk: Desk | None = None) -> Iterator[Crew]:
    """Generators while the block runs."""
    # Spawned: a process that has used gRPC must not fork.
    context = multiprocessing.get_context("spawn")
    started = []
    for number in range(PROCESSES):
        ours, theirs = context.Pipe()
        target = Target(
            subject.address, subject.token, number, CHANNELS_PER_PROCESS, subject.wallets, desk
        )
        process = context.Process(target=work, args=(target, theirs), daemon=True)
        process.start()
        theirs.close()
        started.append((process, ours))
    pids = [process.pid for process, _ in started if process.pid is not None]
    try:
        yield Crew([ours for _, ours in started], Meter({**subject.process_ids, GENERATORS: pids}))
    finally:
        for process, ours in started:
            _dismiss(process, ours)


def _sleep_until(monotonic_seconds: float) -> None:
    # A busy machine may wake this process when the moment has gone by.
    time.sleep(max(0.0, monotonic_seconds - time.monotonic()))


def _dismiss(process: Any, orders: Connection) -> None:
    order: Order = None
    try:
        orders.send(order)
        process.join(5)
    except OSError:
        pass
    process.kill()
    process.join()


def _answer(orders: Connection) -> Any:
    try:
        if orders.poll(ANSWER_SECONDS_MAX):
            return orders.recv()
    except (EOFError, ConnectionError):
        pass
    raise GeneratorFailed("a load generator did not answer")
