"""Earn policies: versions of rules, and which version applies when."""

import enum
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from services.ledger.domain.point_life import NO_LIMITS, Expiry, PointLife
from services.ledger.domain.standing import TIER_RULE
from services.ledger.domain.transfer_rules import TransferRules
from services.plumbing.errors import FieldViolation, Invalid


class PointKind(enum.IntEnum):
    """Redeemable points can be spent; qualifying points count for status."""

    REDEEMABLE = 1
    QUALIFYING = 2


class Counting(enum.IntEnum):
    """Where amounts become points: once a rule, once a line, or once for the sale."""

    PER_RULE = 1
    PER_LINE = 2
    PER_SALE = 3


class Rounding(enum.IntEnum):
    FLOOR = 1
    HALF_UP = 2
    CEILING = 3


class RoundingMoment(enum.IntEnum):
    AFTER_MULTIPLIER = 1
    BEFORE_MULTIPLIER = 2


class Combination(enum.IntEnum):
    ADD = 1
    HIGHEST_ONLY = 2
    HIGHEST_PRIORITY_ONLY = 3


class TaxBasis(enum.IntEnum):
    GROSS = 1
    NET = 2


class DiscountBasis(enum.IntEnum):
    AFTER = 1
    BEFORE = 2


class Clawback(enum.IntEnum):
    """What a return does about points already spent."""

    WITHIN_BALANCE = 1
    ALLOW_NEGATIVE = 2
    # Only what is still pending of the sale is taken back.
    PENDING_ONLY = 3


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    counting: Counting = Counting.PER_RULE
    rounding: Rounding = Rounding.FLOOR
    rounding_moment: RoundingMoment = RoundingMoment.AFTER_MULTIPLIER
    combination: Combination = Combination.ADD
    tax_basis: TaxBasis = TaxBasis.GROSS
    discount_basis: DiscountBasis = DiscountBasis.AFTER
    clawback: Clawback = Clawback.WITHIN_BALANCE
    shipping_earns: bool = False
    services_earn: bool = False


class LineCondition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fits a line when every list that is not empty has an entry that fits it."""

    # Each fits every path that begins with its segments; "*" stands for any one segment.
    categories: tuple[tuple[str, ...], ...] = ()
    skus: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()


class SaleCondition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fits a sale when every list that is not empty has an entry that fits it."""

    stores: frozenset[str] = frozenset()
    # 1 Monday to 7 Sunday.
    days_of_week: frozenset[int] = frozenset()
    hour_from: int = 0
    # Zero: no limit by hour.
    hour_until: int = 0
    time_zone: str = "UTC"


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Points for the lines that fit; exactly one of the three effects is set."""

    rule: str
    title: str
    kinds: tuple[PointKind, ...]
    # So many points for every so many minor units.
    points: int = 0
    per_minor: int = 0
    # The lines' points by the per-amount rules before this one, that many times.
    multiplier: str = ""
    fixed_points: int = 0
    lines: LineCondition = LineCondition()
    sale: SaleCondition = SaleCondition()
    eligible_minor_min: int = 0
    points_per_sale_max: int = 0
    priority: int = 0
    stops_others: bool = False
    # Whether a member's tier multiplies the redeemable points it gives.
    tier_multiplied: bool = False

    @property
    def extra_times(self) -> Fraction:
        """What a multiplier rule adds: 2.0 doubles, so it adds the points once more."""
        return Fraction(self.multiplier) - 1


class TillRedemption(msgspec.Struct, frozen=True, omit_defaults=True):
    """How points pay at the till: so many points are worth so much, in minor units."""

    points: int
    amount: int
    # Whether a basket earns on what was paid with points too.
    whole_basket_earns: bool = False
    # Whether points come back only when everything does.
    partial_return_keeps_points: bool = False


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of how sales earn; effective_time in microseconds since 1970-01-01 UTC."""

    version: int
    effective_time: int
    currency: str
    rules: tuple[Rule, ...]
    exclusions: tuple[LineCondition, ...] = ()
    eligible_minor_min: int = 0
    points_per_sale_max: int = 0
    settings: Settings = Settings()
    life: PointLife = NO_LIMITS
    redemption: TillRedemption | None = None
    transfers: TransferRules | None = None
    description: str = ""
    publisher: str = ""
    publish_time: int = 0


class PolicyBook:
    """The published versions, and which one a business time falls under."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        # Of versions effective at the same time the newest counts, so it stands last.
        self._in_time = sorted(policies, key=lambda p: (p.effective_time, p.version))
        self._times = [policy.effective_time for policy in self._in_time]
        self._by_version = {policy.version: policy for policy in policies}
        self.newest_version = max(self._by_version, default=0)

    def in_force(self, business_time: int) -> Policy | None:
        found = bisect_right(self._times, business_time)
        return self._in_time[found - 1] if found else None

    def has(self, version: int) -> bool:
        return version in self._by_version

    def version(self, version: int) -> Policy:
        return self._by_version[version]


def policy_json(policy: Policy) -> str:
    """The same text for the same policy, in every process: sets have no order of their own."""
    return msgspec.json.encode(policy, order="deterministic").decode()


def policy_from_json(text: str | bytes) -> Policy:
    return msgspec.json.decode(text, type=Policy)


class PolicyInvalid(Invalid):
    reason = "POLICY_INVALID"


def in_order(rules: Iterable[Rule]) -> list[Rule]:
    """Rules as they are considered: by priority, the given order among equals."""
    return sorted(rules, key=lambda rule: -rule.priority)


def check_rule(where: str, rule: Rule) -> list[FieldViolation]:
    """What is wrong with a rule by itself."""
    violations = []
    if rule.multiplier and rule.extra_times <= 0:
        violations.append(FieldViolation(f"{where}.multiplier", "must be above 1"))
    if rule.sale.hour_from and not rule.sale.hour_until:
        # Without an end the hours would not limit anything, which nobody means.
        violations.append(FieldViolation(f"{where}.sale.hour_until", "is missing; midnight is 24"))
    try:
        ZoneInfo(rule.sale.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A folder of zones, such as "America", cannot be opened as one.
        violations.append(FieldViolation(f"{where}.sale.time_zone", "is not an IANA time zone"))
    return violations


def check_life(life: PointLife) -> list[FieldViolation]:
    """What is wrong with how long points live."""
    counted = life.expiry in (Expiry.DAYS, Expiry.MONTHS, Expiry.INACTIVITY)
    if counted and not life.expiry_count:
        return [FieldViolation("policy.life.expiry_count", "must be above 0 for this expiry")]
    if life.expiry is Expiry.NEVER and life.expiry_count:
        return [FieldViolation("policy.life.expiry", "is missing for the count given")]
    return []


def check_transfers(rules: TransferRules | None) -> list[FieldViolation]:
    """What is wrong with how members may send points."""
    if rules is None or rules.largest is None or rules.points_min <= rules.largest:
        return []
    return [FieldViolation("policy.transfers.points_min", "is more than may be sent at once")]


def check(policy: Policy) -> None:
    """Refuses: PolicyInvalid, for what the message's own rules cannot say."""
    violations = []
    seen = set()
    with_base = in_order(policy.rules)
    while with_base and not with_base[0].per_minor:
        del with_base[0]
    for position, rule in enumerate(policy.rules):
        where = f"policy.rules[{position}]"
        if rule.rule in seen:
            violations.append(FieldViolation(f"{where}.rule", "is used twice"))
        if rule.rule == TIER_RULE:
            violations.append(FieldViolation(f"{where}.rule", "is kept for what a tier adds"))
        seen.add(rule.rule)
        if rule.multiplier and rule not in with_base:
            violations.append(
                FieldViolation(f"{where}.multiplier", "no per-amount rule is considered before it")
            )
        violations += check_rule(where, rule)
    for position, condition in enumerate(policy.exclusions):
        if condition == LineCondition():
            violations.append(
                FieldViolation(f"policy.exclusions[{position}]", "would exclude everything")
            )
    violations += check_life(policy.life)
    violations += check_transfers(policy.transfers)
    if violations:
        first = violations[0]
        raise PolicyInvalid(f"{first.field} {first.description}", violations=violations)
