"""The close of business days."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.tiering.domain.calendar import to_date, to_day
from services.tiering.domain.columns import Cause
from services.tiering.domain.refusals import DayNotOver, TooManyOpenDays
from services.tiering.storage import (
    activity,
    changed_days,
    days,
    members,
    rule_sets,
    states,
    window_sums,
)
from services.tiering.storage.changed_days import Changed
from services.tiering.storage.columns import plan_by_index
from services.tiering.storage.days import ClosedDay
from services.tiering.storage.rule_sets import Version
from services.tiering.storage.slices import in_parts
from services.tiering.usecases import evaluate
from services.tiering.usecases.announcing import Announcer

OPEN_DAYS_MAX = 400
# Members evaluated together; what bounds the memory of a close.
PART = 20_000
MICROS_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Day:
    """A day's close, if it is closed, and how many documents of it were applied.

    Closed are also the days before the first that was.
    """

    closed: ClosedDay | None
    documents: int


def close_day(
    database: Engine, day: int, *, announcer: Announcer, now: datetime
) -> tuple[Day, int]:
    """Close a day, after those before it that are open. Returns it, and how many were closed.

    Refuses: DayNotOver, TooManyOpenDays.
    """
    if day >= to_day(now.astimezone(UTC).date()):
        raise DayNotOver(to_date(day).isoformat())
    closed = 0
    while True:
        with transaction(database) as connection:
            days.lock_closing(connection)
            following = _first_open(connection)
            if following is None:
                following = day
            if day - following >= OPEN_DAYS_MAX:
                raise TooManyOpenDays(day - following, OPEN_DAYS_MAX)
            if following > day:
                return _read(connection, day), closed
            found = _close(connection, following, announcer, now)
            closed += 1
            if following == day:
                return Day(found, activity.documents_of(connection, day)), closed


def first_open_day(database: Engine) -> int | None:
    """The first day that is not closed; None while none was closed and no rules were published."""
    with transaction(database) as connection:
        return _first_open(connection)


def _first_open(connection: Connection) -> int | None:
    last = days.last_closed(connection)
    if last is not None:
        return last + 1
    begun = [rule_sets.first_effective_day(connection, group) for group in _groups(connection)]
    return min([first for first in begun if first is not None], default=None)


def _groups(connection: Connection) -> list[int]:
    return rule_sets.groups(connection)


def _close(connection: Connection, day: int, announcer: Announcer, now: datetime) -> ClosedDay:
    # Of days that were closed and terms that ended the indexes keep what is dead for a while; only
    # who goes along an index marks it, so that nobody reads it again.
    plan_by_index(connection)
    changed = changed_days.take(connection, day)
    count = 0
    for group in _groups(connection):
        following = rule_sets.in_force(connection, group, day + 1)
        if following is None:
            continue
        if following.first_day == day + 1:
            count += take_over(connection, following, day, announcer=announcer, now=now)
        else:
            count += _close_group(connection, following, day, changed, announcer, now)
    closed = ClosedDay(day, count, now)
    days.close(connection, closed)
    return closed


def _close_group(
    connection: Connection,
    version: Version,
    day: int,
    changed: Changed,
    announcer: Announcer,
    now: datetime,
) -> int:
    late, today = changed.before(day), changed.on(day)
    awake = states.awake(connection, version.group_id, day)
    on_time = np.setdiff1d(np.union1d(today.numbers, awake), late)
    close_one_day = partial(evaluate.close_one_day, changed=today)
    count = 0
    for numbers, decide in ((on_time, close_one_day), (late, evaluate.recompute)):
        for part in in_parts(numbers, most=PART):
            count += evaluate.keep(
                connection,
                version,
                decide(connection, version, part, day),
                effective_day=day + 1,
                effective_micros=(day + 1) * MICROS_PER_DAY,
                cause=Cause.RECOMPUTED,
                announcer=announcer,
                now=now,
            )
    return count


def take_over(
    connection: Connection, version: Version, last_day: int, *, announcer: Announcer, now: datetime
) -> int:
    """Let a rule set come into force after the close of a day. Returns how many tiers changed."""
    previous = rule_sets.in_force(connection, version.group_id, last_day)
    window_sums.forget_all(connection, version.group_id)
    count = 0
    for number in members.slices(connection):
        evaluation = evaluate.replay_slice(connection, version, number, last_day, previous=previous)
        count += evaluate.keep(
            connection,
            version,
            evaluation,
            effective_day=last_day + 1,
            effective_micros=(last_day + 1) * MICROS_PER_DAY,
            cause=Cause.PUBLISHED,
            announcer=announcer,
            now=now,
        )
    plan_by_index(connection)
    states.forget_merged(connection, version.group_id)
    rule_sets.retire_before(connection, version.group_id, version.first_day, now)
    return count


def read_day(database: Engine, day: int) -> Day:
    with transaction(database) as connection:
        return _read(connection, day)


def _read(connection: Connection, day: int) -> Day:
    last = days.last_closed(connection)
    found = days.read(connection, day)
    if found is None and last is not None and day <= last:
        found = ClosedDay(day, 0, None)
    return Day(found, activity.documents_of(connection, day))
