"""How points run off: which share of them is spent at which age, by what became of earlier ones.

The estimator is the life table, weighted by points. Of the points that were there at an age (whole
months since the month of earning) it takes the share that was burned, pooled over all months of
earning that were observed at that age:

    q(a) = sum of burned(i, a) / sum of exposed(i, a), over months of earning i
    spent(a, b) = 1 - product of (1 - q(k)), k = a..b

It is the product limit of Kaplan and Meier (Journal of the American Statistical Association 53,
1958): burning is the event; expiry and returns take points out of view, so that another expiry can
be asked for. Run-off by month of earning is how Gault, Llaguno and Menard estimate redemption rates
("Loyalty Rewards and Gift Card Programs: Basic Actuarial Estimation Techniques", Casualty Actuarial
Society E-Forum, Summer 2012). The interval is the jackknife's that leaves out one month of earning
at a time (Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", 1982): points of one
member are spent together, so a binomial of single points would be far too narrow. Nothing is drawn
by chance: the same books give the same figures. Pure; months are numbered year * 12 + month - 1.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

from services.ledger.domain.point_life import MONTHS_PER_YEAR

CONFIDENCE = 0.95
# Points that never expire: after so long the likelihood that they are spent is remote.
HORIZON_MONTHS = 120
# Ages at which less than this share of the most exposed age was seen say nothing.
CREDIBLE_SHARE = 0.01
# Older points run off as those of so many of the oldest ages that were seen.
TAIL_AGES = 3
COHORTS_MIN = 2


@dataclass(frozen=True, slots=True)
class Flow:
    """What became, in one month, of the points earned in one: credited less taken back, spent less
    given back, expired.
    """

    earned: int = 0
    burned: int = 0
    expired: int = 0


# By month of earning, then by the month in which it happened.
Flows = Mapping[int, Mapping[int, Flow]]


@dataclass(frozen=True, slots=True)
class Seen:
    """Points of one month of earning that were there at one age, and those burned of them."""

    exposed: int
    burned: int


# By month of earning, what was seen at each age from zero.
History = Mapping[int, Sequence[Seen]]


@dataclass(frozen=True, slots=True)
class Span:
    """The ages at which outstanding points can still be spent; last is None where they do not
    expire. It is empty where last lies before first.
    """

    first: int
    last: int | None


@dataclass(frozen=True, slots=True)
class RunOff:
    """The share burned at each age, of what is there; tail of all older ones."""

    rates: Sequence[float]
    tail: float

    def spent(self, span: Span) -> float:
        """The share of points that will be spent at these ages."""
        end = span.first + HORIZON_MONTHS if span.last is None else span.last + 1
        left = 1.0
        for age in range(span.first, end):
            left *= 1.0 - (self.rates[age] if age < len(self.rates) else self.tail)
        return 1.0 - left


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


def month_of(day: date) -> int:
    return day.year * MONTHS_PER_YEAR + day.month - 1


def month_name(month: int) -> str:
    """As YYYY-MM."""
    return f"{month // MONTHS_PER_YEAR:04d}-{month % MONTHS_PER_YEAR + 1:02d}"


def history_of(flows: Flows, until_month: int) -> dict[int, list[Seen]]:
    """What was seen in the months that are over, those before until_month."""
    history = {}
    for earn_month, by_month in sorted(flows.items()):
        there = 0
        seen = []
        for month in range(earn_month, until_month):
            flow = by_month.get(month, Flow())
            exposed = there + flow.earned
            seen.append(Seen(max(exposed, 0), flow.burned))
            there = exposed - flow.burned - flow.expired
        if any(each.exposed for each in seen):
            history[earn_month] = seen
    return history


def run_off(history: Iterable[Sequence[Seen]]) -> RunOff | None:
    """The life table of a history; None where nothing was ever spent, so that it says nothing."""
    exposed: list[int] = []
    burned: list[int] = []
    for seen in history:
        grown = len(seen) - len(exposed)
        exposed += [0] * grown
        burned += [0] * grown
        for age, each in enumerate(seen):
            exposed[age] += each.exposed
            burned[age] += each.burned
    least = CREDIBLE_SHARE * max(exposed, default=0)
    ages = next((age for age, points in enumerate(exposed) if points <= least), len(exposed))
    if sum(burned[:ages]) <= 0:
        return None
    rates = [_share(burned[age], exposed[age]) for age in range(ages)]
    oldest = slice(max(ages - TAIL_AGES, 0), ages)
    return RunOff(rates, _share(sum(burned[oldest]), sum(exposed[oldest])))


def _share(part: int, whole: int) -> float:
    """Within 0 and 1: more may come back in a month than is spent in it."""
    return min(max(part / whole, 0.0), 1.0)


def jackknife(history: History, estimate: Callable[[RunOff | None], float]) -> Interval:
    """The interval around an estimate by what it would be without each month of earning in turn:

        variance = (n - 1) / n * sum of (estimate without i - their mean) ** 2

    and Student's t with n - 1 degrees of freedom.
    """
    without = [
        estimate(run_off(seen for earned, seen in history.items() if earned != left_out))
        for left_out in history
    ]
    count = len(without)
    mean = sum(without) / count
    variance = (count - 1) / count * sum((each - mean) ** 2 for each in without)
    half = student_t(count - 1) * math.sqrt(variance)
    whole = estimate(run_off(history.values()))
    return Interval(whole - half, whole + half)


def student_t(degrees: int) -> float:
    """The two-sided quantile of Student's t for CONFIDENCE, by the expansion of Abramowitz and
    Stegun, "Handbook of Mathematical Functions", 26.7.5.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3
