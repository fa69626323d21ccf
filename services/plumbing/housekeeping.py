"""Dropping what the bus needs no more: events everybody has read, notes of events long applied."""

import logging
from datetime import UTC, datetime, timedelta

from prometheus_client import Counter
from sqlalchemy import Engine

from services.plumbing import inbox, outbox
from services.plumbing.database import transaction

log = logging.getLogger("bus")

EVERY_SECONDS = 600.0
# Small enough that a deletion holds nobody up, large enough to keep up with any source.
CHUNK = 5_000
# An event may come again for as long as an outbox keeps it, and a while longer from a queue.
NOTES_KEPT_TIMES = 2

PRUNED = Counter("bus_events_pruned_total", "Events dropped from an outbox.", ["source"])


def prune_outbox(
    engine: Engine, source: str, stream: str, *, through: int, retention_days: int
) -> int:
    """Drop events that were read by all and are older than the retention. Returns how many."""
    before = datetime.now(UTC) - timedelta(days=retention_days)
    dropped = 0
    while True:
        with transaction(engine) as connection:
            some = outbox.prune(connection, stream, through=through, before=before, limit=CHUNK)
        dropped += some
        PRUNED.labels(source).inc(some)
        if some < CHUNK:
            return dropped


def prune_notes(engine: Engine, *, retention_days: int) -> int:
    """Drop notes of events that can come no more. Returns how many."""
    before = datetime.now(UTC) - timedelta(days=NOTES_KEPT_TIMES * retention_days)
    with transaction(engine) as connection:
        return inbox.forget_before(connection, before)
