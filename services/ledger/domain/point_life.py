"""How long points live: when they can be spent, when they expire, which are spent first.

Times are microseconds since 1970-01-01 UTC, days are counted from then; business days are UTC's.
"""

import enum
from calendar import monthrange
from datetime import date
from functools import lru_cache

import msgspec

MICROS_PER_DAY = 86_400_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
MONTHS_PER_QUARTER = 3
MONTHS_PER_YEAR = 12


class Expiry(enum.IntEnum):
    """What the count of a policy's expiry counts, and to which end it is rounded up. Points expire
    with a day, never within one.
    """

    NEVER = 1
    # On the day so many days after they were earned.
    DAYS = 2
    # On the same day so many months later; the month's last day where it has no such day.
    MONTHS = 3
    # At the end of the month, quarter or calendar year that MONTHS would fall into.
    MONTH_END = 4
    QUARTER_END = 5
    YEAR_END = 6
    # At the first anniversary of the enrolment on or after what MONTHS gives.
    ANNIVERSARY = 7
    # So many months after the member was last active, at that day's end.
    INACTIVITY = 8


# Bound once: looking a member up in its class takes longer than the comparison.
ANNIVERSARY = Expiry.ANNIVERSARY
PERIODS = (Expiry.MONTH_END, Expiry.QUARTER_END, Expiry.YEAR_END)


class BurnOrder(enum.IntEnum):
    SOONEST_EXPIRY = 1
    OLDEST = 2


class Shortfall(enum.IntEnum):
    """What is done where more points are asked for than there are."""

    REFUSE = 1
    CLAMP = 2


class PointLife(msgspec.Struct, frozen=True, omit_defaults=True, cache_hash=True):
    """The life of the points a policy version gives."""

    # They become available so many days after the sale; zero: at once.
    pending_days: int = 0
    expiry: Expiry = Expiry.NEVER
    # Days or months, by the kind of expiry.
    expiry_count: int = 0
    # Whether they can still be spent on the day they expire (DAYS, MONTHS, ANNIVERSARY).
    last_day_counts: bool = False
    burn_order: BurnOrder = BurnOrder.SOONEST_EXPIRY
    shortfall: Shortfall = Shortfall.REFUSE
    # How long points live that are given back after their lot's time was over.
    refund_grace_days: int = 30


NO_LIMITS = PointLife()


class Term(msgspec.Struct, frozen=True, gc=False):
    """The life of one lot. expire_time is the first instant at which it can no longer be spent."""

    available_time: int | None = None
    expire_time: int | None = None
    # Above zero: the lot lives on so many months after whatever the member does.
    inactive_months: int = 0


FOREVER = Term()


def term(life: PointLife, earn_time: int, enrol_day: int | None) -> Term:
    """The term of points earned at a time. Without an enrolment their own day stands for it."""
    lived = _term_of_day(
        life, earn_time // MICROS_PER_DAY, enrol_day if life.expiry is ANNIVERSARY else None
    )
    if not life.pending_days:
        return lived
    available_time = earn_time + life.pending_days * MICROS_PER_DAY
    return Term(available_time, lived.expire_time, lived.inactive_months)


# Every sale of a day asks; only by anniversaries do members differ.
@lru_cache(maxsize=16_384)
def _term_of_day(life: PointLife, day: int, enrol_day: int | None) -> Term:
    """The term of points earned on a day, but for when they become available."""
    return Term(
        None,
        expire_time(life, day * MICROS_PER_DAY, enrol_day),
        life.expiry_count if life.expiry is Expiry.INACTIVITY else 0,
    )


def expire_time(life: PointLife, earn_time: int, enrol_day: int | None) -> int | None:
    """The first instant at which points earned at a time can no longer be spent."""
    kind = life.expiry
    if kind is Expiry.NEVER:
        return None
    day = earn_time // MICROS_PER_DAY
    due = day + life.expiry_count if kind is Expiry.DAYS else months_later(day, life.expiry_count)
    last_day_counts = life.last_day_counts
    if kind is Expiry.ANNIVERSARY:
        due = anniversary_from(due, day if enrol_day is None else enrol_day)
    elif kind is Expiry.INACTIVITY:
        last_day_counts = True
    elif kind in PERIODS:
        due, last_day_counts = period_end(due, kind), True
    return (due + last_day_counts) * MICROS_PER_DAY


def lives_until(expire_time: int, inactive_months: int, active_day: int | None) -> int:
    """When a lot expires that lives on with its member's activity."""
    if not inactive_months or active_day is None:
        return expire_time
    return max(expire_time, inactive_until(active_day * MICROS_PER_DAY, inactive_months))


def inactive_until(time: int, months: int) -> int:
    """When a lot expires so many months after a time, if nothing happens since."""
    return (months_later(time // MICROS_PER_DAY, months) + 1) * MICROS_PER_DAY


@lru_cache(maxsize=65_536)
def months_later(day: int, months: int) -> int:
    """The same day of the month so many months later; the last of the month where it has none."""
    there = date.fromordinal(day + _EPOCH_ORDINAL)
    year, month = divmod(there.year * MONTHS_PER_YEAR + there.month - 1 + months, MONTHS_PER_YEAR)
    last = monthrange(year, month + 1)[1]
    return day_number(date(year, month + 1, min(there.day, last)))


def period_end(day: int, kind: Expiry) -> int:
    """The last day of the month, quarter or year that a day lies in."""
    there = date.fromordinal(day + _EPOCH_ORDINAL)
    month = {
        Expiry.MONTH_END: there.month,
        Expiry.QUARTER_END: -(-there.month // MONTHS_PER_QUARTER) * MONTHS_PER_QUARTER,
        Expiry.YEAR_END: MONTHS_PER_YEAR,
    }[kind]
    return day_number(date(there.year, month, monthrange(there.year, month)[1]))


def anniversary_from(day: int, enrol_day: int) -> int:
    """The first anniversary of an enrolment on or after a day; of 29 February it is the 28th in
    other years.
    """
    there = date.fromordinal(day + _EPOCH_ORDINAL)
    enrolled = date.fromordinal(enrol_day + _EPOCH_ORDINAL)
    for year in (there.year, there.year + 1):
        last = monthrange(year, enrolled.month)[1]
        found = day_number(date(year, enrolled.month, min(enrolled.day, last)))
        if found >= day:
            return found
    raise AssertionError("an anniversary comes every year")


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH_ORDINAL
