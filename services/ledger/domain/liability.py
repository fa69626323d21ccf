"""What the programme owes its members: outstanding points by age, the month's movement, what of
them will never be spent, and what another expiry would change. Pure; the day is an argument.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from services.ledger.domain.documents import Account
from services.ledger.domain.point_life import MICROS_PER_DAY, PointLife, day_number, expire_time
from services.ledger.domain.runoff import (
    COHORTS_MIN,
    Flow,
    Flows,
    History,
    Interval,
    RunOff,
    Span,
    history_of,
    jackknife,
    month_of,
    run_off,
)

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Points of lots earned on one day. last_day lies in the last month in which they can be spent,
    and after the day of the figures if they can be spent after it; None where they do not expire.
    """

    earn_day: date
    last_day: date | None
    points: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What an account gave wallets: before the month, in it up to the day, and after the day."""

    before: int = 0
    within: int = 0
    later: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """What the tables say of redeemable points. closing and opening stand outstanding at the end of
    the day and at the beginning of its month; account_points over all that was ever posted.
    """

    moved: Mapping[Account, Moved]
    account_points: int
    flows: Flows
    closing: Sequence[Outstanding]
    opening: Sequence[Outstanding]


@dataclass(frozen=True, slots=True)
class Movement:
    """A month up to a day: out of wallets when negative. Opening and the others add up to
    closing.
    """

    from_day: date
    opening: int
    issued: int
    burned: int
    expired: int
    adjusted: int
    transferred: int

    @property
    def closing(self) -> int:
        given = self.issued + self.adjusted + self.transferred
        return self.opening + given + self.burned + self.expired


@dataclass(frozen=True, slots=True)
class Cohort:
    """Points earned in one month that are outstanding, and those of them expected to be spent."""

    earn_month: int
    age_months: int
    points: int
    redeemed: int

    @property
    def breakage(self) -> int:
        return self.points - self.redeemed


@dataclass(frozen=True, slots=True)
class Breakage:
    """What of the outstanding points will never be spent; where it is not estimated, none."""

    estimated: bool
    cohorts: int
    expected: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Liability:
    """What the programme owes at the end of a day, in points."""

    as_of: date
    movement: Movement
    account_points: int
    later: int
    cohorts: Sequence[Cohort]
    breakage: Breakage
    # What of the opening points the same run-off would have expected to be spent.
    opening_redeemed: int
    ultimate_redemption_rate: float

    @property
    def outstanding(self) -> int:
        """Points of lots; what wallets owe is not deducted."""
        return sum(cohort.points for cohort in self.cohorts)

    @property
    def owed(self) -> int:
        return self.outstanding - self.movement.closing

    @property
    def redeemed(self) -> int:
        """Outstanding points that will probably be spent."""
        return self.outstanding - self.breakage.expected

    @property
    def ties(self) -> bool:
        """Whether the movement leads to what the programme's accounts say, to the point."""
        return self.movement.closing + self.later == self.account_points


@dataclass(frozen=True, slots=True)
class Changed:
    """What another expiry would make of the outstanding points."""

    lapsed: int
    breakage: int
    redeemed: int


def liability_of(books: Books, as_of: date) -> Liability:
    """The figures at the end of a day."""
    next_day = as_of + DAY
    history = history_of(books.flows, month_of(next_day))
    rates = believed(history)
    movement = movement_of(books.moved, as_of.replace(day=1))
    cohorts = cohorts_of(books.closing, next_day, rates)
    expected = sum(cohort.breakage for cohort in cohorts)
    outstanding = sum(cohort.points for cohort in cohorts)
    opening = cohorts_of(books.opening, movement.from_day, rates)
    burned, expired = (
        -(moved.before + moved.within)
        for moved in (books.moved.get(a, Moved()) for a in (Account.REDEMPTION, Account.BREAKAGE))
    )
    issued = burned + expired + outstanding
    redeemed = burned + outstanding - expected
    return Liability(
        as_of=as_of,
        movement=movement,
        account_points=books.account_points,
        later=sum(moved.later for moved in books.moved.values()),
        cohorts=cohorts,
        breakage=_breakage(history, books.closing, next_day, rates, expected),
        opening_redeemed=sum(cohort.redeemed for cohort in opening),
        ultimate_redemption_rate=min(max(redeemed / issued, 0.0), 1.0) if issued > 0 else 0.0,
    )


def changed_by(books: Books, as_of: date, life: PointLife) -> Changed:
    """What would be if all outstanding points had always lived as this says, and members spent at
    each age what they do. A life that depends on the member is not understood.
    """
    next_day = as_of + DAY
    rates = believed(history_of(books.flows, month_of(next_day)))
    relived = [
        Outstanding(each.earn_day, last_day_of(life, each.earn_day), each.points)
        for each in books.closing
    ]
    living = [each for each in relived if each.last_day is None or each.last_day > as_of]
    lapsed = sum(each.points for each in relived) - sum(each.points for each in living)
    cohorts = cohorts_of(living, next_day, rates)
    redeemed = sum(cohort.redeemed for cohort in cohorts)
    return Changed(lapsed, sum(cohort.breakage for cohort in cohorts), redeemed)


def last_day_of(life: PointLife, earn_day: date) -> date | None:
    """The last day on which points earned on a day can be spent."""
    over = expire_time(life, day_number(earn_day) * MICROS_PER_DAY, None)
    if over is None:
        return None
    lived = (over - 1) // MICROS_PER_DAY - day_number(earn_day)
    return earn_day + timedelta(days=lived)


def movement_of(moved: Mapping[Account, Moved], from_day: date) -> Movement:
    def within(account: Account) -> int:
        return moved.get(account, Moved()).within

    return Movement(
        from_day=from_day,
        opening=sum(each.before for each in moved.values()),
        issued=within(Account.ISSUANCE),
        burned=within(Account.REDEMPTION),
        expired=within(Account.BREAKAGE),
        adjusted=within(Account.ADJUSTMENT),
        transferred=within(Account.TRANSFER),
    )


def believed(history: History) -> RunOff | None:
    """The run-off of a history that is long enough; else all points are expected to be spent, as
    IFRS 15 B46 asks of whoever cannot expect breakage.
    """
    return run_off(history.values()) if len(history) >= COHORTS_MIN else None


def cohorts_of(
    outstanding: Iterable[Outstanding], next_day: date, rates: RunOff | None
) -> list[Cohort]:
    """Points by month of earning, as seen at the beginning of a day. A month that has begun counts
    whole.
    """
    spans: dict[int, dict[Span, int]] = defaultdict(lambda: defaultdict(int))
    for each in outstanding:
        spans[month_of(each.earn_day)][_span(each, next_day)] += each.points
    cohorts = []
    for earn_month, by_span in sorted(spans.items()):
        if not any(by_span.values()):
            continue
        points = sum(by_span.values())
        redeemed = points if rates is None else round(_spent(by_span, rates))
        age = month_of(next_day - DAY) - earn_month
        cohorts.append(Cohort(earn_month, age, points, redeemed))
    return cohorts


def _span(each: Outstanding, next_day: date) -> Span:
    earned = month_of(each.earn_day)
    first = month_of(next_day) - earned
    if each.last_day is None:
        return Span(first, None)
    if each.last_day < next_day:
        return Span(first, first - 1)
    return Span(first, month_of(each.last_day) - earned)


def _spent(by_span: Mapping[Span, int], rates: RunOff) -> float:
    return sum(points * rates.spent(span) for span, points in by_span.items())


def _breakage(
    history: History,
    closing: Iterable[Outstanding],
    next_day: date,
    rates: RunOff | None,
    expected: int,
) -> Breakage:
    by_span: dict[Span, int] = defaultdict(int)
    for each in closing:
        by_span[_span(each, next_day)] += each.points
    outstanding = sum(by_span.values())
    if rates is None:
        return Breakage(estimated=False, cohorts=len(history), expected=0, low=0, high=outstanding)

    def never_spent(estimated: RunOff | None) -> float:
        return 0.0 if estimated is None else outstanding - _spent(by_span, estimated)

    found = _within(jackknife(history, never_spent), outstanding)
    return Breakage(True, len(history), expected, round(found.low), round(found.high))


def _within(found: Interval, most: int) -> Interval:
    """No fewer points than none break, and no more than there are."""
    return Interval(min(max(found.low, 0.0), most), min(max(found.high, 0.0), most))


def together(parts: Sequence[Books]) -> Books:
    """The books of several shards as one."""
    moved: dict[Account, Moved] = {}
    flows: dict[int, dict[int, Flow]] = defaultdict(dict)
    for part in parts:
        for account, more in part.moved.items():
            had = moved.get(account, Moved())
            moved[account] = Moved(
                had.before + more.before, had.within + more.within, had.later + more.later
            )
        for earn_month, by_month in part.flows.items():
            for month, flow in by_month.items():
                had_flow = flows[earn_month].get(month, Flow())
                flows[earn_month][month] = Flow(
                    had_flow.earned + flow.earned,
                    had_flow.burned + flow.burned,
                    had_flow.expired + flow.expired,
                )
    return Books(
        moved=moved,
        account_points=sum(part.account_points for part in parts),
        flows=flows,
        closing=[each for part in parts for each in part.closing],
        opening=[each for part in parts for each in part.opening],
    )
