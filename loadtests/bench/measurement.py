"""The course of a measurement: rounds in turn, then those of a grown ledger and an empty one."""

from collections.abc import Callable, Mapping, Sequence

from loadtests.bench.crew import Crew, Round
from loadtests.bench.found import Found, Turn
from loadtests.bench.generator import Call
from loadtests.bench.keys import Contestant
from loadtests.bench.naive import NaiveLedger
from loadtests.bench.plan import BULK_IN_FLIGHT, FIRST_GUESS, UNARY_IN_FLIGHT, Plan
from loadtests.bench.subject import Subject
from loadtests.bench.usage import between
from loadtests.bench.workload import SALES_PER_CALL

HISTORY_CALLS_AT_ONCE = 400
# How much more is made beforehand than the fastest round so far would have used.
SPARE = 1.5

Say = Callable[[str], None]


class Miscounted(Exception):  # noqa: N818 — says what it is
    """The database does not have exactly the sales that were acknowledged."""


class Measurement:
    """Measures one subject by a plan."""

    def __init__(self, subject: Subject, crew: Crew, plan: Plan, say: Say) -> None:
        self._subject = subject
        self._crew = crew
        self._plan = plan
        self._say = say
        self._naive: NaiveLedger | None = None
        self._fastest: dict[Call, float] = dict(FIRST_GUESS)
        self._take_turn: Mapping[Contestant, Callable[[], Turn]] = {
            Contestant.ECHO: lambda: self._busy(Call.ECHO, UNARY_IN_FLIGHT),
            Contestant.SALE: lambda: self._busy(Call.SALE, UNARY_IN_FLIGHT),
            Contestant.BULK: self.bulk,
            Contestant.NAIVE: self._transfers,
            Contestant.IDLE_ECHO: lambda: self._idle(Call.ECHO),
            Contestant.IDLE_SALE: lambda: self._idle(Call.SALE),
        }

    def run(self, contestants: Sequence[Contestant]) -> Found:
        """Measure. Refuses: Miscounted."""
        found = Found()
        self.sell_to_everybody()
        self._take_turns(contestants, found)
        found.sales_recorded = self.counted()
        return found

    @property
    def sales(self) -> int:
        """How many were acknowledged so far."""
        return self._crew.sales_acknowledged

    def sell_to_everybody(self) -> None:
        """One sale for every wallet, unmeasured."""
        self._say(f"a sale for each of {self._plan.wallets:,} wallets")
        self._crew.record_first_sales(self._plan.wallets, in_flight=BULK_IN_FLIGHT)

    def settle(self) -> None:
        """Let rounds start alike.

        After a checkpoint the log takes the whole of every page first touched, which would make
        the first round dearer than the rest; an unmeasured one takes that upon itself.
        """
        self._subject.settle()
        self.bulk()

    def grow(self) -> None:
        """Record history through the same call, until there is as much as planned."""
        while (missing := self._plan.history_sales - self._crew.sales_acknowledged) > 0:
            calls = min(-(-missing // SALES_PER_CALL), HISTORY_CALLS_AT_ONCE)
            self._crew.record_batches(calls, in_flight=BULK_IN_FLIGHT)
            self._say(f"history: {self._crew.sales_acknowledged:,} sales")

    def counted(self) -> int:
        """How many sales are recorded. Refuses: Miscounted."""
        recorded, acknowledged = self._subject.sales(), self._crew.sales_acknowledged
        if recorded != acknowledged:
            raise Miscounted(f"{recorded:,} sales are recorded, {acknowledged:,} acknowledged")
        return recorded

    def bulk(self) -> Turn:
        """A round of large batches."""
        done = self._round(Call.BATCH, BULK_IN_FLIGHT, self._plan.seconds)
        self._fastest[Call.BATCH] = max(self._fastest[Call.BATCH], done.calls_per_second)
        sales_per_second = done.calls_per_second * SALES_PER_CALL
        return _turn(done, value=sales_per_second, units_per_second=sales_per_second)

    def _take_turns(self, contestants: Sequence[Contestant], found: Found) -> None:
        if Contestant.NAIVE in contestants:
            self._naive = NaiveLedger.beside(self._subject.database_url, wallets=self._plan.wallets)
        if contestants:
            self.settle()
        for number in range(1, self._plan.rounds + 1):
            for contestant in contestants:
                turn = self._take_turn[contestant]()
                found.turns.setdefault(contestant, []).append(turn)
                self._say(f"round {number} {contestant}: {turn.sentence()}")

    def _busy(self, call: Call, in_flight: int) -> Turn:
        done = self._round(call, in_flight, self._plan.seconds)
        self._fastest[call] = max(self._fastest[call], done.calls_per_second)
        return _turn(done, value=done.calls_per_second)

    def _idle(self, call: Call) -> Turn:
        done = self._round(call, 1, self._plan.idle_seconds)
        return _turn(done, value=done.p50_seconds)

    def _round(self, call: Call, in_flight: int, seconds: float) -> Round:
        ready = int(self._fastest[call] * (seconds + 1) * SPARE) + in_flight
        return self._crew.measure(call, in_flight=in_flight, seconds=seconds, ready=ready)

    def _transfers(self) -> Turn:
        if self._naive is None:
            raise RuntimeError("the naive ledger is made before the rounds")
        before = self._crew.meter.sample()
        rate = self._naive.transfers_per_second(max(1, round(self._plan.seconds)))
        return Turn(rate, rate, between(before, self._crew.meter.sample()))


def compare_growth(
    empty: Measurement, grown: Measurement, rounds: int, found: Found, say: Say
) -> None:
    """Bulk rounds in turn, over an empty ledger and one grown by the planned history.

    Refuses: Miscounted.
    """
    grown.grow()
    empty.sell_to_everybody()
    found.sales_when_empty, found.sales_when_grown = empty.sales, grown.sales
    for measured in (empty, grown):
        measured.settle()
        # Of all pages that sales touch the log has the whole now, which is dear once a checkpoint,
        # for a grown ledger several rounds long.
        measured.sell_to_everybody()
    for _ in range(rounds):
        for measured, turns in ((empty, found.empty), (grown, found.grown)):
            sales, turn = measured.sales, measured.bulk()
            turns.append(turn)
            say(f"bulk after {sales:,} sales: {turn.sentence()}")
    found.sales_recorded = grown.counted()


def _turn(done: Round, *, value: float, units_per_second: float | None = None) -> Turn:
    return Turn(
        value=value,
        units_per_second=units_per_second or done.calls_per_second,
        usage=done.usage,
        p50_seconds=done.p50_seconds,
        p99_seconds=done.p99_seconds,
    )
