"""The ledger, in our words."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar
from uuid import UUID

import grpc
from google.rpc import error_details_pb2
from loyalty.ledger.v1 import (
    ledger_pb2,
    ledger_pb2_grpc,
    point_of_sale_pb2,
    points_pb2,
    points_pb2_grpc,
)

from services.plumbing import errors
from services.plumbing.group_commit import QueueIsFull
from services.plumbing.grpc_client import aio_channel, error_info
from services.plumbing.timestamps import timestamp
from services.plumbing.token_file import TokenFile
from services.rewards.domain.refusals import LedgerDown
from services.rewards.domain.saga import Call, Redemption
from services.rewards.events import member_name, redemption_name
from services.rewards.gathering import Gathered

# Shorter than the lease of a redemption, so that nobody else takes over what is only slow.
CALL_SECONDS = 5.0
# Far longer than a redemption takes to be recovered after a crash.
HOLD_LIFE_SECONDS = 3_600
REFUND_REASON = "redemption cancelled"

# What stays as it is however often it is asked. Any other end leaves open what was done.
FOR_GOOD: Mapping[int, type[errors.Refused]] = {
    code.value[0]: kind
    for code, kind in (
        (grpc.StatusCode.INVALID_ARGUMENT, errors.Invalid),
        (grpc.StatusCode.NOT_FOUND, errors.Missing),
        (grpc.StatusCode.ALREADY_EXISTS, errors.Clash),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.Unmet),
    )
}
# As many as the ledger takes in one call.
TOGETHER_MAX = 500
QUEUE_MAX = 4_000
# Points that several wallets give take the ledger several commits; others need not wait for them.
PATIENCE_SECONDS = 0.1
# To wait for a call of fewer, so as to ask together later, would take longer than it saves.
MANY = 2

HOLD, CAPTURE = points_pb2.HoldPointsRequest, points_pb2.CapturePointsRequest
Asked: TypeAlias = points_pb2.HoldPointsRequest | points_pb2.CapturePointsRequest
Request = TypeVar("Request")
Answer = TypeVar("Answer")

log = logging.getLogger("ledger")


class LedgerPoints:
    """Calls about the points of redemptions, under request ids that follow from these.

    Those that are made while others are under way go together, in one call of many. Each refuses
    what the ledger refuses for good, and LedgerDown where the outcome is unknown. Used from one
    event loop.
    """

    def __init__(self, address: str, token: TokenFile) -> None:
        self._channel = aio_channel(address, seconds_max=CALL_SECONDS)
        self._points = points_pb2_grpc.PointsServiceStub(self._channel)
        self._wallets = ledger_pb2_grpc.LedgerServiceStub(self._channel)
        self._token = token
        self._spending: Gathered[Asked, str] = Gathered(
            self._ask_all,
            batch_max=TOGETHER_MAX,
            queue_max=QUEUE_MAX,
            patience_seconds=PATIENCE_SECONDS,
            many=MANY,
        )

    async def close(self) -> None:
        await self._spending.close()
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
        return await self._ask(request)

    async def capture(self, redemption: Redemption) -> str:
        """The name of the burn."""
        request = points_pb2.CapturePointsRequest(
            request_id=str(redemption.request_id_of(Call.CAPTURE)), hold=redemption.hold
        )
        return await self._ask(request)

    async def _ask(self, request: Asked) -> str:
        try:
            return await self._spending.ask(request)
        except QueueIsFull:
            raise LedgerDown from None

    async def _ask_all(self, asked: Sequence[Asked]) -> list[str | Exception]:
        """Ask for holds and captures at once, so that the ledger commits them together."""
        holds = [each for each in asked if isinstance(each, points_pb2.HoldPointsRequest)]
        captures = [each for each in asked if isinstance(each, points_pb2.CapturePointsRequest)]
        held, captured = await asyncio.gather(
            _heard(self._hold_all, holds), _heard(self._capture_all, captures)
        )
        answers = {HOLD: iter(held), CAPTURE: iter(captured)}
        return [next(answers[type(each)]) for each in asked]

    async def _hold_all(
        self, requests: Sequence[points_pb2.HoldPointsRequest]
    ) -> list[str | Exception]:
        batch = points_pb2.BatchHoldPointsRequest(requests=requests)
        answer = await self._points.BatchHoldPoints(batch, metadata=self._token.bearer())
        return [
            _refused_item(each.refused) if each.HasField("refused") else each.held.hold.name
            for each in answer.outcomes
        ]

    async def _capture_all(
        self, requests: Sequence[points_pb2.CapturePointsRequest]
    ) -> list[str | Exception]:
        batch = points_pb2.BatchCapturePointsRequest(requests=requests)
        answer = await self._points.BatchCapturePoints(batch, metadata=self._token.bearer())
        return [
            _refused_item(each.refused) if each.HasField("refused") else each.captured.hold.burn
            for each in answer.outcomes
        ]

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

    async def answered(self) -> None:
        """Ends when the holds and captures are answered that are asked for now."""
        await self._spending.answered()

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


async def _heard(
    call: Callable[[Sequence[Request]], Awaitable[list[str | Exception]]],
    requests: Sequence[Request],
) -> list[str | Exception]:
    """What a call of many answers; where nobody heard it, what was asked is open for each."""
    if not requests:
        return []
    try:
        return await call(requests)
    except grpc.aio.AioRpcError as error:
        log.warning("no answer", extra={"code": error.code().name, "together": len(requests)})
        return [LedgerDown()] * len(requests)


async def _answered(call: Awaitable[Answer]) -> Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        info = error_info(error) or error_details_pb2.ErrorInfo()
        message = error.details() or info.reason
        raise _refusal(error.code().value[0], info.reason, message, info.metadata) from None


def _refused_item(refused: point_of_sale_pb2.Refusal) -> errors.Refused:
    return _refusal(refused.code, refused.reason, refused.message, refused.metadata)


def _refusal(code: int, reason: str, message: str, metadata: Mapping[str, str]) -> errors.Refused:
    """A refusal of the ledger in our words; LedgerDown for any other end."""
    kind = FOR_GOOD.get(code)
    if kind is None or not reason:
        log.warning("no answer", extra={"code": code, "reason": reason})
        return LedgerDown()
    return kind(message, reason=reason, violations=(), **metadata)
