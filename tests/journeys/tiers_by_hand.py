"""The demo's tiers worked out a second time: a plain loop over the published files' sales."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

TIERS = ("member", "silver", "gold", "platinum")
THRESHOLDS = (0, 500, 1_500, 4_000)
# Hundredths of the base points that a basket earns.
HUNDREDTHS = {"member": 100, "silver": 110, "gold": 125, "platinum": 150}
FIRST_DAY, LAST_DAY = date(2017, 1, 1), date(2018, 1, 1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class TiersByHand:
    """How many households end in each tier, and the changes of each: (first day, tier); what their
    tiers add to their points, and in how many baskets.
    """

    households: dict[str, int]
    changes: dict[int, list[tuple[date, str]]]
    added: dict[int, int]
    baskets_added_to: int

    @property
    def change_count(self) -> int:
        return sum(map(len, self.changes.values()))


def work_out(
    baskets: duckdb.DuckDBPyConnection, thresholds: Sequence[int] = THRESHOLDS
) -> TiersByHand:
    """thresholds are those of the tiers, in qualifying points."""
    points: dict[int, dict[date, int]] = defaultdict(dict)
    for household, day, earned in baskets.execute(POINTS_BY_DAY).fetchall():
        points[household][day] = earned
    changes = {
        household: list(_changes(earned, thresholds)) for household, earned in points.items()
    }
    ends = Counter(found[-1][1] if found else TIERS[0] for found in changes.values())
    added: Counter[int] = Counter()
    baskets_added_to = 0
    for household, day, earned in baskets.execute(BASE_BY_BASKET).fetchall():
        extra = earned * HUNDREDTHS[tier_on(day, changes[household])] // 100 - earned
        added[household] += extra
        baskets_added_to += extra > 0
    return TiersByHand({tier: ends[tier] for tier in TIERS}, changes, added, baskets_added_to)


def tier_on(day: date, changes: list[tuple[date, str]]) -> str:
    return next((tier for first_day, tier in reversed(changes) if first_day <= day), TIERS[0])


def _changes(points: dict[date, int], thresholds: Sequence[int]) -> Iterator[tuple[date, str]]:
    """A household's tier from close to close: up at once, kept a year, one step down."""
    tier, end, window = 0, date.max, 0
    day = FIRST_DAY
    while day <= LAST_DAY:
        window += points.get(day, 0) - points.get(day.replace(year=day.year - 1), 0)
        reached = max(place for place, needed in enumerate(thresholds) if window >= needed)
        tomorrow = day + DAY
        if reached > tier or (tomorrow == end and reached < tier):
            tier = max(reached, tier - 1)
            yield tomorrow, TIERS[tier]
            end = _year_later(tomorrow) if tier else date.max
        elif tomorrow == end:
            end = _year_later(tomorrow)
        day = tomorrow


def _year_later(day: date) -> date:
    # Neither 2017 nor 2018 has a 29 February.
    return day.replace(year=day.year + 1)


BASE_BY_BASKET = """
SELECT household_id, day, (eligible_cents // 100)::BIGINT
FROM baskets WHERE NOT second_half OR eligible_cents >= 500
"""

POINTS_BY_DAY = """
SELECT household_id, day, sum(CASE WHEN earns THEN eligible_cents // 100 ELSE 0 END)::BIGINT
FROM (SELECT *, NOT second_half OR eligible_cents >= 500 AS earns FROM baskets)
GROUP BY household_id, day
"""
