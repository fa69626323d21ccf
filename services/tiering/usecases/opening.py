"""Which business day is open."""

from datetime import datetime

from sqlalchemy import Connection

from services.tiering.domain.calendar import to_day
from services.tiering.storage import days, rule_sets


def open_day(connection: Connection, group_id: int | None, now: datetime) -> int:
    """The business day after the one closed last; before any was, the first of the rules."""
    last = days.last_closed(connection)
    if last is not None:
        return last + 1
    groups = [group_id] if group_id is not None else rule_sets.groups(connection)
    begun = [rule_sets.first_effective_day(connection, group) for group in groups]
    return min([day for day in begun if day is not None], default=to_day(now.date()))
