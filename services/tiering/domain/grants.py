"""What was granted to members by hand, as the days of a replay go by."""

from dataclasses import dataclass, field

import numpy as np

from services.tiering.domain.columns import (
    LONG_AGO,
    NEVER,
    Assignments,
    Booleans,
    GrantKind,
    Int8s,
    Int32s,
    Int64s,
)
from services.tiering.domain.rules import RuleSet

NOBODY: Int64s = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Grants:
    """Those of one kind that a rule set knows; place is of a tier or of an audience."""

    member: Int32s
    place: Int32s
    from_day: Int32s
    end_day: Int32s
    changing: dict[int, Int64s] = field(default_factory=dict)

    def __post_init__(self) -> None:
        days = np.concatenate([self.from_day, self.end_day])
        members = np.concatenate([self.member, self.member]).astype(np.int64)
        for day in np.unique(days).tolist():
            if day != NEVER:
                self.changing[day] = np.unique(members[days == day])

    def in_force(self, day: int) -> Booleans:
        return (self.from_day <= day) & (day < self.end_day)


def _of_kind(
    assignments: Assignments, kind: GrantKind, places: dict[str, int], *, newest_wins: bool
) -> Grants:
    place_of_name = np.array([places.get(name, -1) for name in assignments.names], np.int32)
    rows = np.flatnonzero(assignments.kind == kind)
    place = place_of_name[assignments.name[rows]]
    rows, place = rows[place >= 0], place[place >= 0]
    from_day, end_day = assignments.from_day[rows], assignments.end_day[rows]
    # Of several in force at once the last in this order stands.
    order = np.lexsort((end_day, place, from_day) if newest_wins else (end_day, place))
    return Grants(assignments.member[rows][order], place[order], from_day[order], end_day[order])


class RunningGrants:
    """Assignments as they stand for the day a tier is in effect; the others for the day closed.

    Of several assignments of at least a tier the highest counts, of several of exactly a tier
    the one that began last.
    """

    def __init__(self, rule_set: RuleSet, assignments: Assignments, count: int) -> None:
        tiers = {tier.code: place for place, tier in enumerate(rule_set.tiers)}
        self._audience_places = {name: i for i, name in enumerate(rule_set.audiences())}
        self._at_least = _of_kind(assignments, GrantKind.AT_LEAST, tiers, newest_wins=False)
        self._exactly = _of_kind(assignments, GrantKind.EXACTLY, tiers, newest_wins=True)
        self._invitations = _of_kind(assignments, GrantKind.INVITATION, tiers, newest_wins=False)
        self._audiences = _of_kind(
            assignments, GrantKind.AUDIENCE, self._audience_places, newest_wins=False
        )
        self.any_assigned = len(self._at_least.member) + len(self._exactly.member) > 0
        self.floor: Int8s = np.zeros(count, np.int8)
        self.floor_end: Int32s = np.full(count, LONG_AGO, np.int32)
        self.exact: Int8s = np.full(count, -1, np.int8)
        self.exact_end: Int32s = np.full(count, LONG_AGO, np.int32)
        self._invited = np.zeros((len(tiers), count), np.bool_)
        self._in_audience = np.zeros((len(self._audience_places), count), np.bool_)

    def start(self, day: int) -> None:
        """Everybody's assignments as they stand on this day, the rest as on the day before."""
        everybody = np.arange(len(self.floor))
        self._assign(everybody, day)
        self._include(everybody, self._invitations, self._invited, day - 1)
        self._include(everybody, self._audiences, self._in_audience, day - 1)

    def in_effect_on(self, day: int) -> Int64s:
        """Moves the assignments on to a day; the members whose have changed."""
        changed = self._changed(day, self._at_least, self._exactly)
        if len(changed):
            self._assign(changed, day)
        return changed

    def counting_on(self, day: int) -> Int64s:
        """Moves invitations and audiences on to a day; the members whose have changed."""
        changed = self._changed(day, self._invitations, self._audiences)
        if len(changed):
            self._include(changed, self._invitations, self._invited, day)
            self._include(changed, self._audiences, self._in_audience, day)
        return changed

    def invited(self, tier: int, members: Int64s) -> Booleans:
        invited: Booleans = self._invited[tier][members]
        return invited

    def in_audience(self, name: str, members: Int64s) -> Booleans:
        included: Booleans = self._in_audience[self._audience_places[name]][members]
        return included

    def next_wake(self, day: int, count: int) -> Int32s:
        """The first close, from this day's on, that a grant already made may change."""
        wake = np.full(count, NEVER, np.int32)
        for grants in (self._at_least, self._exactly):
            for changing, members in grants.changing.items():
                # The close of the day before settles what is in effect on the day itself.
                if changing > day:
                    wake[members] = np.minimum(wake[members], changing - 1)
        for grants in (self._invitations, self._audiences):
            for changing, members in grants.changing.items():
                if changing >= day:
                    wake[members] = np.minimum(wake[members], changing)
        return wake

    def _changed(self, day: int, *several: Grants) -> Int64s:
        found = [each.changing[day] for each in several if day in each.changing]
        return np.unique(np.concatenate(found)) if found else NOBODY

    def _assign(self, members: Int64s, day: int) -> None:
        self.floor[members], self.floor_end[members] = 0, LONG_AGO
        self.exact[members], self.exact_end[members] = -1, LONG_AGO
        # Where a member has several in force, the last one written stays.
        lasting = self._at_least.in_force(day)
        holders = self._at_least.member[lasting]
        self.floor[holders] = self._at_least.place[lasting]
        self.floor_end[holders] = self._at_least.end_day[lasting]
        lasting = self._exactly.in_force(day)
        holders = self._exactly.member[lasting]
        self.exact[holders] = self._exactly.place[lasting]
        self.exact_end[holders] = self._exactly.end_day[lasting]

    def _include(self, members: Int64s, grants: Grants, included: Booleans, day: int) -> None:
        included[:, members] = False
        lasting = grants.in_force(day)
        included[grants.place[lasting], grants.member[lasting]] = True
