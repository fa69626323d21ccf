"""What a member's tier does at the till: how many times the base points of a basket are earned.

`tiering` decides who is in which tier; the ledger keeps what it was told and goes on with that.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

import msgspec

# The rule that gives what a tier adds; no policy may call one of its own so.
TIER_RULE = "tier"


@lru_cache(maxsize=1_024)
def ratio(multiplier: str) -> tuple[int, int]:
    """A decimal, such as "1.25", as two whole numbers: 5 over 4. Every sale asks, of a few."""
    return Fraction(multiplier).as_integer_ratio()


class Standing(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The tier a sale earned by, with the rule set that said how much. multiplier is decimal, such
    as "1.25"; empty where no tier counted.
    """

    tier: str = ""
    multiplier: str = ""
    rule_set_version: int = 0

    def added_to(self, base: int) -> int:
        """The points added to base points: the product, rounded down, less the base."""
        if not self.multiplier:
            return 0
        over, under = ratio(self.multiplier)
        return base * over // under - base


NO_STANDING = Standing()


class TierRules(msgspec.Struct, frozen=True):
    """The tiers of a published rule set, the lowest first, with their multipliers.

    effective_time in microseconds since 1970-01-01 UTC.
    """

    group: str
    version: int
    effective_time: int
    multipliers: dict[str, str]


class TierBook:
    """The published rule sets of every tier group, and which is in force when."""

    def __init__(self, rule_sets: Sequence[TierRules] = (), *, newest: int = 0) -> None:
        """newest is how many are kept, for who asks whether there are more."""
        self.newest = newest
        self._groups: dict[str, list[TierRules]] = {}
        for rules in sorted(rule_sets, key=lambda each: (each.effective_time, each.version)):
            self._groups.setdefault(rules.group, []).append(rules)
        self._times = {
            group: [each.effective_time for each in listed]
            for group, listed in self._groups.items()
        }

    def standing(self, tiers: Mapping[str, str], business_time: int, *, member: bool) -> Standing:
        """By what a sale earns. tiers are the wallet's by group; a member without one is in the
        lowest. Of several groups the highest multiplier counts.
        """
        found = NO_STANDING
        highest_over, highest_under = 1, 1
        for group, listed in self._groups.items():
            place = bisect_right(self._times[group], business_time)
            if not place:
                continue
            rules = listed[place - 1]
            tier = tiers.get(group) or (next(iter(rules.multipliers), "") if member else "")
            multiplier = rules.multipliers.get(tier, "1")
            over, under = ratio(multiplier)
            if over * highest_under > highest_over * under:
                highest_over, highest_under = over, under
                found = Standing(tier, multiplier, rules.version)
        return found
