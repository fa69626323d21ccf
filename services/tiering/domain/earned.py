"""The tier a member's own sums gave: reached, kept for another term, or lost."""

import numpy as np

from services.tiering.domain.bars import Ask, Bars, Columns
from services.tiering.domain.columns import NEVER, Booleans, Cause, Int8s, Int64s, MemberStates
from services.tiering.domain.rules import Counting, Downgrade, Evaluation, RuleSet
from services.tiering.domain.sums import WindowSums
from services.tiering.domain.terms import Terms

NO_CAUSE = 0
NOBODY: Int64s = np.zeros(0, np.int64)


def steps_down(rule_set: RuleSet) -> Int8s:
    """The tier one step below each; nobody lands softly in one by invitation only."""
    steps = [0]
    for place in range(1, len(rule_set.tiers)):
        below = place - 1
        steps.append(steps[below] if rule_set.tiers[below].invitation_only else below)
    return np.array(steps, np.int8)


class EarnedTiers:
    """What each member earned, with its term, as the days go by.

    cause says of each member why it changed at the last close; it is cleared by whom it concerns.
    """

    def __init__(
        self, rule_set: RuleSet, states: MemberStates, bars: Bars, terms: Terms, sums: WindowSums
    ) -> None:
        self._rule_set, self._bars, self._terms, self._sums = rule_set, bars, terms, sums
        self._steps_down = steps_down(rule_set)
        self._deducts = rule_set.counting is Counting.DEDUCTED
        self._never_lost = rule_set.downgrade is Downgrade.NONE
        self.tier = states.earned.copy()
        self.since = states.earned_since.copy()
        self.until = states.earned_until.copy()
        self.reserve = states.reserve.copy()
        self.reserve_until = states.reserve_until.copy()
        self.cause: Int8s = np.zeros(len(self.tier), np.int8)

    def due(self, day: int) -> Booleans:
        """Whom the close of a day concerns although nothing was added to or taken from them."""
        due = self.until <= day + 1
        if self._terms.asked_at_end_only:
            return due
        due |= self.reserve_until <= day + 1
        return due | (self.tier > 0) if self._terms.begins_later_end(day) else due

    def reach(self, members: Int64s, day: int) -> Int64s:
        """Lifts members to the highest tier their sums attain; those who rose."""
        columns = self._sums.take(members)
        reached = self._bars.highest(Ask.ATTAIN, members, columns)
        up = reached > self.tier[members]
        if not up.any():
            return NOBODY
        rising, tiers = members[up], reached[up]
        start = day if self._rule_set.evaluation is Evaluation.AT_EVENT else day + 1
        self.tier[rising] = tiers
        self.since[rising] = start
        # Reached on the last day of a year it could end as it begins; it lasts a day at least.
        ends = np.maximum(self._terms.ends(rising, day), start + 1)
        self.until[rising] = NEVER if self._never_lost else ends
        self.cause[rising] = Cause.REACHED
        if self._deducts:
            self._deduct(Ask.ATTAIN, rising, day)
        return rising

    def keep_or_lose(self, members: Int64s, day: int) -> Int64s:
        """Gives a further term to those whose sums retain their tier, and takes it at its end.

        Returns those of whom it was asked.
        """
        holders = members[self.tier[members] > 0]
        until = self.until[holders]
        asked = until <= day + 1
        if not self._terms.asked_at_end_only:
            asked |= self._terms.ends(holders, day) > until
        if asked.any():
            self._ask(holders[asked], day)
        if not self._terms.asked_at_end_only:
            self._put_in_reserve(holders, day)
        return holders[asked]

    def _ask(self, members: Int64s, day: int) -> None:
        until = self.until[members]
        if self._never_lost:
            # A term that an earlier rule set gave.
            self.until[members] = NEVER
            self.cause[members] = Cause.RENEWED
            return
        ends = self._terms.ends(members, day)
        kept = self._bars.retained(self.tier[members], members, self._sums.take(members))
        kept &= ends > until
        renewed = members[kept]
        self.until[renewed] = ends[kept]
        self.cause[renewed] = Cause.RENEWED
        if self._deducts and len(renewed):
            self._deduct(Ask.RETAIN, renewed, day)
        self._lose(members[~kept & (until <= day + 1 - self._rule_set.grace_days)], day)

    def _lose(self, members: Int64s, day: int) -> None:
        if not len(members):
            return
        fallback, ends = self._fallback(members, day)
        lower = fallback
        if self._rule_set.downgrade is Downgrade.ONE_STEP:
            lower = np.maximum(fallback, self._steps_down[self.tier[members]])
        softly = self._terms.ends_after_downgrade(members, day)
        ends = np.where(lower == fallback, ends, np.maximum(softly, day + 2))
        self.tier[members] = lower
        self.since[members] = day + 1
        self.until[members] = np.where(lower == 0, NEVER, ends)
        self.cause[members] = Cause.LAPSED
        self._drop_reserve(members[self.reserve[members] >= lower])

    def _fallback(self, members: Int64s, day: int) -> tuple[Int8s, Int64s]:
        """The tier below that the sums keep, now or since it was put in reserve, and its end."""
        ends = self._terms.ends(members, day)
        tiers = self._bars.highest_below(self.tier[members], members, self._sums.take(members))
        tiers[ends <= day + 1] = 0
        reserve, reserve_until = self.reserve[members], self.reserve_until[members]
        reserve = np.where(reserve_until > day + 1, reserve, 0).astype(np.int8)
        later = np.where(tiers == reserve, np.maximum(ends, reserve_until), reserve_until)
        return np.maximum(tiers, reserve), np.where(tiers > reserve, ends, later)

    def _put_in_reserve(self, holders: Int64s, day: int) -> None:
        """Keeps what the sums give below the tier held, where it lasts longer than that tier."""
        self._drop_reserve(holders[self.reserve_until[holders] <= day + 1])
        holders = holders[self.tier[holders] > 1]
        ends = self._terms.ends(holders, day)
        longer = ends > self.until[holders]
        holders, ends = holders[longer], ends[longer]
        if not len(holders):
            return
        tiers = self._bars.highest_below(self.tier[holders], holders, self._sums.take(holders))
        held, until = self.reserve[holders], self.reserve_until[holders]
        better = (tiers > held) | ((tiers == held) & (tiers > 0) & (ends > until))
        self.reserve[holders[better]] = tiers[better]
        self.reserve_until[holders[better]] = ends[better]

    def _drop_reserve(self, members: Int64s) -> None:
        self.reserve[members] = 0
        self.reserve_until[members] = NEVER

    def _deduct(self, ask: Ask, members: Int64s, day: int) -> None:
        """Counting begins anew for those whose sums met a threshold, with what stood above it."""
        columns = self._sums.take(members)
        deducted, thresholds = self._bars.thresholds(ask, self.tier[members], members, columns)
        carried = self._above(columns, thresholds)
        chosen: Columns = tuple(column[deducted] for column in carried)
        self._sums.restart(members[deducted], day, chosen)

    def carry_over_year(self, members: Int64s, day: int) -> None:
        """At the end of a year, counts what stood above the threshold reached in the next."""
        if not len(members):
            return
        columns = self._sums.take(members)
        reached = self._bars.highest(Ask.ATTAIN, members, columns)
        deducted, thresholds = self._bars.thresholds(Ask.ATTAIN, reached, members, columns)
        carried = self._above(columns, thresholds)
        chosen = deducted & np.logical_or.reduce([column > 0 for column in carried])
        self._sums.carry(members[chosen], day + 1, tuple(column[chosen] for column in carried))

    def _above(self, columns: Columns, thresholds: Columns) -> Columns:
        limits = [self._rule_set.carry_limit.of(measure) for measure in self._sums.measures]
        return tuple(
            np.clip(column - threshold, 0, limit)
            for column, threshold, limit in zip(columns, thresholds, limits, strict=True)
        )
