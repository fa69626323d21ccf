"""Vouchers and their uses between the contract and the domain."""

from datetime import datetime

from loyalty.rewards.v1 import vouchers_pb2

from services.plumbing.timestamps import read_timestamp, timestamp
from services.rewards.domain.vouchers import Use, Voucher, VoucherState
from services.rewards.events import redemption_name, reward_name, voucher_name
from services.rewards.signing import Signer

STATES = {
    VoucherState.ISSUED: vouchers_pb2.Voucher.STATE_ISSUED,
    VoucherState.REDEEMED: vouchers_pb2.Voucher.STATE_REDEEMED,
    VoucherState.EXPIRED: vouchers_pb2.Voucher.STATE_EXPIRED,
    VoucherState.REVOKED: vouchers_pb2.Voucher.STATE_REVOKED,
}


def voucher_message(voucher: Voucher, now: datetime, signer: Signer | None) -> vouchers_pb2.Voucher:
    """A voucher as it is now; signed where it can be used and there is a signer."""
    state = voucher.state(now)
    message = vouchers_pb2.Voucher(
        name=voucher_name(voucher),
        state=STATES[state],
        code=voucher.code,
        reward=reward_name(voucher.reward_id),
        version=voucher.version,
        redemption=redemption_name(voucher.member_id, voucher.redemption_id),
        issue_time=timestamp(voucher.issue_time),
        value_minor=voucher.value_minor,
        balance_minor=voucher.balance_minor,
        currency_code=voucher.currency_code,
        partial_use=voucher.partial_use,
        revoke_reason=voucher.revoke_reason,
    )
    if signer is not None and state is VoucherState.ISSUED:
        message.token = signer.token(voucher)
    if voucher.expire_time is not None:
        message.expire_time.CopyFrom(timestamp(voucher.expire_time))
    if voucher.redeem_time is not None:
        message.redeem_time.CopyFrom(timestamp(voucher.redeem_time))
    if voucher.revoke_time is not None:
        message.revoke_time.CopyFrom(timestamp(voucher.revoke_time))
    return message


def read_use(request: vouchers_pb2.RedeemVoucherRequest, now: datetime) -> Use:
    """Refuses: Invalid, for a time that is none."""
    given = request.HasField("business_time")
    return Use(
        store=request.store,
        terminal=request.terminal,
        receipt_number=request.receipt_number,
        amount_minor=request.amount_minor,
        currency_code=request.currency_code,
        business_time=(
            read_timestamp(request.business_time, field="business_time") if given else now
        ),
    )


def asked(request: vouchers_pb2.RedeemVoucherRequest) -> bytes:
    """What is asked, whichever its request_id."""
    said = vouchers_pb2.RedeemVoucherRequest()
    said.CopyFrom(request)
    said.ClearField("request_id")
    return said.SerializeToString(deterministic=True)
