"""Vouchers: how long they live, and what a till may take of them."""

import enum
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.rewards.domain.refusals import (
    AmountExceedsBalance,
    AmountNeeded,
    CurrencyDiffers,
    PartialUseRefused,
    VoucherAlreadyRedeemed,
    VoucherExpired,
    VoucherHasNoValue,
    VoucherNotForStore,
    VoucherRevoked,
)
from services.rewards.domain.rewards import VoucherDefinition


class VoucherState(enum.StrEnum):
    ISSUED = "issued"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher of a member. Its code is kept as it is: the member sees it whenever they ask.

    A hash would not do for that; a key that lies beside every server would open the same doors as
    the database does. So nothing but the member's app and the answer to a redemption ever has it:
    no log, no event, no error. Amounts are in minor units; value 0 is a voucher without a value.
    """

    id: UUID
    code: str
    member_id: UUID
    reward_id: str
    version: int
    redemption_id: UUID
    issue_time: datetime
    expire_time: datetime | None
    value_minor: int
    balance_minor: int
    currency_code: str
    partial_use: bool
    # Of the three that are not a matter of time.
    kept_state: VoucherState = VoucherState.ISSUED
    redeem_time: datetime | None = None
    revoke_time: datetime | None = None
    revoke_reason: str = ""

    def state(self, now: datetime) -> VoucherState:
        if self.kept_state is VoucherState.ISSUED and self.has_expired(now):
            return VoucherState.EXPIRED
        return self.kept_state

    def has_expired(self, now: datetime) -> bool:
        return self.expire_time is not None and now >= self.expire_time

    @property
    def was_used(self) -> bool:
        return self.redeem_time is not None


@dataclass(frozen=True, slots=True)
class Use:
    """What a till asks for. An amount of 0 is the whole voucher; time is the till's."""

    store: str
    terminal: str
    receipt_number: str
    amount_minor: int
    currency_code: str
    business_time: datetime


def expire_time(definition: VoucherDefinition, now: datetime) -> datetime | None:
    """When a voucher issued now expires; None for never."""
    if definition.life_days is not None:
        return now + timedelta(days=definition.life_days)
    return definition.fixed_expire_time


def use(voucher: Voucher, wanted: Use, *, stores: Collection[str]) -> tuple[Voucher, int]:
    """The voucher after it was used, and how much of its value. stores are its reward's, if any.

    Refuses: VoucherRevoked, VoucherAlreadyRedeemed, VoucherExpired, VoucherNotForStore, and what
    `amount_to_take` refuses.
    """
    if voucher.kept_state is VoucherState.REVOKED:
        raise VoucherRevoked
    if voucher.kept_state is VoucherState.REDEEMED:
        raise VoucherAlreadyRedeemed
    if voucher.has_expired(wanted.business_time):
        raise VoucherExpired
    if stores and wanted.store not in stores:
        raise VoucherNotForStore(wanted.store)
    amount = amount_to_take(voucher, wanted)
    balance = voucher.balance_minor - amount
    return with_balance(voucher, balance, time=wanted.business_time), amount


def amount_to_take(voucher: Voucher, wanted: Use) -> int:
    """How much of its value, 0 of one without.

    Refuses: VoucherHasNoValue, CurrencyDiffers, AmountNeeded, AmountExceedsBalance,
    PartialUseRefused.
    """
    if not voucher.value_minor:
        if wanted.amount_minor:
            raise VoucherHasNoValue
        return 0
    if wanted.currency_code and wanted.currency_code != voucher.currency_code:
        raise CurrencyDiffers(voucher.currency_code)
    if voucher.partial_use:
        if not wanted.amount_minor:
            raise AmountNeeded(voucher.balance_minor)
        if wanted.amount_minor > voucher.balance_minor:
            raise AmountExceedsBalance(voucher.balance_minor)
        return wanted.amount_minor
    if wanted.amount_minor not in (0, voucher.value_minor):
        raise PartialUseRefused(voucher.value_minor)
    return voucher.value_minor


def with_balance(voucher: Voucher, balance_minor: int, *, time: datetime) -> Voucher:
    """The voucher as a use at a time left it."""
    state = VoucherState.ISSUED if balance_minor else VoucherState.REDEEMED
    return replace(
        voucher,
        balance_minor=balance_minor,
        kept_state=state,
        redeem_time=time,
        revoke_time=None,
        revoke_reason="",
    )


def give_back(voucher: Voucher, amount_minor: int, *, last_use_time: datetime | None) -> Voucher:
    """The voucher without one of its uses; last_use_time is of those that are left.

    Refuses: VoucherRevoked.
    """
    if voucher.kept_state is VoucherState.REVOKED:
        raise VoucherRevoked
    return replace(
        voucher,
        balance_minor=voucher.balance_minor + amount_minor,
        kept_state=VoucherState.ISSUED,
        redeem_time=last_use_time,
    )


def revoke(voucher: Voucher, *, reason: str, now: datetime, unused_only: bool = False) -> Voucher:
    """The voucher made worthless; one that was revoked stays as it is.

    Refuses: VoucherAlreadyRedeemed; with unused_only also where a part of its value was used.
    """
    if voucher.kept_state is VoucherState.REVOKED:
        return voucher
    if voucher.kept_state is VoucherState.REDEEMED or (unused_only and voucher.was_used):
        raise VoucherAlreadyRedeemed
    return replace(voucher, kept_state=VoucherState.REVOKED, revoke_time=now, revoke_reason=reason)
