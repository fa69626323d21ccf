"""What the demo's households redeem and lose, worked out a second time: a plain loop over the
published files' sales.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import duckdb

from tests.journeys import tiers_by_hand
from tests.journeys.tiers_by_hand import FIRST_DAY, LAST_DAY, TiersByHand

DAY = timedelta(days=1)
EXPIRE_AFTER_MONTHS = 9
# The catalogue in the order in which a household looks through it: reward and price.
REWARDS = (
    ("espresso-machine", 3_000),
    ("knife-set", 2_400),
    ("wine-tasting", 2_000),
    ("picnic-basket", 1_900),
    ("gift-card-20", 1_800),
    ("cinema-for-two", 1_700),
    ("cooking-class", 1_650),
    ("coffee-and-cake", 1_600),
    ("tree-planted", 1_550),
    ("voucher-15", 1_500),
)


@dataclass(frozen=True)
class SpendingByHand:
    """Points redeemed and expired, how often a household lost some and each reward was taken, and
    what is left.
    """

    redeemed_points: int
    expired_points: int
    expiries: int
    taken: dict[str, int]
    left: dict[int, int]

    @property
    def redemptions(self) -> int:
        return sum(self.taken.values())


@dataclass
class Lot:
    """Points of one day. They can be spent until the day before they expire."""

    expires: date
    points: int


def work_out(baskets: duckdb.DuckDBPyConnection, tiers: TiersByHand) -> SpendingByHand:
    earned: dict[int, Counter[date]] = defaultdict(Counter)
    bought: dict[int, set[date]] = defaultdict(set)
    for household, day, base, produce in baskets.execute(POINTS_BY_BASKET).fetchall():
        tier = tiers_by_hand.tier_on(day, tiers.changes[household])
        earned[household][day] += base * tiers_by_hand.HUNDREDTHS[tier] // 100 + produce
        bought[household].add(day)
    taken: Counter[str] = Counter()
    redeemed = expired = expiries = 0
    left = {}
    for household, by_day in earned.items():
        left[household], rewards, lost = _live(by_day, bought[household])
        taken.update(reward for reward, _ in rewards)
        redeemed += sum(price for _, price in rewards)
        expired += sum(lost)
        expiries += len(lost)
    return SpendingByHand(redeemed, expired, expiries, dict(taken), left)


def _live(
    earned: Mapping[date, int], bought: set[date]
) -> tuple[int, list[tuple[str, int]], list[int]]:
    """A household's year: the points it is left with, what it redeemed, and what expired each
    night.
    """
    # The oldest first, which is both how they are spent and how they expire.
    lots: deque[Lot] = deque()
    rewards, lost, balance = [], [], 0
    day = FIRST_DAY
    while day <= LAST_DAY:
        if day in bought:
            lots.append(Lot(months_later(day), earned[day]))
            balance += earned[day]
            found = next((r for r in REWARDS if r[1] <= balance), None)
            if found:
                rewards.append(found)
                balance -= found[1]
                _spend(lots, found[1])
        day += DAY
        over = 0
        while lots and lots[0].expires <= day:
            over += lots.popleft().points
        if over:
            lost.append(over)
            balance -= over
    return balance, rewards, lost


def _spend(lots: deque[Lot], points: int) -> None:
    for lot in lots:
        taken = min(lot.points, points)
        lot.points -= taken
        points -= taken
    assert not points


@cache
def months_later(day: date) -> date:
    """The same day nine months later, or the last of that month."""
    month = day.month - 1 + EXPIRE_AFTER_MONTHS
    first = date(day.year + month // 12, month % 12 + 1, 1)
    last = (first + 31 * DAY).replace(day=1) - DAY
    return first.replace(day=min(day.day, last.day))


POINTS_BY_BASKET = """
SELECT household_id, day,
    CASE WHEN earns THEN eligible_cents // 100 ELSE 0 END::BIGINT,
    CASE WHEN earns THEN produce_cents // 100 ELSE 0 END::BIGINT
FROM (SELECT *, NOT second_half OR eligible_cents >= 500 AS earns FROM baskets)
"""
