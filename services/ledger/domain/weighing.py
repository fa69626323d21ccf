"""How rules stand beside each other: which of them count, what one rounding for a whole sale gives
each, and what the cap on a sale leaves.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import groupby
from typing import TypeVar

from services.ledger.domain.policy import Combination, Counting, PointKind, Policy, Rule

# What a rule found in a basket; of no concern here.
Match = TypeVar("Match")
# A rule and the points it would give by itself: whole, or exact where a sale is rounded once.
Candidate = tuple[Rule, Match, Fraction]
# What a rule gives of one kind.
Share = tuple[Rule, Match, PointKind, int]
Weighed = tuple[Rule, Match, tuple[PointKind, ...], int]
Round = Callable[[int, int], int]


def weigh(
    candidates: Sequence[Candidate[Match]], policy: Policy, rounded: Round
) -> list[Weighed[Match]]:
    """What rules give beside each other, a kind apart where it differs; none gives zero."""
    chosen = counting(candidates, policy.settings.combination)
    if policy.settings.counting is Counting.PER_SALE:
        shares = rounded_once(chosen, rounded)
    else:
        shares = [(rule, match, kind, int(p)) for rule, match, p in chosen for kind in rule.kinds]
    if policy.points_per_sale_max:
        shares = within_cap(shares, policy.points_per_sale_max)
    weighed = []
    for (_, points), alike in groupby((s for s in shares if s[3]), key=lambda s: (s[0].rule, s[3])):
        same = list(alike)
        weighed.append((same[0][0], same[0][1], tuple(kind for _, _, kind, _ in same), points))
    return weighed


def counting(
    candidates: Sequence[Candidate[Match]], combination: Combination
) -> list[Candidate[Match]]:
    """The rules that count, in the order they are considered."""
    chosen = list(candidates)
    if combination is Combination.HIGHEST_PRIORITY_ONLY:
        chosen = chosen[:1]
    elif combination is Combination.HIGHEST_ONLY and chosen:
        chosen = [max(chosen, key=_redeemable)]
    for position, (rule, _, _) in enumerate(chosen, 1):
        if rule.stops_others:
            return chosen[:position]
    return chosen


def _redeemable(candidate: Candidate[Match]) -> Fraction:
    rule, _, points = candidate
    return points if PointKind.REDEEMABLE in rule.kinds else Fraction(0)


def rounded_once(candidates: Iterable[Candidate[Match]], rounded: Round) -> list[Share[Match]]:
    """Round the sum over all rules once for each kind.

    Each rule gets what it adds to the rounded sum of those before it.
    """
    exact = dict.fromkeys(PointKind, Fraction(0))
    given = dict.fromkeys(PointKind, 0)
    shares = []
    for rule, match, points in candidates:
        for kind in rule.kinds:
            exact[kind] += points
            so_far = rounded(*exact[kind].as_integer_ratio())
            shares.append((rule, match, kind, so_far - given[kind]))
            given[kind] = so_far
    return shares


def within_cap(shares: Iterable[Share[Match]], points_max: int) -> list[Share[Match]]:
    """The first so many redeemable points; qualifying points know no cap on the sale."""
    left = points_max
    capped = []
    for rule, match, kind, wanted in shares:
        points = wanted
        if kind is PointKind.REDEEMABLE:
            points = min(wanted, left)
            left -= points
        capped.append((rule, match, kind, points))
    return capped
