"""Rows that have done what they were for."""

from datetime import datetime, timedelta

from sqlalchemy import Engine

from services.plumbing.database import transaction
from services.rewards.domain.quotas import useless_before
from services.rewards.metrics import OLD_ROWS_PRUNED
from services.rewards.storage import pools, quotas

# For so long a chunk of an upload that is sent again gets its first answer.
UPLOADS_KEPT = timedelta(days=30)


def prune(database: Engine, *, now: datetime, limit: int) -> int:
    """Drop some of each kind; says how many of the kind of which it were most."""
    with transaction(database) as connection:
        dropped = {
            "quotas": quotas.forget(connection, useless_before(now.date()), limit=limit),
            "code_uploads": pools.forget_uploads(connection, now - UPLOADS_KEPT, limit=limit),
        }
    for table, count in dropped.items():
        OLD_ROWS_PRUNED.labels(table).inc(count)
    return max(dropped.values())
