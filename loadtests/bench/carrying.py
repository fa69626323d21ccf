"""How far tiering is behind the tills, and how fast it catches up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.bench.bus import Applied, Bus
from loadtests.bench.crew import Crew
from loadtests.bench.generator import Call
from loadtests.bench.plan import BULK_IN_FLIGHT, Plan
from loadtests.bench.usage import Usage, between
from loadtests.bench.workload import SALES_PER_CALL, SALES_PER_STORE_CALL

SALES_PER_SECOND = 2_000
STORE_CALLS_PER_SECOND = SALES_PER_SECOND / SALES_PER_STORE_CALL
# No call waits for another's answer before the ledger is two seconds behind.
STORE_CALLS_IN_FLIGHT = 100
# Fewer than this share of what was wanted is told.
OFFERED_SHARE_MIN = 0.98
CALLS_AT_ONCE = 40

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Lag:
    """From a sale's COMMIT to tiering's, a number a sale, at a rate that the tills offered."""

    sales_per_second_wanted: int
    sales_per_second: float
    sales: int
    events: int
    p50_seconds: float
    p99_seconds: float
    most_seconds: float
    core_share: dict[str, float]

    @property
    def is_short(self) -> bool:
        """Whether the machine offered fewer sales than were wanted."""
        return self.sales_per_second < OFFERED_SHARE_MIN * self.sales_per_second_wanted


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A backlog applied. seconds are from the first event's COMMIT in tiering to the last's."""

    entries: int
    documents: int
    events: int
    seconds: float
    core_share: dict[str, float]

    @property
    def entries_per_second(self) -> float:
        return self.entries / self.seconds


def measure_lag(bus: Bus, crew: Crew, plan: Plan, say: Say) -> Lag:
    """Stores send their sales at an even rate, and the events are followed. Refuses: NotApplied.

    Whatever the answers: what is late is sent at once.
    """
    _settle(bus, crew)
    before, start = bus.positions(), bus.meter.sample()
    crew.measure(
        Call.STORE,
        in_flight=STORE_CALLS_IN_FLIGHT,
        seconds=plan.lag_seconds,
        ready=int(STORE_CALLS_PER_SECOND * (plan.lag_seconds + 1)),
        per_second=STORE_CALLS_PER_SECOND,
    )
    usage = between(start, bus.meter.sample())
    bus.wait_until_applied()
    found = lag_of(bus.applied_after(before), usage)
    say(
        f"lag at {found.sales_per_second:,.0f} sales/s: p50 {found.p50_seconds:.3f} s,"
        f" p99 {found.p99_seconds:.3f} s, most {found.most_seconds:.3f} s; {_shown(usage)}"
    )
    return found


def lag_of(events: Sequence[Applied], usage: Usage) -> Lag:
    """events are in the order of their commits."""
    documents = np.array([event.documents for event in events])
    each = np.repeat([event.applied - event.committed for event in events], documents)
    span_seconds = events[-1].committed - events[0].committed
    p50, p99 = np.percentile(each, (50, 99), method="inverted_cdf")
    return Lag(
        sales_per_second_wanted=SALES_PER_SECOND,
        # The first event only marks the beginning.
        sales_per_second=float(documents[1:].sum() / span_seconds),
        sales=int(documents.sum()),
        events=len(events),
        p50_seconds=float(p50),
        p99_seconds=float(p99),
        most_seconds=float(each.max()),
        core_share=_core_shares(usage),
    )


def measure_catch_up(bus: Bus, crew: Crew, plan: Plan, say: Say) -> CatchUp:
    """Sales are recorded while nobody relays or reacts, then followed. Refuses: NotApplied."""
    _settle(bus, crew)
    before, entries_before = bus.positions(), bus.entries()
    with bus.held():
        while (recorded := bus.entries() - entries_before) < plan.backlog_entries:
            crew.record_batches(
                _calls_for(plan.backlog_entries - recorded), in_flight=BULK_IN_FLIGHT
            )
            say(f"backlog: {bus.entries() - entries_before:,} entries")
    start = bus.meter.sample()
    bus.wait_until_applied()
    usage = between(start, bus.meter.sample())
    found = catch_up_of(bus.applied_after(before), usage)
    say(
        f"caught up on {found.entries:,} entries in {found.seconds:.1f} s:"
        f" {found.entries_per_second:,.0f}/s; {_shown(usage)}"
    )
    return found


def catch_up_of(events: Sequence[Applied], usage: Usage) -> CatchUp:
    times = [event.applied for event in events]
    first = min(events, key=lambda event: event.applied)
    # The first event only marks the beginning.
    return CatchUp(
        entries=sum(event.entries for event in events) - first.entries,
        documents=sum(event.documents for event in events) - first.documents,
        events=len(events) - 1,
        seconds=max(times) - min(times),
        core_share=_core_shares(usage),
    )


def _calls_for(entries: int) -> int:
    """Bulk calls that bring no more entries than so many; a sale has two at least."""
    return max(1, min(entries // (2 * SALES_PER_CALL) // 2, CALLS_AT_ONCE))


def _settle(bus: Bus, crew: Crew) -> None:
    """Every wallet has its first sale, and nothing is under way."""
    if not crew.sales_acknowledged:
        crew.record_first_sales(bus.subject.wallets, in_flight=BULK_IN_FLIGHT)
    bus.wait_until_applied()
    bus.subject.settle()


def _core_shares(usage: Usage) -> dict[str, float]:
    return {name: round(share, 3) for name, share in usage.core_shares().items()}


def _shown(usage: Usage) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in _core_shares(usage).items())
