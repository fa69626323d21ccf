"""What the ledger counts."""

from prometheus_client import Counter, Gauge, Histogram

SALES = Counter("ledger_sales_total", "Sales recorded, each once however often it was sent.")
REFUSALS = Counter("ledger_refusals_total", "Requests refused, by reason.", ["reason"])
BATCH_SIZE = Histogram(
    "ledger_batch_size",
    "Commands committed together.",
    ["shard"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
COMMIT_SECONDS = Histogram(
    "ledger_commit_seconds",
    "Seconds to decide and commit a batch.",
    ["shard"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
QUEUE_DEPTH = Gauge("ledger_queue_depth", "Commands waiting to be committed.", ["shard"])
OUTBOX_AGE_SECONDS = Gauge(
    "ledger_outbox_age_seconds", "Age of the newest event in the outbox.", ["shard"]
)
LEFT_UNDER_WAY = Gauge(
    "ledger_left_under_way",
    "Work over several wallets that the last look found left behind and could not finish, by what"
    " it is.",
    ["work"],
)
