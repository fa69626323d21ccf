"""Holds over several wallets, as callers ask for them and are answered."""

from loyalty.ledger.v1 import points_pb2

from services.ledger.committing import now_micros
from services.ledger.domain.basket import MICROS_PER_SECOND
from services.ledger.domain.shared_holds import (
    Answer,
    AskedHold,
    Move,
    MoveKind,
    SharedHold,
    as_hold,
)
from services.ledger.rpc import messages, names
from services.ledger.sharing import Sharing
from services.ledger.usecases.read import Holding
from services.plumbing.auth import current_caller

HOLD_LIFE_SECONDS = 900


class SharedPoints:
    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing

    async def hold(
        self, request: points_pb2.HoldPointsRequest, holding: Holding
    ) -> points_pb2.HoldPointsResponse:
        """Hold points of all that a member may spend of. Refuses: what Sharing.hold does."""
        asked = AskedHold(
            request.request_id.lower(),
            shared_body(request, holding),
            holding.member_id or "",
            request.points,
            request.purpose,
            (request.life_seconds or HOLD_LIFE_SECONDS) * MICROS_PER_SECOND,
            request.own_points_only,
            current_caller().subject,
            messages.micros(request.business_time) or now_micros(),
        )
        answer = await self._sharing.hold(asked)
        return points_pb2.HoldPointsResponse(
            hold=write_hold(answer.hold), balance=messages.write_balance(answer.balance)
        )

    async def capture(
        self, request: points_pb2.CapturePointsRequest
    ) -> points_pb2.CapturePointsResponse:
        body = names.body_hash("capture", request.hold, str(request.points))
        answer = await self._move(
            MoveKind.CAPTURE, request.hold, request.request_id, body, points=request.points
        )
        return points_pb2.CapturePointsResponse(
            hold=write_hold(answer.hold), balance=messages.write_balance(answer.balance)
        )

    async def release(
        self, request: points_pb2.ReleaseHoldRequest
    ) -> points_pb2.ReleaseHoldResponse:
        body = names.body_hash("release", request.hold)
        answer = await self._move(MoveKind.RELEASE, request.hold, request.request_id, body)
        return points_pb2.ReleaseHoldResponse(
            hold=write_hold(answer.hold), balance=messages.write_balance(answer.balance)
        )

    async def refund(
        self, request: points_pb2.RefundPointsRequest
    ) -> points_pb2.RefundPointsResponse:
        given_time = messages.micros(request.business_time)
        body = names.body_hash(
            "refund", request.burn, str(request.points), request.reason, str(given_time)
        )
        answer = await self._move(
            MoveKind.REFUND,
            request.burn,
            request.request_id,
            body,
            points=request.points,
            reason=request.reason,
            business_time=given_time,
        )
        return points_pb2.RefundPointsResponse(
            points=sum(back.refunded.points for back in answer.given_back),
            balance=messages.write_balance(answer.balance),
            lots=[
                points_pb2.LotPart(
                    lot=names.lot_name(back.wallet_id, back.refunded.target),
                    points=back.refunded.points,
                    expire_time=messages.optional_timestamp(back.refunded.expire_time),
                )
                for back in answer.given_back
            ],
        )

    async def find(self, name: str) -> points_pb2.Hold:
        """Refuses: HoldNotFound, NOT_YOURS."""
        caller = current_caller()
        hold, spender_id = await self._sharing.find(names.read_shared_name(name))
        caller.require_own(names.member_name(spender_id))
        return write_hold(hold)

    async def _move(
        self,
        kind: MoveKind,
        name: str,
        request_id: str,
        body: str,
        *,
        points: int = 0,
        reason: str = "",
        business_time: int = 0,
    ) -> Answer:
        now = now_micros()
        return await self._sharing.move(
            Move(
                request_id.lower(),
                body,
                names.read_shared_name(name),
                kind,
                points,
                reason,
                current_caller().subject,
                business_time or now,
                now,
            )
        )


def shared_body(request: points_pb2.HoldPointsRequest, holding: Holding) -> str:
    """Whose points are held is a part of it: a request is one over all members here."""
    return names.body_hash(
        "hold",
        holding.member_id or "",
        str(request.points),
        request.purpose,
        str(request.life_seconds),
        str(messages.micros(request.business_time)),
        str(request.own_points_only),
    )


def write_hold(hold: SharedHold) -> points_pb2.Hold:
    captured = hold.captured
    return points_pb2.Hold(
        name=f"{names.SHARED_HOLDS}{hold.shared_hold_id}",
        state=points_pb2.Hold.State.ValueType(as_hold(hold).value),
        points=hold.points,
        captured_points=captured,
        purpose=hold.purpose,
        expire_time=messages.timestamp(hold.expire_time),
        burn=f"{names.SHARED_BURNS}{hold.shared_hold_id}" if captured else "",
        parts=[
            points_pb2.HoldPart(
                wallet=f"wallets/{part.wallet_id}",
                member=f"members/{part.owner_id}",
                points=part.points,
                captured_points=part.captured,
                pooled=part.pooled,
            )
            for part in hold.parts
        ],
        business_time=messages.timestamp(hold.business_time),
    )
