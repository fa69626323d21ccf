"""What a till may take of a voucher."""

from datetime import timedelta
from typing import Any

import pytest

from services.plumbing.errors import Refused
from services.rewards.domain.rewards import VoucherDefinition
from services.rewards.domain.vouchers import Voucher, VoucherState, expire_time, revoke, use
from tests.unit.rewards_described import NOON, at_till, gift_voucher, voucher

SECOND = timedelta(seconds=1)


def refusal(held: Voucher, **wanted: Any) -> str:
    with pytest.raises(Refused) as refused:
        use(held, at_till(**wanted), stores=())
    return refused.value.reason


def test_voucher_without_a_value_is_used_once() -> None:
    used, amount = use(voucher(), at_till(), stores=())
    assert (used.kept_state, used.redeem_time, amount) == (VoucherState.REDEEMED, NOON, 0)
    assert refusal(used) == "VOUCHER_REDEEMED"


def test_gift_voucher_is_used_in_parts_until_nothing_is_left() -> None:
    used, amount = use(gift_voucher(), at_till(amount_minor=400), stores=())
    assert (used.kept_state, used.balance_minor, amount) == (VoucherState.ISSUED, 600, 400)
    assert refusal(used, amount_minor=601) == "AMOUNT_EXCEEDS_BALANCE"
    used, amount = use(used, at_till(amount_minor=600, currency_code="CHF"), stores=())
    assert (used.kept_state, used.balance_minor, amount) == (VoucherState.REDEEMED, 0, 600)
    assert refusal(used, amount_minor=1) == "VOUCHER_REDEEMED"


def test_gift_voucher_without_partial_use_is_used_as_a_whole() -> None:
    held = gift_voucher(partial_use=False)
    assert refusal(held, amount_minor=999) == "PARTIAL_USE_REFUSED"
    for amount in (0, 1000):
        assert use(held, at_till(amount_minor=amount), stores=())[1] == 1000


@pytest.mark.parametrize(
    ("held", "wanted", "reason"),
    [
        (voucher(), {"amount_minor": 5}, "VOUCHER_HAS_NO_VALUE"),
        (gift_voucher(), {}, "AMOUNT_NEEDED"),
        (gift_voucher(), {"amount_minor": 5, "currency_code": "EUR"}, "CURRENCY_DIFFERS"),
        (voucher(expire_time=NOON), {}, "VOUCHER_EXPIRED"),
        (revoke(voucher(), reason="lost", now=NOON), {}, "VOUCHER_REVOKED"),
    ],
)
def test_what_does_not_fit_the_voucher_is_refused(
    held: Voucher, wanted: dict[str, Any], reason: str
) -> None:
    assert refusal(held, **wanted) == reason


def test_voucher_is_for_its_rewards_stores() -> None:
    with pytest.raises(Refused) as refused:
        use(voucher(), at_till(store="32"), stores=("31",))
    assert refused.value.reason == "VOUCHER_NOT_FOR_STORE"
    assert use(voucher(), at_till(store="31"), stores=("31",))[0].was_used


def test_expiry_is_judged_by_the_tills_time() -> None:
    held = voucher(expire_time=NOON)
    assert use(held, at_till(business_time=NOON - SECOND), stores=())[0].was_used
    assert held.state(NOON - SECOND) is VoucherState.ISSUED
    assert held.state(NOON) is VoucherState.EXPIRED


def test_used_voucher_does_not_expire() -> None:
    used, _ = use(voucher(expire_time=NOON), at_till(business_time=NOON - SECOND), stores=())
    assert used.state(NOON + SECOND) is VoucherState.REDEEMED


def test_life_is_so_many_days_or_to_a_fixed_time_or_without_end() -> None:
    assert expire_time(VoucherDefinition(life_days=30), NOON) == NOON + timedelta(days=30)
    assert expire_time(VoucherDefinition(fixed_expire_time=NOON), NOON - SECOND) == NOON
    assert expire_time(VoucherDefinition(), NOON) is None


def test_revoking_again_changes_nothing() -> None:
    revoked = revoke(voucher(), reason="lost", now=NOON)
    assert revoked.kept_state is VoucherState.REVOKED
    assert revoke(revoked, reason="stolen", now=NOON + SECOND) is revoked


def test_used_voucher_cannot_be_revoked() -> None:
    used, _ = use(voucher(), at_till(), stores=())
    with pytest.raises(Refused) as refused:
        revoke(used, reason="lost", now=NOON)
    assert refused.value.reason == "VOUCHER_REDEEMED"


def test_rest_of_a_gift_voucher_can_be_revoked_but_not_undone() -> None:
    used, _ = use(gift_voucher(), at_till(amount_minor=1), stores=())
    assert revoke(used, reason="stolen", now=NOON).kept_state is VoucherState.REVOKED
    with pytest.raises(Refused) as refused:
        revoke(used, reason="cancelled", now=NOON, unused_only=True)
    assert refused.value.reason == "VOUCHER_REDEEMED"
