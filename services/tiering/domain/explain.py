"""What a member is told about their tier: how far the next is, what keeps this one, in words."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal

from services.tiering.domain.calendar import to_date
from services.tiering.domain.columns import NEVER
from services.tiering.domain.rules import Amounts, Bar, Join, Measure, Requirement, RuleSet, Tier

NOTHING = Amounts()
PERCENT_MAX = 100
MINOR_DIGITS = 2
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class Situation:
    """A member's tier and where they stand.

    tier and earned are places in the rule set; until is the first day the tier in effect no
    longer holds, and sums are what counts in the window. A tier that is not the earned one was
    assigned by hand or reached in a lifetime.
    """

    tier: int
    until: int
    earned: int
    sums: Amounts
    invited_to: AbstractSet[str] = frozenset()
    audiences: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Standing:
    """next_tier is a place in the rule set, None at the top; percent is of the way to it.

    Of what is missing the amounts are alternatives where the join is ANY. to_stay is None for a
    tier that does not end, or that sums have nothing to do with.
    """

    next_tier: int | None
    to_next: Amounts
    to_next_join: Join
    percent: int
    to_stay: Amounts | None
    to_stay_join: Join
    sentence: str


def standing(rule_set: RuleSet, situation: Situation, *, currency: str = "") -> Standing:
    """Where a member stands. currency is written after amounts of money, in hundredths."""
    next_tier = _next_tier(rule_set, situation)
    to_next, to_next_join, percent = NOTHING, Join.ANY, PERCENT_MAX
    if next_tier is not None:
        asked = _nearest(_bars(rule_set.tiers[next_tier], situation), situation.sums, retain=False)
        if asked is not None:
            to_next, to_next_join = missing(asked, situation.sums), asked.join
            percent = progress_percent(asked, situation.sums)
    to_stay, to_stay_join = _to_stay(rule_set, situation)
    sentences = [_holds(rule_set.tiers[situation.tier], situation.until)]
    if to_stay is not None:
        sentences.append(_stays(to_stay, to_stay_join, currency))
    if next_tier is not None:
        sentences.append(_leads(rule_set.tiers[next_tier].name, to_next, to_next_join, currency))
    return Standing(
        next_tier, to_next, to_next_join, percent, to_stay, to_stay_join, " ".join(sentences)
    )


def missing(asked: Requirement, sums: Amounts) -> Amounts:
    """What is still to be added to sums; nothing where they meet the requirement."""
    gaps = {
        measure: max(threshold - sums.of(measure), 0)
        for measure, threshold in asked.thresholds().items()
    }
    if asked.join is Join.ANY and not all(gaps.values()):
        return NOTHING
    return Amounts(
        points=gaps.get(Measure.POINTS, 0),
        spend_minor=gaps.get(Measure.SPEND, 0),
        visits=gaps.get(Measure.VISITS, 0),
    )


def progress_percent(asked: Requirement, sums: Amounts) -> int:
    """From 0 to 100, rounded down: of the measure furthest on, or least far where all count."""
    shares = [
        min(max(sums.of(measure), 0) * PERCENT_MAX // threshold, PERCENT_MAX)
        for measure, threshold in asked.thresholds().items()
    ]
    return max(shares) if asked.join is Join.ANY else min(shares)


def _bars(tier: Tier, situation: Situation) -> list[Bar]:
    """The bars that count for the member, the lower ones of audiences first."""
    of_audiences = [bar for name, bar in tier.audiences.items() if name in situation.audiences]
    return [bar for bar in (*of_audiences, tier.bar) if bar is not None]


def _nearest(bars: list[Bar], sums: Amounts, *, retain: bool) -> Requirement | None:
    """Of several requirements the one of which most is done."""
    asked = [bar.to_retain if retain else bar.attain for bar in bars]

    def done(requirement: Requirement) -> tuple[bool, int]:
        return missing(requirement, sums) == NOTHING, progress_percent(requirement, sums)

    return max(asked, key=done, default=None)


def _next_tier(rule_set: RuleSet, situation: Situation) -> int | None:
    for place in range(situation.tier + 1, len(rule_set.tiers)):
        tier = rule_set.tiers[place]
        invited = tier.code in situation.invited_to
        if tier.invitation_only and not invited:
            continue
        if _bars(tier, situation) or tier.invitation_only:
            return place
    return None


def _to_stay(rule_set: RuleSet, situation: Situation) -> tuple[Amounts | None, Join]:
    tier = rule_set.tiers[situation.tier]
    if situation.until == NEVER or situation.earned != situation.tier:
        return None, Join.ANY
    asked = _nearest(_bars(tier, situation), situation.sums, retain=True)
    if asked is None:
        return None, Join.ANY
    return missing(asked, situation.sums), asked.join


def _holds(tier: Tier, until: int) -> str:
    if until == NEVER:
        return f"You are {tier.name}."
    last = to_date(until - 1)
    return f"You are {tier.name} until {last.day} {MONTHS[last.month - 1]} {last.year}."


def _stays(to_stay: Amounts, join: Join, currency: str) -> str:
    if to_stay == NOTHING:
        return "You have what it takes to stay for another term."
    return f"To stay, you need {_words(to_stay, join, currency)}."


def _leads(name: str, to_next: Amounts, join: Join, currency: str) -> str:
    if to_next == NOTHING:
        return f"You have what {name} takes."
    return f"For {name}, you need {_words(to_next, join, currency)}."


def _words(amounts: Amounts, join: Join, currency: str) -> str:
    """Such as "120 more points or 3 more visits"."""
    parts = []
    if amounts.points:
        parts.append(_counted(amounts.points, "point"))
    if amounts.spend_minor:
        money = f"{Decimal(amounts.spend_minor).scaleb(-MINOR_DIGITS):,.{MINOR_DIGITS}f}"
        parts.append(f"to spend {money} {currency}".rstrip() + " more")
    if amounts.visits:
        parts.append(_counted(amounts.visits, "visit"))
    return (" or " if join is Join.ANY else " and ").join(parts)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} more {noun}{'' if count == 1 else 's'}"
