"""What tiering counts."""

from prometheus_client import Counter, Gauge

DOCUMENTS_APPLIED = Counter(
    "tiering_documents_applied_total", "Sales, returns, voids and adjustments applied."
)
MERGES_APPLIED = Counter(
    "tiering_merges_applied_total", "Merges of members heard of: merged, undone.", ["what"]
)
DAYS_CLOSED = Counter("tiering_days_closed_total", "Business days closed.")
TIER_CHANGES = Counter(
    "tiering_tier_changes_total", "Tiers of members changed, by cause.", ["cause"]
)
PREVIEWS_UNDER_WAY = Gauge("tiering_previews_under_way", "Previews being computed or waiting.")
