"""How long to measure, and how much is under way at a time."""

from dataclasses import dataclass

from loadtests.bench.generator import Call

UNARY_IN_FLIGHT = 64
BULK_IN_FLIGHT = 8
REDEEM_IN_FLIGHT = 32
# Calls per second that a first round is prepared for.
FIRST_GUESS = {Call.ECHO: 12_000.0, Call.SALE: 6_000.0, Call.BATCH: 80.0, Call.REDEEM: 900.0}


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure. Seconds are of one round."""

    rounds: int
    seconds: float
    idle_seconds: float
    history_sales: int
    wallets: int = 100_000
    lag_seconds: float = 30.0
    backlog_entries: int = 1_000_000
    members: int = 1_000_000
    # Of 32; the members of the others are left out.
    member_slices: int = 32
    night_wallets: int = 1_000_000


FULL = Plan(rounds=5, seconds=3.0, idle_seconds=1.5, history_sales=2_000_000)
QUICK = Plan(
    rounds=3,
    seconds=2.0,
    idle_seconds=1.0,
    history_sales=200_000,
    lag_seconds=10.0,
    backlog_entries=150_000,
    member_slices=2,
    night_wallets=50_000,
)
