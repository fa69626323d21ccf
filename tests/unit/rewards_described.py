"""Rewards as tests describe them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.rewards.domain.rewards import Definition, Kind, Texts, VoucherDefinition
from services.rewards.domain.vouchers import Use, Voucher

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MEMBER = UUID("00000000-0000-4000-8000-000000000001")


def definition(**fields: Any) -> Definition:
    """A coffee for 100 points, for everybody, everywhere, for ever, unless fields differ."""
    usual = {
        "kind": Kind.VOUCHER,
        "texts": {"en": Texts("A coffee")},
        "default_language": "en",
        "points": 100,
    }
    return Definition(**{**usual, **fields})


def gift(**fields: Any) -> VoucherDefinition:
    """Ten francs that may be spent in parts."""
    usual = {"value_minor": 1000, "currency_code": "CHF", "partial_use": True}
    return VoucherDefinition(**{**usual, **fields})


def voucher(**fields: Any) -> Voucher:
    """A voucher without a value that does not expire."""
    usual = {
        "id": UUID("00000000-0000-4000-8000-0000000000aa"),
        "code": "any",
        "member_id": MEMBER,
        "reward_id": "coffee",
        "version": 1,
        "redemption_id": UUID("00000000-0000-4000-8000-0000000000bb"),
        "issue_time": NOON,
        "expire_time": None,
        "value_minor": 0,
        "balance_minor": 0,
        "currency_code": "",
        "partial_use": False,
    }
    return Voucher(**{**usual, **fields})


def gift_voucher(**fields: Any) -> Voucher:
    usual = {
        "value_minor": 1000,
        "balance_minor": 1000,
        "currency_code": "CHF",
        "partial_use": True,
    }
    return voucher(**{**usual, **fields})


def at_till(**fields: Any) -> Use:
    """A use at store 31, at noon."""
    usual = {
        "store": "31",
        "terminal": "4",
        "receipt_number": "R-1",
        "amount_minor": 0,
        "currency_code": "",
        "business_time": NOON,
    }
    return Use(**{**usual, **fields})
