"""What the app shows a member of their tier."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy import Connection, Engine

from services.plumbing.database import transaction
from services.tiering.domain import engine
from services.tiering.domain.columns import LONG_AGO, NEVER, GrantKind, Int32s, MemberStates
from services.tiering.domain.explain import Situation, Standing, standing
from services.tiering.domain.refusals import GroupNotFound
from services.tiering.domain.rules import Amounts, Measure
from services.tiering.storage import days, grants, histories, members, merges, rule_sets, states
from services.tiering.storage.days import Change
from services.tiering.storage.rule_sets import Version
from services.tiering.usecases import evaluate
from services.tiering.usecases.opening import open_day

HISTORY_MAX = 50


@dataclass(frozen=True, slots=True)
class MemberTier:
    """A member's tier at the beginning of the open day; since is None for who never changed."""

    version: Version
    situation: Situation
    standing: Standing
    as_of_day: int | None
    since: int | None = None
    history: Sequence[Change] = field(default_factory=tuple)


def get_member_tier(database: Engine, member_id: UUID, group: str, *, now: datetime) -> MemberTier:
    """Refuses: GroupNotFound, MemberMerged."""
    with transaction(database) as connection:
        group_id = rule_sets.group_id(connection, group)
        if group_id is None:
            raise GroupNotFound(group)
        day = open_day(connection, group_id, now)
        version = rule_sets.in_force(connection, group_id, day)
        if version is None:
            raise GroupNotFound(group)
        number = members.find(connection, member_id)
        if number is None:
            situation, since, history = Situation(0, NEVER, 0, Amounts()), None, []
        else:
            merges.refuse_merged(connection, number)
            history = days.history(connection, group_id, number, limit=HISTORY_MAX)
            situation, since = _situation(connection, version, number, day)
        return MemberTier(
            version=version,
            situation=situation,
            standing=standing(version.rules, situation),
            as_of_day=days.last_closed(connection),
            since=since if history else None,
            history=history,
        )


def _situation(
    connection: Connection, version: Version, number: int, day: int
) -> tuple[Situation, int]:
    """Where a member stands at the beginning of a day, and since when in their tier."""
    numbers = np.array([number], np.int32)
    history = histories.of_members(
        connection,
        version.group_id,
        numbers,
        from_day=engine.rows_needed_from(version.rules, day - 1),
    )
    stored = states.read(connection, version.group_id, numbers, history.enrolled)
    if stored.wake_day[0] == LONG_AGO:
        stored = _decided_anew(connection, version, numbers, day)
    # No day is closed: what counts in the window as it stands.
    advanced = engine.advance(
        version.rules, stored, history.days, history.grants, from_day=day, to_day=day - 1
    )
    sums = {measure: int(advanced.sums[measure][0]) for measure in Measure}
    situation = Situation(
        tier=int(stored.tier[0]),
        until=int(stored.until[0]),
        earned=int(stored.earned[0]),
        sums=Amounts(sums[Measure.POINTS], sums[Measure.SPEND], sums[Measure.VISITS]),
        invited_to=grants.names_in_force(connection, number, GrantKind.INVITATION, day=day),
        audiences=grants.names_in_force(connection, number, GrantKind.AUDIENCE, day=day),
    )
    return situation, int(stored.since[0])


def _decided_anew(
    connection: Connection, version: Version, numbers: Int32s, day: int
) -> MemberStates:
    """What the closes before a day give members of whom nothing is stored: who is new, and who was
    merged while other rules came into force.
    """
    from_day = engine.rows_needed_to_replay(version.rules, version.replay_from)
    history = histories.of_members(connection, version.group_id, numbers, from_day=from_day)
    return evaluate.replay(version, history, day - 1).states
