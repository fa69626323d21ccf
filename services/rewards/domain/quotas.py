"""How many of a reward may be taken: in all, on a day, in a store, by a member in a period.

All are counted alike. A quota's key says of what it is; who takes a piece takes one of each of the
quotas that it falls under, or none at all.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeAlias
from uuid import UUID

from services.plumbing.errors import Refused
from services.rewards.domain.periods import first_day
from services.rewards.domain.refusals import MemberLimitReached, OutOfStock
from services.rewards.domain.rewards import MemberLimit, Period, StockSettings


class QuotaKind(StrEnum):
    """What a quota is of; a member's are one for each period."""

    TOTAL = "total"
    DAY = "day"
    STORE = "store"
    MEMBER_DAY = "member_day"
    MEMBER_WEEK = "member_week"
    MEMBER_MONTH = "member_month"
    MEMBER_YEAR = "member_year"
    MEMBER_EVER = "member_ever"


STOCK = (QuotaKind.TOTAL, QuotaKind.DAY, QuotaKind.STORE)
MEMBER_KINDS: Mapping[Period, QuotaKind] = {
    period: QuotaKind(f"member_{period}") for period in Period
}
PERIODS: Mapping[QuotaKind, Period] = {kind: period for period, kind in MEMBER_KINDS.items()}
# What never begins anew has begun then.
ALWAYS = date.min


# How long a period is at most, of the quotas that begin anew.
PERIOD_DAYS_MAX: Mapping[QuotaKind, int] = {
    QuotaKind.DAY: 1,
    QuotaKind.MEMBER_DAY: 1,
    QuotaKind.MEMBER_WEEK: 7,
    QuotaKind.MEMBER_MONTH: 31,
    QuotaKind.MEMBER_YEAR: 366,
}
# Longer than the clocks of servers differ.
KEPT_DAYS = 30


class QuotaKey(NamedTuple):
    """Their order is the order in which they are locked."""

    reward_id: str
    kind: QuotaKind
    # The store or the member; empty for the others.
    holder: str
    # The first of the days it counts; ALWAYS where it never begins anew.
    first_day: date


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many of a quota may be taken; pieces of those beside it count as well."""

    most: int
    # A member's: the same of those who are merged with them.
    beside: tuple[QuotaKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Taking:
    """How many pieces are wanted of a quota, and how many of it may be taken."""

    pieces: int
    most: int


# What is allowed of each quota that a redemption falls under.
Claim: TypeAlias = Mapping[QuotaKey, Allowed]


def claim(
    reward_id: str,
    stock: StockSettings,
    limits: Iterable[MemberLimit],
    *,
    member_id: UUID,
    others: Iterable[UUID] = (),
    store: str,
    day: date,
) -> Claim:
    """The quotas that a redemption on a day (UTC) falls under.

    others are those with whom the member is merged.
    """
    found: dict[QuotaKey, Allowed] = {}
    if stock.total is not None:
        found[QuotaKey(reward_id, QuotaKind.TOTAL, "", ALWAYS)] = Allowed(stock.total)
    if stock.per_day is not None:
        found[QuotaKey(reward_id, QuotaKind.DAY, "", day)] = Allowed(stock.per_day)
    if store in stock.stores:
        found[QuotaKey(reward_id, QuotaKind.STORE, store, ALWAYS)] = Allowed(stock.stores[store])
    for limit in limits:
        begin = first_day(limit.period, day)
        kind = MEMBER_KINDS[limit.period]
        own = QuotaKey(reward_id, kind, str(member_id), begin)
        beside = tuple(own._replace(holder=str(other)) for other in others)
        found[own] = Allowed(limit.most, beside)
    return found


def looked_at(claims: Iterable[Claim]) -> dict[QuotaKey, int]:
    """Every quota that decides about claims, and the most that is allowed of each."""
    found: dict[QuotaKey, int] = {}
    for wanted in claims:
        for own, allowed in wanted.items():
            for key in (own, *allowed.beside):
                found[key] = max(allowed.most, found.get(key, 0))
    return found


def at_once(claims: Collection[Claim]) -> dict[QuotaKey, Taking] | None:
    """What claims take together, where all can be granted by looking at each quota by itself.

    None where pieces beside it count as well, or claims differ in how many may be taken.
    """
    found: dict[QuotaKey, Taking] = {}
    for wanted in claims:
        for key, allowed in wanted.items():
            before = found.get(key, Taking(0, allowed.most))
            if allowed.beside or before.most != allowed.most:
                return None
            found[key] = Taking(before.pieces + 1, allowed.most)
    return found


def useless_before(day: date) -> dict[QuotaKind, date]:
    """Of each kind, the first day of the oldest quota that may still decide about anything."""
    return {
        kind: day - timedelta(days=period + KEPT_DAYS) for kind, period in PERIOD_DAYS_MAX.items()
    }


def take(claims: Iterable[Claim], taken: Mapping[QuotaKey, int]) -> list[Refused | None]:
    """Who gets a piece, in this order, beside what is taken already: None, or why not."""
    running = dict(taken)
    answers: list[Refused | None] = []
    for wanted in claims:
        answers.append(_lacking(wanted, running))
        if answers[-1] is None:
            for key in wanted:
                running[key] += 1
    return answers


def pieces(taken: Iterable[Collection[QuotaKey]]) -> dict[QuotaKey, int]:
    """How many of each quota these are who take a piece of several."""
    return dict(Counter(key for keys in taken for key in keys))


def _lacking(wanted: Claim, taken: Mapping[QuotaKey, int]) -> Refused | None:
    for own, allowed in wanted.items():
        if sum(taken[key] for key in (own, *allowed.beside)) >= allowed.most:
            period = PERIODS.get(own.kind)
            if period is None:
                return OutOfStock(own.kind)
            return MemberLimitReached(period, allowed.most)
    return None
