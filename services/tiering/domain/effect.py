"""The tier in effect: what was earned, lifted by lifetime sums and by what was assigned by hand."""

import numpy as np

from services.tiering.domain.bars import Bars
from services.tiering.domain.columns import (
    NEVER,
    Booleans,
    Cause,
    Changes,
    Int8s,
    Int32s,
    Int64s,
    MemberStates,
    in_order,
)
from services.tiering.domain.earned import NO_CAUSE, EarnedTiers
from services.tiering.domain.grants import RunningGrants
from services.tiering.domain.rules import Measure
from services.tiering.domain.sums import WindowSums


class TiersInEffect:
    """Each member's tier as the days go by, and every change of it."""

    def __init__(
        self,
        states: MemberStates,
        earned: EarnedTiers,
        grants: RunningGrants,
        bars: Bars,
        sums: WindowSums,
    ) -> None:
        self._earned, self._grants, self._bars, self._sums = earned, grants, bars, sums
        self.tier = states.tier.copy()
        self.since = states.since.copy()
        self.until = states.until.copy()
        self._lifetime = bars.lifetime(sums.lifetimes, len(self.tier))
        self._fell = np.zeros(len(self.tier), np.bool_)
        self._settled: list[Changes] = []

    def settle(self, members: Int64s, day: int, *, rising_only: bool = False) -> None:
        """Brings into effect from a day what is now earned, reached in a lifetime or assigned."""
        self._count_lifetimes(members)
        tiers = self._tiers(members)
        if rising_only:
            rising = tiers > self.tier[members]
            members, tiers = members[rising], tiers[rising]
        old = self.tier[members]
        until = self._untils(members, tiers)
        moved = tiers != old
        renewed = (
            ~moved
            & (self._earned.cause[members] == Cause.RENEWED)
            & (tiers == self._earned.tier[members])
        )
        cause = np.where(moved, self._causes(members, tiers), Cause.RENEWED).astype(np.int8)
        self.tier[members] = tiers
        self.since[members[moved]] = day
        self.until[members] = until
        self._record(moved | renewed, day, members, old, cause)
        self._earned.cause[members] = NO_CAUSE
        self._fell[members] = False

    def changes(self) -> Changes:
        """All there were, by day and member; of one day and member in the order they came."""
        return in_order(self._settled)

    def _count_lifetimes(self, members: Int64s) -> None:
        if not self._sums.lifetimes:
            return
        columns = tuple(column[members] for column in self._sums.lifetimes)
        reached = self._bars.lifetime(columns, len(members))
        self._fell[members] |= reached < self._lifetime[members]
        self._lifetime[members] = reached

    def _tiers(self, members: Int64s) -> Int8s:
        tiers = np.maximum(self._earned.tier[members], self._lifetime[members])
        if not self._grants.any_assigned:
            return tiers
        exact = self._grants.exact[members]
        lifted = np.maximum(tiers, self._grants.floor[members])
        return np.where(exact >= 0, exact, lifted)

    def _untils(self, members: Int64s, tiers: Int8s) -> Int32s:
        """The latest end of what gives each member the tier in effect."""
        if not self._grants.any_assigned and not self._sums.lifetimes:
            return self._earned.until[members]
        until = np.where(self._earned.tier[members] == tiers, self._earned.until[members], 0)
        until[(self._lifetime[members] == tiers) | (tiers == 0)] = NEVER
        if self._grants.any_assigned:
            assigned = self._grants.floor[members] == tiers
            until = np.where(assigned, np.maximum(until, self._grants.floor_end[members]), until)
            exactly = self._grants.exact[members] >= 0
            until = np.where(exactly, self._grants.exact_end[members], until)
        return until.astype(np.int32)

    def _causes(self, members: Int64s, tiers: Int8s) -> Int8s:
        """Why tiers other than those before come into effect."""
        earned = self._earned.cause[members]
        if not self._grants.any_assigned and not self._sums.lifetimes and earned.all():
            return earned
        up = tiers > self.tier[members]
        floor, exact = self._grants.floor[members], self._grants.exact[members]
        return np.select(
            [
                exact >= 0,
                up & (earned == Cause.REACHED) & (self._earned.tier[members] == tiers),
                up & (floor == tiers),
                up & (self._lifetime[members] == tiers),
                ~up & (earned == Cause.LAPSED),
                ~up & self._fell[members],
            ],
            [
                np.int8(Cause.ASSIGNED),
                np.int8(Cause.REACHED),
                np.int8(Cause.ASSIGNED),
                np.int8(Cause.LIFETIME),
                np.int8(Cause.LAPSED),
                np.int8(Cause.LIFETIME_LOST),
            ],
            default=np.int8(Cause.ASSIGNMENT_ENDED),
        ).astype(np.int8)

    def _record(
        self, chosen: Booleans, day: int, members: Int64s, old: Int8s, cause: Int8s
    ) -> None:
        who = members[chosen]
        if not len(who):
            return
        sums = dict(zip(self._sums.measures, self._sums.take(who), strict=True))
        nothing = np.zeros(len(who), np.int64)
        self._settled.append(
            Changes(
                day=np.full(len(who), day, np.int32),
                member=who.astype(np.int32),
                old=old[chosen],
                new=self.tier[who],
                cause=cause[chosen],
                until=self.until[who],
                points=sums.get(Measure.POINTS, nothing),
                spend_minor=sums.get(Measure.SPEND, nothing),
                visits=sums.get(Measure.VISITS, nothing),
            )
        )
