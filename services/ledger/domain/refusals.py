"""Why the ledger does not do what it is asked; each names what a till or an app can act on."""

import msgspec

from services.plumbing import errors


class RawCardNumber(errors.Invalid):
    """A real card number where a token is wanted. It is never kept, and never in the text."""

    reason = "RAW_CARD_NUMBER"


class RequestIdReused(errors.Clash):
    reason = "REQUEST_ID_REUSED"


class CardBlocked(errors.Unmet):
    reason = "CARD_BLOCKED"


class BusinessTimeInFuture(errors.Invalid):
    reason = "BUSINESS_TIME_IN_FUTURE"


class BusinessTimeTooOld(errors.Invalid):
    reason = "BUSINESS_TIME_TOO_OLD"


class WrongCurrency(errors.Invalid):
    reason = "WRONG_CURRENCY"


class NoPolicyInForce(errors.Unmet):
    reason = "NO_POLICY_IN_FORCE"


class UnknownSale(errors.Missing):
    reason = "UNKNOWN_SALE"


class UnknownLine(errors.Invalid):
    reason = "UNKNOWN_LINE"


class ReturnExceedsSale(errors.Unmet):
    reason = "RETURN_EXCEEDS_SALE"


class SaleVoided(errors.Unmet):
    reason = "SALE_VOIDED"


class SaleHasReturns(errors.Unmet):
    reason = "SALE_HAS_RETURNS"


class ReturnBeforeSale(errors.Invalid):
    reason = "RETURN_BEFORE_SALE"


class InsufficientPoints(errors.Unmet):
    reason = "INSUFFICIENT_POINTS"


class PointsNotTaken(errors.Unmet):
    reason = "POINTS_NOT_TAKEN"


class MemberNeeded(errors.Unmet):
    reason = "MEMBER_NEEDED"


class TenderUneven(errors.Invalid):
    reason = "TENDER_UNEVEN"


class TenderExceedsSale(errors.Invalid):
    reason = "TENDER_EXCEEDS_SALE"


class MemberBlocked(errors.Unmet):
    reason = "MEMBER_BLOCKED"


class MemberMerged(errors.Unmet):
    """The member counts for another one, whom `into` names."""

    reason = "MEMBER_MERGED"


class HoldIsShared(errors.Unmet):
    """A part of a hold over several wallets is captured, released and given back with it alone."""

    reason = "HOLD_IS_SHARED"


class HoldNotFound(errors.Missing):
    reason = "HOLD_NOT_FOUND"


class HoldExpired(errors.Unmet):
    reason = "HOLD_EXPIRED"


class HoldCaptured(errors.Unmet):
    reason = "HOLD_CAPTURED"


class HoldReleased(errors.Unmet):
    reason = "HOLD_RELEASED"


class CaptureExceedsHold(errors.Unmet):
    reason = "CAPTURE_EXCEEDS_HOLD"


class BurnNotFound(errors.Missing):
    reason = "BURN_NOT_FOUND"


class RefundExceedsBurn(errors.Unmet):
    reason = "REFUND_EXCEEDS_BURN"


class TransfersOff(errors.Unmet):
    reason = "TRANSFERS_OFF"


class TransferTooSmall(errors.Unmet):
    reason = "TRANSFER_TOO_SMALL"


class TransferTooLarge(errors.Unmet):
    reason = "TRANSFER_TOO_LARGE"


class TransferLimitReached(errors.Unmet):
    reason = "TRANSFER_LIMIT_REACHED"


class TransferToSelf(errors.Invalid):
    reason = "TRANSFER_TO_SELF"


class TransferNotFound(errors.Missing):
    reason = "TRANSFER_NOT_FOUND"


class DayNotOver(errors.Unmet):
    reason = "DAY_NOT_OVER"


class WalletNotFound(errors.Missing):
    reason = "WALLET_NOT_FOUND"


class EntryNotFound(errors.Missing):
    reason = "ENTRY_NOT_FOUND"


class PolicyNotFound(errors.Missing):
    reason = "POLICY_NOT_FOUND"


class ProposalNotFound(errors.Missing):
    reason = "PROPOSAL_NOT_FOUND"


class ProposalDecided(errors.Unmet):
    reason = "PROPOSAL_DECIDED"


class OwnProposal(errors.Forbidden):
    reason = "OWN_PROPOSAL"


class EffectiveInThePast(errors.Unmet):
    reason = "EFFECTIVE_IN_THE_PAST"


class QueueFull(errors.Exhausted):
    reason = "QUEUE_FULL"

    def __init__(self) -> None:
        super().__init__("too much is waiting; send it again in a moment")


class OutcomeUnknown(errors.Unavailable):
    """The database went away; whether it was recorded shows when the same request is sent again."""

    reason = "OUTCOME_UNKNOWN"


# A refusal is remembered by its reason; this brings the type back.
REMEMBERED: dict[str, type[errors.Refused]] = {
    kind.reason: kind
    for kind in (
        CardBlocked,
        BusinessTimeInFuture,
        BusinessTimeTooOld,
        WrongCurrency,
        NoPolicyInForce,
        UnknownSale,
        UnknownLine,
        ReturnExceedsSale,
        SaleVoided,
        SaleHasReturns,
        ReturnBeforeSale,
        InsufficientPoints,
        PointsNotTaken,
        MemberNeeded,
        TenderUneven,
        TenderExceedsSale,
        MemberBlocked,
        HoldIsShared,
        HoldNotFound,
        HoldExpired,
        HoldCaptured,
        HoldReleased,
        CaptureExceedsHold,
        BurnNotFound,
        RefundExceedsBurn,
        TransfersOff,
        TransferTooSmall,
        TransferTooLarge,
        TransferLimitReached,
        TransferToSelf,
    )
}


def said(refusal: errors.Refused) -> str:
    """A refusal as it is kept; `remembered` brings it back."""
    kept = {"reason": refusal.reason, "message": refusal.message, "metadata": refusal.metadata}
    return msgspec.json.encode(kept).decode()


def remembered(text: str) -> errors.Refused:
    kept = msgspec.json.decode(text)
    return REMEMBERED[kept["reason"]](kept["message"], **kept["metadata"])
