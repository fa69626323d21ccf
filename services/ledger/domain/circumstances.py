"""What a decision depends on beside the wallet: the rules, the limits, the clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from services.ledger.domain import refusals
from services.ledger.domain.documents import Document
from services.ledger.domain.earning import Earning, tier_title
from services.ledger.domain.point_life import NO_LIMITS, PointLife
from services.ledger.domain.policy import Policy, PolicyBook
from services.ledger.domain.standing import TIER_RULE, TierBook

NO_TIERS = TierBook()


@dataclass(frozen=True, slots=True)
class Limits:
    """How far from now a business time may lie, in microseconds."""

    past: int
    future: int


class Rules:
    """The published policies, ready to earn by."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.book = PolicyBook(policies)
        self._earnings = {policy.version: Earning(policy) for policy in policies}

    @property
    def newest_version(self) -> int:
        return self.book.newest_version

    def title(self, version: int, rule: str) -> str:
        """What a rule of a version is called; empty for what no rule gave."""
        if not version:
            return ""
        return next((r.title for r in self.book.version(version).rules if r.rule == rule), "")

    def life_at(self, business_time: int) -> PointLife:
        """How points live by the policy in force; without one they live for ever."""
        policy = self.book.in_force(business_time)
        return policy.life if policy else NO_LIMITS

    def earning(self, version: int) -> Earning:
        return self._earnings[version]

    def earning_at(self, business_time: int, currency: str) -> Earning:
        """Refuses: NoPolicyInForce, WrongCurrency."""
        policy = self.book.in_force(business_time)
        if policy is None:
            raise refusals.NoPolicyInForce("no earn policy is in force at the business time")
        if policy.currency != currency:
            raise refusals.WrongCurrency(
                f"the programme counts in {policy.currency}, not in {currency}",
                expected=policy.currency,
                given=currency,
            )
        return self._earnings[policy.version]


class Circumstances(msgspec.Struct, frozen=True):
    """What a decision depends on beside the wallet: the rules, the limits, the clock, the next
    document's id, and the tiers' multipliers.
    """

    rules: Rules
    limits: Limits
    now: int
    next_id: Callable[[], int]
    tiers: TierBook = NO_TIERS


def with_titles(document: Document, rules: Rules) -> Document:
    """A document read from the journal, with what its entries' rules are called."""
    entries = [
        msgspec.structs.replace(
            entry,
            title=tier_title(document.standing)
            if entry.rule == TIER_RULE
            else rules.title(entry.policy_version, entry.rule),
        )
        for entry in document.entries
    ]
    return msgspec.structs.replace(document, entries=entries)


def check_time(business_time: int, circumstances: Circumstances) -> None:
    """Refuses: BusinessTimeInFuture, BusinessTimeTooOld."""
    if business_time > circumstances.now + circumstances.limits.future:
        raise refusals.BusinessTimeInFuture("the business time lies in the future")
    if business_time < circumstances.now - circumstances.limits.past:
        raise refusals.BusinessTimeTooOld("the business time lies too far in the past")
