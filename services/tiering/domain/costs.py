"""What tiers' multipliers give beyond the base points, and what that is worth."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import numpy as np

from services.tiering.domain.columns import Changes, Int8s, Int32s, Int64s, MemberDays
from services.tiering.domain.rules import RuleSet

YEAR_DAYS = 365


class ExtraPoints:
    """What multipliers add to the rows of members: floor(base * multiplier) - base per basket."""

    def __init__(self, member_days: MemberDays) -> None:
        self._bases = member_days.bases
        self._offsets = member_days.base_offsets
        self._by_multiplier: dict[Fraction, Int64s] = {}

    def of(self, rule_set: RuleSet, tiers: Int8s) -> Int64s:
        """The extra points of each row whose member is in the tier given for it."""
        extra = np.zeros(len(tiers), np.int64)
        for place, tier in enumerate(rule_set.tiers):
            multiplier = tier.benefits.multiplier
            if multiplier != 1:
                np.copyto(extra, self._multiplied(multiplier), where=tiers == place)
        return extra

    def _multiplied(self, multiplier: Fraction) -> Int64s:
        if multiplier not in self._by_multiplier:
            running = np.zeros(len(self._bases) + 1, np.int64)
            multiplied = self._bases * multiplier.numerator // multiplier.denominator
            np.cumsum(multiplied - self._bases, out=running[1:])
            self._by_multiplier[multiplier] = np.diff(running[self._offsets])
        return self._by_multiplier[multiplier]


def tiers_on_rows(member_days: MemberDays, changes: Changes, count: int) -> Int8s:
    """The tier in effect on the day of each row, for members who began in the first tier."""
    steps = np.zeros(len(member_days.member) + 1, np.int8)
    moves = changes.new - changes.old
    # A change counts from the first row of its day or later; what follows the member's last row
    # is taken back where the next member's rows begin, together with all the rest.
    rows = _keys(member_days.member, member_days.day)
    np.add.at(steps, np.searchsorted(rows, _keys(changes.member, changes.day)), moves)
    final = np.zeros(count, np.int8)
    np.add.at(final, changes.member, moves)
    ends = np.searchsorted(member_days.member, np.arange(count, dtype=np.int32), side="right")
    np.subtract.at(steps, ends, final)
    return np.cumsum(steps[:-1], dtype=np.int8)


def worth_minor(points: int, point_value_minor: Decimal) -> int:
    """What points are worth, in minor units, rounded half up."""
    return int((points * point_value_minor).quantize(Decimal(1), ROUND_HALF_UP))


def per_year(points: int, days: int) -> int:
    """Points of so many days at the same pace for 365, rounded half up."""
    return (2 * points * YEAR_DAYS + days) // (2 * days) if days else 0


def _keys(members: Int32s, days: Int32s) -> Int64s:
    """One number by which (member, day) is in order."""
    keys: Int64s = (members.astype(np.int64) << 32) + days
    return keys
