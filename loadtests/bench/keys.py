"""What is measured under which name, and what it should reach. Speed is never asserted."""

from dataclasses import dataclass
from enum import StrEnum


class Contestant(StrEnum):
    """What takes its turn in every interleaved round."""

    ECHO = "echo"
    SALE = "sale"
    BULK = "bulk"
    NAIVE = "naive"
    IDLE_ECHO = "idle_echo"
    IDLE_SALE = "idle_sale"


class Stage(StrEnum):
    """What cannot take turns: it changes what is measured, or runs a platform of its own."""

    GROWTH = "growth"
    REPLAY = "replay"
    LAG = "lag"
    CATCH_UP = "catch_up"
    PREVIEW = "preview"
    BESIDE_PREVIEW = "beside_preview"
    REDEEM = "redeem"
    NIGHT = "night"


@dataclass(frozen=True, slots=True)
class Key:
    """A number of the report. target is the least it should be, or the most where at_most."""

    name: str
    what: str
    needs: frozenset[Contestant | Stage]
    target: float | None = None
    at_most: bool = False
    digits: int = 0

    def is_met(self, value: float) -> bool | None:
        """None where there is no target."""
        if self.target is None:
            return None
        return value <= self.target if self.at_most else value >= self.target


KEYS = (
    Key(
        "echo_unary_per_s",
        "an empty call on the same server and client, 64 in flight",
        frozenset({Contestant.ECHO}),
    ),
    Key("sale_unary_per_s", "RecordSale, one line, 64 in flight", frozenset({Contestant.SALE})),
    Key(
        "unary_ratio",
        "sale_unary_per_s over echo_unary_per_s",
        frozenset({Contestant.ECHO, Contestant.SALE}),
        target=0.60,
        digits=2,
    ),
    Key(
        "bulk_sales_per_s",
        "BatchRecordSales, 500 sales of 3 lines, over 100,000 wallets",
        frozenset({Contestant.BULK}),
        target=20_000,
    ),
    Key(
        "naive_hot_per_s",
        "an SQL function that locks both rows, one issuer, 16 clients",
        frozenset({Contestant.NAIVE}),
    ),
    Key(
        "bulk_over_naive",
        "bulk_sales_per_s over naive_hot_per_s",
        frozenset({Contestant.BULK, Contestant.NAIVE}),
        target=9,
        digits=1,
    ),
    Key(
        "idle_p50_ratio",
        "median latency of one RecordSale at a time over an echo's",
        frozenset({Contestant.IDLE_ECHO, Contestant.IDLE_SALE}),
        target=3.0,
        at_most=True,
        digits=2,
    ),
    Key(
        "growth_ratio",
        "bulk rate with a long history of sales over an empty ledger's",
        frozenset({Stage.GROWTH}),
        target=0.90,
        digits=2,
    ),
    Key(
        "replay_seconds",
        "a real year of 155,848 baskets with all lines, through the tills",
        frozenset({Stage.REPLAY}),
        target=60,
        at_most=True,
        digits=1,
    ),
    Key(
        "events_lag_p99_s",
        "a sale's COMMIT to tiering's; BatchRecordSales of 40, 2,000 sales/s",
        frozenset({Stage.LAG}),
        target=2.0,
        at_most=True,
        digits=2,
    ),
    Key(
        "event_entries_per_s",
        "tiering catching up on RabbitMQ, first event applied to last",
        frozenset({Stage.CATCH_UP}),
        target=20_000,
    ),
    Key(
        "preview_1m_seconds",
        "PreviewRules over 1,000,000 members with 24 months of days",
        frozenset({Stage.PREVIEW}),
        target=60,
        at_most=True,
        digits=1,
    ),
    Key(
        "preview_unary_share",
        "RecordSale rate while a preview runs over the rate before",
        frozenset({Stage.BESIDE_PREVIEW}),
        target=0.80,
        digits=2,
    ),
    Key(
        "redeem_per_s",
        "RedeemReward, hold to voucher, one reward, 32 in flight",
        frozenset({Stage.REDEEM}),
        target=300,
    ),
    Key(
        "redeem_p99_ratio",
        "p99 of RedeemReward over RecordSale's, both 32 in flight",
        frozenset({Stage.REDEEM}),
        target=8,
        at_most=True,
        digits=1,
    ),
    Key(
        "night_10m_lots_s",
        "expiry over 10,000,000 lots, one of each of 1,000,000 wallets due",
        frozenset({Stage.NIGHT}),
        target=600,
        at_most=True,
        digits=1,
    ),
    Key(
        "night_unary_share",
        "RecordSale rate during a night over the rate before",
        frozenset({Stage.NIGHT}),
        target=0.80,
        digits=2,
    ),
)
NAMES = tuple(key.name for key in KEYS)


def needed(names: frozenset[str]) -> frozenset[Contestant | Stage]:
    """What must run for these keys."""
    return frozenset().union(*(key.needs for key in KEYS if key.name in names))
