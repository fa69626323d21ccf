"""What was measured, before anything is concluded from it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.bench.carrying import CatchUp, Lag
from loadtests.bench.keys import Contestant
from loadtests.bench.nightly import Night
from loadtests.bench.previewing import Beside, Previewed
from loadtests.bench.redeeming import Redeemed
from loadtests.bench.usage import Usage

MICROS_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Turn:
    """What one contestant came to in one round.

    value is its rate, or its median latency in seconds where it idles; a unit is a call, a sale of
    a bulk call, or a transfer.
    """

    value: float
    units_per_second: float
    usage: Usage
    p50_seconds: float | None = None
    p99_seconds: float | None = None

    def cost_micros(self, name: str) -> float:
        """Processor time of a process per unit."""
        units = self.units_per_second * self.usage.wall_seconds
        return self.usage.seconds[name] * MICROS_PER_SECOND / units if units else 0.0

    def sentence(self) -> str:
        """One line for who watches."""
        latency = (
            f", p50 {self.p50_seconds * 1000:.2f} ms, p99 {self.p99_seconds * 1000:.2f} ms"
            if self.p50_seconds is not None and self.p99_seconds is not None
            else ""
        )
        costs = ", ".join(
            f"{name} {self.cost_micros(name):.0f} µs ({self.usage.core_share(name):.0%})"
            for name in self.usage.seconds
        )
        others = f"others ({self.usage.others_core_share:.0%})"
        stolen = f"stolen ({self.usage.stolen_core_share:.0%})"
        return f"{self.units_per_second:,.0f}/s{latency}; each: {costs}, {others}, {stolen}"


@dataclass(slots=True)
class Found:
    """Everything measured: turns by contestant, and bulk turns on an empty and a grown ledger."""

    turns: dict[Contestant, list[Turn]] = field(default_factory=dict)
    empty: list[Turn] = field(default_factory=list)
    grown: list[Turn] = field(default_factory=list)
    sales_when_empty: int = 0
    sales_when_grown: int = 0
    sales_recorded: int = 0
    replay: dict[str, object] | None = None
    lag: Lag | None = None
    catch_up: CatchUp | None = None
    preview: Previewed | None = None
    beside: Beside | None = None
    redeemed: Redeemed | None = None
    night: Night | None = None

    def medians(self) -> dict[Contestant, float]:
        return {contestant: median(turns) for contestant, turns in self.turns.items()}

    @property
    def growth_ratio(self) -> float | None:
        """The grown ledger's rate over the empty one's."""
        return median(self.grown) / median(self.empty) if self.grown and self.empty else None


def median(turns: Sequence[Turn]) -> float:
    return statistics.median(turn.value for turn in turns)
