"""Members' tiers decided by the engine, kept, and told to others where they changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection

from services.tiering.domain import engine
from services.tiering.domain.columns import (
    LONG_AGO,
    Cause,
    Int8s,
    Int32s,
    Int64s,
    MemberStates,
)
from services.tiering.domain.engine import Advanced
from services.tiering.domain.rules import Evaluation as Evaluating
from services.tiering.domain.rules import Measure
from services.tiering.domain.sums import follow_on
from services.tiering.storage import days, histories, members, states, window_sums
from services.tiering.storage.changed_days import Changed
from services.tiering.storage.histories import History
from services.tiering.storage.rule_sets import Version
from services.tiering.usecases.announcing import Announcer


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Members, the tiers they are known to be in, and what the engine now says."""

    numbers: Int32s
    old_codes: Sequence[str]
    before: MemberStates
    advanced: Advanced


def close_one_day(
    connection: Connection, version: Version, numbers: Int32s, day: int, changed: Changed
) -> Evaluation:
    """What the close of a day gives members of whom nothing is new but what changed on it.

    Where sums follow from those of the close before, these are read and kept.
    """
    group_id = version.group_id
    if not follow_on(version.rules):
        return close_days(connection, version, numbers, day, to_day=day)
    begun = window_sums.read(
        connection, group_id, numbers, version.rules.window, day, changed=changed.among(numbers)
    )
    history = histories.with_rows(connection, group_id, numbers, begun.rows)
    evaluation = _advance(connection, version, history, day, day, begun=begun.sums)
    window_sums.keep(
        connection,
        group_id,
        history.numbers,
        day,
        sums=evaluation.advanced.sums,
        counted=history.days,
    )
    return evaluation


def close_days(
    connection: Connection, version: Version, numbers: Int32s, day: int, *, to_day: int
) -> Evaluation:
    """The same of several days, the first of which is the open one."""
    from_day = engine.rows_needed_from(version.rules, day)
    history = histories.of_members(connection, version.group_id, numbers, from_day=from_day)
    return _advance(connection, version, history, day, to_day, begun=engine.NOTHING_BEGUN)


def _advance(
    connection: Connection,
    version: Version,
    history: History,
    from_day: int,
    to_day: int,
    *,
    begun: Mapping[Measure, Int64s],
) -> Evaluation:
    before = states.read(connection, version.group_id, history.numbers, history.enrolled)
    advanced = engine.advance(
        version.rules,
        before,
        history.days,
        history.grants,
        from_day=from_day,
        to_day=to_day,
        begun=begun,
    )
    codes_before = _known_codes(connection, version, history, before)
    return Evaluation(history.numbers, codes_before, before, advanced)


def recompute(
    connection: Connection, version: Version, numbers: Int32s, through: int
) -> Evaluation:
    """What the closes up to a day give members whose past is not what it was taken for."""
    window_sums.forget(connection, version.group_id, numbers)
    from_day = engine.rows_needed_to_replay(version.rules, version.replay_from)
    history = histories.of_members(connection, version.group_id, numbers, from_day=from_day)
    before = states.read(connection, version.group_id, history.numbers, history.enrolled)
    advanced = replay(version, history, through)
    codes_before = _known_codes(connection, version, history, before)
    return Evaluation(history.numbers, codes_before, before, advanced)


def replay_slice(
    connection: Connection,
    version: Version,
    number: int,
    through: int,
    *,
    previous: Version | None,
) -> Evaluation:
    """What the closes up to a day would have given the members of a slice under a rule set.

    previous is the rule set by which the states that are stored were decided.
    """
    from_day = engine.rows_needed_to_replay(version.rules, version.replay_from)
    history = histories.of_slice(connection, version.group_id, number, from_day=from_day)
    old = states.read(connection, version.group_id, history.numbers, history.enrolled)
    advanced = replay(version, history, through)
    if previous is None:
        # Nobody was told of any tier yet.
        return Evaluation(history.numbers, codes(version, old.tier), old, advanced)
    old_codes = known_codes(connection, previous, history, old, at_event=False)
    return Evaluation(history.numbers, old_codes, old, advanced)


def replay(version: Version, history: History, through: int) -> Advanced:
    """Members from their beginning to the close of a day."""
    return engine.replay(
        version.rules,
        history.enrolled,
        history.days,
        history.grants,
        from_day=version.replay_from,
        to_day=max(through, version.replay_from - 1),
    )


def _known_codes(
    connection: Connection, version: Version, history: History, stored: MemberStates
) -> list[str]:
    """As below, where the rules that decided what is stored decide again."""
    at_event = version.rules.evaluation is Evaluating.AT_EVENT
    return known_codes(connection, version, history, stored, at_event=at_event)


def known_codes(
    connection: Connection,
    version: Version,
    history: History,
    stored: MemberStates,
    *,
    at_event: bool,
) -> list[str]:
    """The tiers that others know members to be in.

    At the event, they may know of a later one than is stored; and nothing is stored of who was
    merged while other rules came into force.
    """
    numbers: list[int] = history.numbers.tolist()
    asked = numbers if at_event else history.numbers[stored.wake_day == LONG_AGO].tolist()
    announced = days.announced_tiers(connection, version.group_id, asked) if asked else {}
    found = codes(version, stored.tier)
    return [announced.get(number, code) for number, code in zip(numbers, found, strict=True)]


def codes(version: Version, tiers: Int8s) -> list[str]:
    names = [tier.code for tier in version.rules.tiers]
    return [names[tier] for tier in tiers.tolist()]


def keep(
    connection: Connection,
    version: Version,
    evaluation: Evaluation,
    *,
    effective_day: int,
    effective_micros: int,
    cause: Cause,
    announcer: Announcer,
    now: datetime,
) -> int:
    """Store what was decided and tell whose tier changed. Returns how many did.

    cause is given for changes that no close of the last day explains.
    """
    changes = changes_of(version, evaluation, effective_day=effective_day, cause=cause)
    states.write(
        connection,
        version.group_id,
        evaluation.numbers,
        evaluation.advanced.states,
        before=evaluation.before,
    )
    days.add_changes(connection, version.group_id, changes)
    if changes:
        ids = members.ids_of(connection, [change.member for change in changes])
        announcer.tiers_changed(
            connection, version, changes, ids, effective_micros=effective_micros, now=now
        )
    return len(changes)


def changes_of(
    version: Version, evaluation: Evaluation, *, effective_day: int, cause: Cause
) -> list[days.Change]:
    """Whose tier is another than it was known to be."""
    advanced = evaluation.advanced
    new_codes = codes(version, advanced.states.tier)
    sums = [advanced.sums[measure] for measure in Measure]
    # A rule set that comes into force is the reason for all it changes.
    known = {} if cause is Cause.PUBLISHED else _causes(advanced, effective_day)
    changes = []
    for place, (old, new) in enumerate(zip(evaluation.old_codes, new_codes, strict=True)):
        if old != new:
            points, spend_minor, visits = (int(column[place]) for column in sums)
            changes.append(
                days.Change(
                    member=int(evaluation.numbers[place]),
                    effective_day=effective_day,
                    old_tier=old,
                    new_tier=new,
                    cause=known.get(place, cause.value),
                    points=points,
                    spend_minor=spend_minor,
                    visits=visits,
                    version=version.version,
                )
            )
    return changes


def _causes(advanced: Advanced, effective_day: int) -> dict[int, int]:
    """Why the members' tiers changed at the close of the last day, by place."""
    changes = advanced.changes
    recent = np.flatnonzero((changes.day >= effective_day - 1) & (changes.old != changes.new))
    return {int(changes.member[row]): int(changes.cause[row]) for row in recent}
