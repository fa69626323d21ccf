"""Which tiers sums reach and keep, for many members at once."""

import enum
from dataclasses import dataclass

import numpy as np

from services.tiering.domain.columns import Booleans, Int8s, Int64s
from services.tiering.domain.grants import RunningGrants
from services.tiering.domain.rules import (
    Join,
    Measure,
    Requirement,
    RuleSet,
    Tier,
    lifetime_requirements,
    requirements,
)

# One array a measure, in the order of the measures they were asked for.
Columns = tuple[Int64s, ...]


class Ask(enum.Enum):
    ATTAIN = "attain"
    RETAIN = "retain"


@dataclass(frozen=True, slots=True)
class Clause:
    """A requirement with its measures as places in the columns; met by an audience, or by all."""

    join: Join
    thresholds: tuple[tuple[int, int], ...]
    audience: str | None = None

    def met(self, columns: Columns) -> Booleans:
        (place, threshold), *others = self.thresholds
        met: Booleans = columns[place] >= threshold
        for place, threshold in others:
            if self.join is Join.ALL:
                met &= columns[place] >= threshold
            else:
                met |= columns[place] >= threshold
        return met


def window_measures(rule_set: RuleSet) -> tuple[Measure, ...]:
    """What the windows of a rule set have to sum, in the order of Measure."""
    asked = {m for requirement in requirements(rule_set) for m in requirement.thresholds()}
    return tuple(measure for measure in Measure if measure in asked)


def lifetime_measures(rule_set: RuleSet) -> tuple[Measure, ...]:
    asked = {m for each in lifetime_requirements(rule_set) for m in each.thresholds()}
    return tuple(measure for measure in Measure if measure in asked)


def _clause(
    requirement: Requirement, measures: tuple[Measure, ...], audience: str | None = None
) -> Clause:
    thresholds = tuple(
        (measures.index(measure), amount) for measure, amount in requirement.thresholds().items()
    )
    return Clause(requirement.join, thresholds, audience)


def _clauses(tier: Tier, ask: Ask, measures: tuple[Measure, ...]) -> tuple[Clause, ...]:
    """The tier's own first: it is the one deducted where several are met."""
    bars = [(None, tier.bar)] if tier.bar else []
    return tuple(
        _clause(bar.attain if ask is Ask.ATTAIN else bar.to_retain, measures, audience)
        for audience, bar in [*bars, *sorted(tier.audiences.items())]
    )


class Bars:
    """The requirements of a rule set, ready to be asked of columns of window sums."""

    def __init__(self, rule_set: RuleSet, grants: RunningGrants) -> None:
        measures = window_measures(rule_set)
        self._tiers = rule_set.tiers
        self._grants = grants
        self._width = len(measures)
        self._clauses = {
            ask: [_clauses(tier, ask, measures) for tier in rule_set.tiers] for ask in Ask
        }
        of_lifetime = lifetime_measures(rule_set)
        self._lifetimes = [
            (place, _clause(tier.lifetime, of_lifetime))
            for place, tier in enumerate(rule_set.tiers)
            if tier.lifetime
        ]

    def highest(self, ask: Ask, members: Int64s, columns: Columns) -> Int8s:
        """The highest tier the sums of each member meet."""
        found = np.zeros(len(members), np.int8)
        for tier in range(1, len(self._tiers)):
            found[self._met(ask, tier, members, columns)] = tier
        return found

    def highest_below(self, held: Int8s, members: Int64s, columns: Columns) -> Int8s:
        """The highest tier below the one held that the sums of each member would retain."""
        found = np.zeros(len(members), np.int8)
        for tier in range(1, len(self._tiers)):
            found[self._met(Ask.RETAIN, tier, members, columns) & (held > tier)] = tier
        return found

    def retained(self, held: Int8s, members: Int64s, columns: Columns) -> Booleans:
        """Whether the sums of each member retain the tier they hold."""
        kept = np.zeros(len(members), np.bool_)
        for tier in range(1, len(self._tiers)):
            kept |= self._met(Ask.RETAIN, tier, members, columns) & (held == tier)
        return kept

    def lifetime(self, columns: Columns, count: int) -> Int8s:
        """The highest tier that sums of all time meet."""
        found = np.zeros(count, np.int8)
        for tier, clause in self._lifetimes:
            found[clause.met(columns)] = tier
        return found

    def thresholds(
        self, ask: Ask, tiers: Int8s, members: Int64s, columns: Columns
    ) -> tuple[Booleans, Columns]:
        """Of whom something is deducted for a tier, and how much: what the bar met asks for."""
        deducted = np.zeros(len(members), np.bool_)
        amounts = tuple(np.zeros(len(members), np.int64) for _ in range(self._width))
        for tier, clauses in enumerate(self._clauses[ask]):
            for clause in clauses:
                met = (tiers == tier) & ~deducted & self._met_clause(clause, members, columns)
                for place, threshold in clause.thresholds:
                    amounts[place][met] = threshold
                deducted |= met
        return deducted, amounts

    def _met(self, ask: Ask, tier: int, members: Int64s, columns: Columns) -> Booleans:
        by_invitation = self._tiers[tier].invitation_only
        if by_invitation and self._tiers[tier].bar is None:
            return self._grants.invited(tier, members)
        met = np.zeros(len(members), np.bool_)
        for clause in self._clauses[ask][tier]:
            met |= self._met_clause(clause, members, columns)
        return met & self._grants.invited(tier, members) if by_invitation else met

    def _met_clause(self, clause: Clause, members: Int64s, columns: Columns) -> Booleans:
        met = clause.met(columns)
        if clause.audience is None:
            return met
        return met & self._grants.in_audience(clause.audience, members)
