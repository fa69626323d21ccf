"""What waits in the outboxes, read from the tables when the metrics are scraped."""

import math
from collections.abc import Callable
from functools import partial

from prometheus_client import Gauge

from services.plumbing.database import database_is_away
from services.plumbing.outbox import Waiting

DEPTH = Gauge("bus_outbox_depth", "Events not yet on their way to all.", ["source", "stream"])
AGE_SECONDS = Gauge(
    "bus_outbox_age_seconds",
    "Age of the oldest event not yet on its way to all.",
    ["source", "stream"],
)


def watch(source: str, stream: str, waiting: Callable[[], Waiting]) -> None:
    """Let the metrics of an outbox say what is waiting in it."""
    DEPTH.labels(source, stream).set_function(partial(_depth, waiting))
    AGE_SECONDS.labels(source, stream).set_function(partial(_age_seconds, waiting))


def _depth(waiting: Callable[[], Waiting]) -> float:
    found = _or_none(waiting)
    return math.nan if found is None else found.events


def _age_seconds(waiting: Callable[[], Waiting]) -> float:
    found = _or_none(waiting)
    return math.nan if found is None else found.oldest_seconds


def _or_none(waiting: Callable[[], Waiting]) -> Waiting | None:
    try:
        return waiting()
    except Exception as error:
        # One metric that cannot be read must not hide all the others.
        if database_is_away(error):
            return None
        raise
