"""The ledger, in our words."""

import logging
from collections.abc import Awaitable
from typing import TypeVar
from uuid import UUID

import grpc
from loyalty.ledger.v1 import ledger_pb2, ledger_pb2_grpc, points_pb2, points_pb2_grpc

from services.plumbing import errors
from services.plumbing.grpc_client import aio_channel, error_info
from services.plumbing.timestamps import timestamp
from services.plumbing.token_file import TokenFile
from services.rewards.domain.refusals import LedgerDown
from services.rewards.domain.saga import Call, Redemption
from services.rewards.events import member_name, redemption_name

# Shorter than the lease of a redemption, so that nobody else takes over what is only slow.
CALL_SECONDS = 5.0
# Far longer than a redemption takes to be recovered after a crash.
HOLD_LIFE_SECONDS = 3_600
REFUND_REASON = "redemption cancelled"

# What stays as it is however often it is asked. Any other end leaves open what was done.
FOR_GOOD = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.Invalid,
    grpc.StatusCode.NOT_FOUND: errors.Missing,
    grpc.StatusCode.ALREADY_EXISTS: errors.Clash,
    grpc.StatusCode.FAILED_PRECONDITION: errors.Unmet,
}

Answer = TypeVar("Answer")

log = logging.getLogger("ledger")


class LedgerPoints:
    """Calls about the points of redemptions, under request ids that follow from these.

    Each refuses what the ledger refuses for good, and LedgerDown where the outcome is unknown.
    """

    def __init__(self, address: str, token: TokenFile) -> None:
        self._channel = aio_channel(address, seconds_max=CALL_SECONDS)
        self._points = points_pb2_grpc.PointsServiceStub(self._channel)
        self._wallets = ledger_pb2_grpc.LedgerServiceStub(self._channel)
        self._token = token

    async def close(self) -> None:
        await self._channel.close()

    async def hold(self, redemption: Redemption) -> str:
        """The name of the hold."""
        request = points_pb2.HoldPointsRequest(
            request_id=str(redemption.request_id_of(Call.HOLD)),
            wallet=f"{member_name(redemption.member_id)}/wallet",
            points=redemption.bought.points,
            purpose=redemption_name(redemption.member_id, redemption.id),
            life_seconds=HOLD_LIFE_SECONDS,
            # Not the time of the call: whoever asks again has to ask the same.
            business_time=timestamp(redemption.business_time),
        )
        answer = await _answered(self._points.HoldPoints(request, metadata=self._token.bearer()))
        return answer.hold.name

    async def capture(self, redemption: Redemption) -> str:
        """The name of the burn."""
        request = points_pb2.CapturePointsRequest(
            request_id=str(redemption.request_id_of(Call.CAPTURE)), hold=redemption.hold
        )
        answer = await _answered(self._points.CapturePoints(request, metadata=self._token.bearer()))
        return answer.hold.burn

    async def release(self, redemption: Redemption, hold: str) -> None:
        request = points_pb2.ReleaseHoldRequest(
            request_id=str(redemption.request_id_of(Call.RELEASE)), hold=hold
        )
        await _answered(self._points.ReleaseHold(request, metadata=self._token.bearer()))

    async def refund(self, redemption: Redemption) -> None:
        request = points_pb2.RefundPointsRequest(
            request_id=str(redemption.request_id_of(Call.REFUND)),
            burn=redemption.burn,
            reason=REFUND_REASON,
        )
        await _answered(self._points.RefundPoints(request, metadata=self._token.bearer()))

    async def available(self, member_id: UUID) -> int:
        """What a member can spend now; nothing without a wallet. Refuses: LedgerDown."""
        request = ledger_pb2.GetWalletRequest(name=f"{member_name(member_id)}/wallet")
        try:
            answer = await _answered(
                self._wallets.GetWallet(request, metadata=self._token.bearer())
            )
        except errors.Missing:
            return 0
        return answer.wallet.available


async def _answered(call: Awaitable[Answer]) -> Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        kind, info = FOR_GOOD.get(error.code()), error_info(error)
        if kind is None or info is None:
            reason = info.reason if info is not None else ""
            log.warning("no answer", extra={"code": error.code().name, "reason": reason})
            raise LedgerDown from None
        message = error.details() or info.reason
        raise kind(message, reason=info.reason, **info.metadata) from None
