"""Rule sets: which tiers there are, what reaches and keeps them, and what they are worth."""

import enum
from collections.abc import Iterator, Mapping
from fractions import Fraction

import msgspec

from services.plumbing.errors import Invalid


class Measure(enum.StrEnum):
    """What thresholds are set on, by the name of its column. Points are qualifying points."""

    POINTS = "points"
    SPEND = "spend_minor"
    VISITS = "visits"


class Join(enum.StrEnum):
    """Whether one of several thresholds is enough, or all of them are needed."""

    ANY = "any"
    ALL = "all"


class Evaluation(enum.StrEnum):
    """When a tier that was reached begins: the day after the close that saw it, or the same day.

    The day is evaluated at its close in either case; a service may announce what AT_EVENT gives
    for the open day as its events arrive.
    """

    AT_CLOSE = "at_close"
    AT_EVENT = "at_event"


class Downgrade(enum.StrEnum):
    """What becomes of a tier that is not kept: it stays, one step down, or what the sums keep."""

    NONE = "none"
    ONE_STEP = "one_step"
    FULL = "full"


class Counting(enum.StrEnum):
    """Whether what reached or kept a tier goes on counting, or is deducted and counts no more."""

    KEPT = "kept"
    DEDUCTED = "deducted"


class Amounts(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """So much of each measure."""

    points: int = 0
    spend_minor: int = 0
    visits: int = 0

    def of(self, measure: Measure) -> int:
        return {
            Measure.POINTS: self.points,
            Measure.SPEND: self.spend_minor,
            Measure.VISITS: self.visits,
        }[measure]


class Requirement(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Thresholds on sums of a window; a threshold of zero does not count as one."""

    points: int = 0
    spend_minor: int = 0
    visits: int = 0
    join: Join = Join.ANY

    def thresholds(self) -> dict[Measure, int]:
        given = Amounts(self.points, self.spend_minor, self.visits)
        return {measure: given.of(measure) for measure in Measure if given.of(measure)}


class Bar(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What attains a tier, and what retains it; without a retain the same does both."""

    attain: Requirement
    retain: Requirement | None = None

    @property
    def to_retain(self) -> Requirement:
        return self.retain or self.attain


class Benefits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a tier is worth. The multiplier is decimal text, on base redeemable points."""

    earn_multiplier: str = "1"
    early_access: tuple[str, ...] = ()
    other: Mapping[str, str] = {}

    @property
    def multiplier(self) -> Fraction:
        return Fraction(self.earn_multiplier)


class Tier(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One tier. The first of a rule set is everybody's and has no bar.

    A member for whom any bar is met has reached it: its own, or that of an audience they belong
    to. An invitation-only tier is for members invited to it, and without a bar the invitation is
    enough. The lifetime requirement is on sums of all time; while it is met the tier stays.
    """

    code: str
    name: str
    bar: Bar | None = None
    audiences: Mapping[str, Bar] = {}
    invitation_only: bool = False
    lifetime: Requirement | None = None
    benefits: Benefits = Benefits()


class RollingMonths(msgspec.Struct, frozen=True, tag="rolling_months", forbid_unknown_fields=True):
    """At the close of day D the days in (D - months, D] count; a day a month lacks is its last."""

    months: int


class CalendarYear(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    tag="calendar_year",
    forbid_unknown_fields=True,
):
    """The year that begins with the first of first_month; it is named for where it begins."""

    first_month: int = 1


class AnniversaryYear(
    msgspec.Struct, frozen=True, tag="anniversary_year", forbid_unknown_fields=True
):
    """The year that begins on each anniversary of enrolment; of 29 February, 28 in other years."""


Window = RollingMonths | CalendarYear | AnniversaryYear


class KeptMonths(msgspec.Struct, frozen=True, tag="months", forbid_unknown_fields=True):
    """So many months from the day after the close that gave a term; asked for again at its end."""

    months: int


class KeptToDate(msgspec.Struct, frozen=True, tag="date", forbid_unknown_fields=True):
    """Through this day of a later year; a day the month lacks is its last.

    The years are counted from the one in which the calendar-year window began, or else from the
    one of the day. Whenever the requirement to retain is met, the term that gives holds from then.
    """

    month: int
    day: int
    years_after: int


class KeptToPeriodEnd(msgspec.Struct, frozen=True, tag="period_end", forbid_unknown_fields=True):
    """Through the end of the window's year in which it was reached, and so many years more.

    Whenever the requirement to retain is met, the term that gives holds from then.
    """

    years_after: int


Keeping = KeptMonths | KeptToDate | KeptToPeriodEnd


class RuleSet(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Tiers from the lowest up, and how all of them are reached, kept and lost.

    Days are UTC dates, counted from 1970-01-01. A tier holds from its since until the day before
    its until. It is lost grace_days after the end of a term, unless kept meanwhile. A tier come
    down to is kept as one reached, or as keeping_after_downgrade says where the sums would not
    keep it. When a threshold is deducted, counting begins anew with the next day. Of what stands
    above the threshold when it is deducted, or when a window's year ends, carry_limit counts on:
    as if earned on the day of the deduction, or on the first day of the next year.
    """

    name: str
    tiers: tuple[Tier, ...]
    window: Window
    keeping: Keeping
    keeping_after_downgrade: Keeping | None = None
    evaluation: Evaluation = Evaluation.AT_CLOSE
    downgrade: Downgrade = Downgrade.ONE_STEP
    grace_days: int = 0
    counting: Counting = Counting.KEPT
    carry_limit: Amounts = Amounts()

    def index(self, code: str) -> int:
        """The place of a tier in the order, or -1 where there is none of this code."""
        for position, tier in enumerate(self.tiers):
            if tier.code == code:
                return position
        return -1

    def audiences(self) -> tuple[str, ...]:
        """The names of all audiences a tier has a bar for, in order."""
        return tuple(sorted({name for tier in self.tiers for name in tier.audiences}))


def requirements(rule_set: RuleSet) -> Iterator[Requirement]:
    """Every requirement of a rule set on the sums of its window."""
    for tier in rule_set.tiers:
        for bar in (tier.bar, *tier.audiences.values()):
            if bar is not None:
                yield bar.attain
                yield bar.to_retain


def lifetime_requirements(rule_set: RuleSet) -> list[Requirement]:
    return [tier.lifetime for tier in rule_set.tiers if tier.lifetime is not None]


class RuleSetInvalid(Invalid):
    reason = "RULE_SET_INVALID"


def encode(rule_set: RuleSet) -> bytes:
    """JSON; the same bytes for the same rule set, in every process."""
    return msgspec.json.encode(rule_set, order="deterministic")


def decode(text: bytes | str) -> RuleSet:
    """Refuses: RuleSetInvalid, for what is not the JSON of a rule set."""
    try:
        return msgspec.json.decode(text, type=RuleSet)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RuleSetInvalid(f"not a rule set: {error}") from None
