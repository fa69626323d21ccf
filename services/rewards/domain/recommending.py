"""What a member may like. Plain rules, to be replaced by better ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from services.rewards.domain.offering import Shown

# Nearly affordable is what at least this part of the price is there for.
NEARLY = Fraction(3, 4)
# So many of those that a tier takes most are popular.
POPULAR_MOST = 3


class Cause(StrEnum):
    """Why a reward is recommended; the better reason comes first."""

    AFFORDABLE = "affordable"
    NEARLY_AFFORDABLE = "nearly_affordable"
    POPULAR = "popular"


RANK = {cause: rank for rank, cause in enumerate(Cause)}


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A reward, why it is recommended, and how many points are still missing."""

    shown: Shown
    cause: Cause
    missing_points: int


def recommend(
    offers: Sequence[Shown],
    *,
    available_points: int,
    redemptions: Mapping[str, int],
    limit: int,
) -> list[Recommendation]:
    """The best first: what can be afforded, what nearly can, and what is popular though it cannot.

    Within each what is taken more comes before, then what costs more, then by name. What is used
    up is left out. redemptions says how often members of the same tier took each reward.
    """
    popular = sorted(redemptions, key=lambda reward_id: (-redemptions[reward_id], reward_id))
    found = []
    for shown in offers:
        if shown.stock_left == 0 or shown.member_left == 0:
            continue
        missing = max(0, shown.points - available_points)
        cause = _cause(shown, missing, popular[:POPULAR_MOST])
        if cause is not None:
            found.append(Recommendation(shown, cause, missing))
    found.sort(
        key=lambda each: (
            RANK[each.cause],
            -redemptions.get(each.shown.offer.reward_id, 0),
            -each.shown.points,
            each.shown.offer.reward_id,
        )
    )
    return found[:limit]


def _cause(shown: Shown, missing_points: int, popular: Sequence[str]) -> Cause | None:
    if not missing_points:
        return Cause.AFFORDABLE
    if shown.points - missing_points >= shown.points * NEARLY:
        return Cause.NEARLY_AFFORDABLE
    return Cause.POPULAR if shown.offer.reward_id in popular else None
