"""Why rewards does not do what it is asked. No text carries a voucher's code: it could reach a log.

Of the catalogue and the vouchers; then of redemptions.
"""

from datetime import datetime
from uuid import UUID

from services.plumbing.errors import Clash, Exhausted, Invalid, Missing, Stale, Unavailable, Unmet


class RequestIdReused(Clash):
    reason = "REQUEST_ID_REUSED"

    def __init__(self) -> None:
        super().__init__("the request_id was used before with another body")


class MemberMerged(Unmet):
    reason = "MEMBER_MERGED"

    def __init__(self, into: UUID) -> None:
        name = f"members/{into}"
        super().__init__(f"the member is merged into {name}", into=name)


class MemberBlocked(Unmet):
    reason = "MEMBER_BLOCKED"

    def __init__(self) -> None:
        super().__init__("the member is blocked")


class MemberErased(Unmet):
    reason = "MEMBER_ERASED"

    def __init__(self) -> None:
        super().__init__("the member is erased")


class RewardExists(Clash):
    reason = "REWARD_EXISTS"

    def __init__(self) -> None:
        super().__init__("there is a reward of that name")


class RewardNotFound(Missing):
    reason = "REWARD_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such reward")


class RewardVersionNotFound(Missing):
    reason = "REWARD_VERSION_NOT_FOUND"

    def __init__(self, version: int) -> None:
        super().__init__(f"the reward has no version {version}", version=str(version))


class RewardInvalid(Invalid):
    reason = "REWARD_INVALID"


class StaleEtag(Stale):
    reason = "STALE_ETAG"

    def __init__(self) -> None:
        super().__init__("the reward has changed since that etag; read it again")


class CodePoolNotFound(Missing):
    reason = "CODE_POOL_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such code pool")


class VoucherNotFound(Missing):
    reason = "VOUCHER_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such voucher")


class CodeMistyped(Invalid):
    reason = "CODE_MISTYPED"

    def __init__(self) -> None:
        super().__init__("a letter of the code is wrong, or two are swapped")


class VoucherAlreadyRedeemed(Unmet):
    reason = "VOUCHER_REDEEMED"

    def __init__(self) -> None:
        super().__init__("the voucher was used, or a part of its value")


class VoucherExpired(Unmet):
    reason = "VOUCHER_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the voucher has expired")


class VoucherRevoked(Unmet):
    reason = "VOUCHER_REVOKED"

    def __init__(self) -> None:
        super().__init__("the voucher was revoked")


class VoucherUseNotFound(Missing):
    reason = "VOUCHER_USE_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no voucher was used so in the store")


class VoucherUseTooOld(Unmet):
    reason = "VOUCHER_USE_TOO_OLD"

    def __init__(self, until: datetime) -> None:
        said = until.isoformat()
        super().__init__(f"the use could be taken back until {said}", until=said)


class VoucherUseUndone(Unmet):
    reason = "VOUCHER_USE_UNDONE"

    def __init__(self) -> None:
        super().__init__("the use was taken back; another needs a request_id of its own")


class VoucherNotForStore(Unmet):
    reason = "VOUCHER_NOT_FOR_STORE"

    def __init__(self, store: str) -> None:
        super().__init__("the voucher is for other stores", store=store)


class VoucherHasNoValue(Invalid):
    reason = "VOUCHER_HAS_NO_VALUE"

    def __init__(self) -> None:
        super().__init__("the voucher is used as a whole; it has no value to take an amount from")


class AmountNeeded(Invalid):
    reason = "AMOUNT_NEEDED"

    def __init__(self, balance_minor: int) -> None:
        super().__init__(
            "the voucher may be used in parts; say how much", balance_minor=str(balance_minor)
        )


class AmountExceedsBalance(Unmet):
    reason = "AMOUNT_EXCEEDS_BALANCE"

    def __init__(self, balance_minor: int) -> None:
        super().__init__(f"the voucher has {balance_minor} left", balance_minor=str(balance_minor))


class PartialUseRefused(Invalid):
    reason = "PARTIAL_USE_REFUSED"

    def __init__(self, value_minor: int) -> None:
        super().__init__(
            f"the voucher is used as a whole, {value_minor}", value_minor=str(value_minor)
        )


class CurrencyDiffers(Invalid):
    reason = "CURRENCY_DIFFERS"

    def __init__(self, currency_code: str) -> None:
        super().__init__(f"the voucher is in {currency_code}", currency_code=currency_code)


class NotOffered(Unmet):
    """why is one of: not_published, not_yet, over, channel, store, tier, segment."""

    reason = "REWARD_NOT_OFFERED"

    def __init__(self, why: str) -> None:
        super().__init__(f"the reward is not offered to the member now and there: {why}", why=why)


class PriceChanged(Unmet):
    reason = "PRICE_CHANGED"

    def __init__(self, points: int) -> None:
        super().__init__(f"the reward costs {points} points now", points=str(points))


class StoreNeeded(Invalid):
    reason = "STORE_NEEDED"

    def __init__(self) -> None:
        super().__init__("the reward is had at a store; say at which")


class OutOfStock(Unmet):
    """of is one of: total, day, store, codes."""

    reason = "OUT_OF_STOCK"

    def __init__(self, of: str) -> None:
        super().__init__(f"nothing is left of the reward: {of}", of=of)


class MemberLimitReached(Unmet):
    reason = "MEMBER_LIMIT_REACHED"

    def __init__(self, period: str, most: int) -> None:
        super().__init__(
            f"the member has {most} of the reward already, which is all for: {period}",
            period=period,
            most=str(most),
        )


class RedemptionNotFound(Missing):
    reason = "REDEMPTION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such redemption")


class RedemptionNotCompleted(Unmet):
    reason = "REDEMPTION_NOT_COMPLETED"

    def __init__(self) -> None:
        super().__init__("the redemption was not completed")


class LedgerDown(Unavailable):
    reason = "LEDGER_DOWN"

    def __init__(self) -> None:
        super().__init__("the ledger does not answer; ask again")


class RedemptionInterrupted(Unmet):
    reason = "REDEMPTION_INTERRUPTED"

    def __init__(self) -> None:
        super().__init__("the redemption was interrupted; nothing was taken, so ask anew")


class RedemptionPending(Unavailable):
    reason = "REDEMPTION_PENDING"

    def __init__(self) -> None:
        super().__init__("the redemption is under way; the same request tells how it ends")


class QueueFull(Exhausted):
    reason = "QUEUE_FULL"

    def __init__(self) -> None:
        super().__init__("too much is waiting; send it again in a moment")
