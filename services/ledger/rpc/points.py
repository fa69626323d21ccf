"""What spends points: holds, captures, refunds."""

import asyncio
from contextlib import suppress
from functools import partial

import msgspec
from loyalty.ledger.v1 import points_pb2, points_pb2_grpc

from services.ledger.committing import now_micros
from services.ledger.domain.basket import MICROS_PER_SECOND
from services.ledger.domain.documents import (
    CapturePoints,
    Document,
    HoldPoints,
    RefundPoints,
    ReleaseHold,
)
from services.ledger.domain.expiry_plan import BurnPlan, PlannedBurn, losses_of
from services.ledger.domain.lots import Hold, HoldState, Lot, Refunded
from services.ledger.domain.refusals import InsufficientPoints
from services.ledger.rpc import messages, names
from services.ledger.rpc.batches import answer_each
from services.ledger.rpc.holdings import Holdings
from services.ledger.rpc.shared_holds import HOLD_LIFE_SECONDS, SharedPoints
from services.ledger.shards import Shards
from services.ledger.storage.lots import LotKey
from services.ledger.usecases.lots import Lots
from services.ledger.usecases.plan_expiry import ExpiryPlans
from services.ledger.usecases.read import Holding
from services.plumbing.auth import current_caller
from services.plumbing.grpc_calls import Context
from services.plumbing.pages import next_page_token, page_size, read_page_token


class Points(points_pb2_grpc.PointsServiceServicer):
    def __init__(
        self,
        *,
        shards: Shards,
        holdings: Holdings,
        lots: Lots,
        plans: ExpiryPlans,
        shared: SharedPoints,
    ) -> None:
        self._shards = shards
        self._holdings = holdings
        self._lots = lots
        self._plans = plans
        self._shared = shared

    async def HoldPoints(
        self,
        request: points_pb2.HoldPointsRequest,
        context: Context,
    ) -> points_pb2.HoldPointsResponse:
        return await self._hold(request, call=context)

    async def BatchHoldPoints(
        self,
        request: points_pb2.BatchHoldPointsRequest,
        context: Context,
    ) -> points_pb2.BatchHoldPointsResponse:
        response = points_pb2.BatchHoldPointsResponse()
        for answer in await answer_each(request.requests, partial(self._hold, call=context)):
            if isinstance(answer, points_pb2.HoldPointsResponse):
                response.outcomes.add(held=answer)
            else:
                response.outcomes.add(refused=answer)
        return response

    async def _hold(
        self, request: points_pb2.HoldPointsRequest, *, call: object
    ) -> points_pb2.HoldPointsResponse:
        """Of a member with several wallets the first that has so many points, else several."""
        holding = await self._holdings.find(request.wallet, request_id=request.request_id)
        if request.wallet.startswith("wallets/"):
            return await self._hold_in(holding.wallet_ids[0], request, call=call)
        wallet_id = await self._wallet_to_hold(holding, request)
        if wallet_id is not None:
            # Others may have what the wallet has not.
            with suppress(InsufficientPoints):
                return await self._hold_in(wallet_id, request, call=call)
        return await self._shared.hold(request, holding)

    async def _hold_in(
        self, wallet_id: int, request: points_pb2.HoldPointsRequest, *, call: object
    ) -> points_pb2.HoldPointsResponse:
        document = await self._shards.post_one(hold_command(wallet_id, request), caller=call)
        return points_pb2.HoldPointsResponse(
            hold=write_hold(wallet_id, hold_of(document)),
            balance=messages.write_balance(document.balance),
        )

    async def _wallet_to_hold(
        self, holding: Holding, request: points_pb2.HoldPointsRequest
    ) -> int | None:
        """The one wallet to hold points in, None where it takes several; only of a member with
        several the database is asked.
        """
        if holding.shared_before:
            return None
        if len(holding.wallet_ids) == 1:
            return holding.wallet_ids[0]
        return await asyncio.to_thread(
            self._lots.wallet_to_hold, holding, request.points, request.request_id.lower()
        )

    async def CapturePoints(
        self,
        request: points_pb2.CapturePointsRequest,
        context: Context,
    ) -> points_pb2.CapturePointsResponse:
        return await self._capture(request, call=context)

    async def BatchCapturePoints(
        self,
        request: points_pb2.BatchCapturePointsRequest,
        context: Context,
    ) -> points_pb2.BatchCapturePointsResponse:
        response = points_pb2.BatchCapturePointsResponse()
        for answer in await answer_each(
            request.requests, partial(self._capture_along, call=context)
        ):
            if isinstance(answer, points_pb2.CapturePointsResponse):
                response.outcomes.add(captured=answer)
            else:
                response.outcomes.add(refused=answer)
        return response

    async def _capture_along(
        self, request: points_pb2.CapturePointsRequest, *, call: object
    ) -> points_pb2.CapturePointsResponse:
        """Capture in the same batches as points are held that were asked for just before."""
        await self._holdings.looked_up()
        return await self._capture(request, call=call)

    async def _capture(
        self, request: points_pb2.CapturePointsRequest, *, call: object
    ) -> points_pb2.CapturePointsResponse:
        if names.is_shared(request.hold):
            return await self._shared.capture(request)
        wallet_id, hold_id = names.read_hold_name(request.hold)
        document = await self._shards.post_one(
            CapturePoints(
                wallet_id,
                request.request_id.lower(),
                names.body_hash("capture", str(hold_id), str(request.points)),
                hold_id,
                request.points,
                current_caller().subject,
            ),
            caller=call,
        )
        return points_pb2.CapturePointsResponse(
            hold=write_hold(wallet_id, hold_of(document)),
            balance=messages.write_balance(document.balance),
        )

    async def ReleaseHold(
        self,
        request: points_pb2.ReleaseHoldRequest,
        context: Context,  # noqa: ARG002
    ) -> points_pb2.ReleaseHoldResponse:
        if names.is_shared(request.hold):
            return await self._shared.release(request)
        wallet_id, hold_id = names.read_hold_name(request.hold)
        document = await self._shards.post_one(
            ReleaseHold(
                wallet_id,
                request.request_id.lower(),
                names.body_hash("release", str(hold_id)),
                hold_id,
                current_caller().subject,
            )
        )
        return points_pb2.ReleaseHoldResponse(
            hold=write_hold(wallet_id, hold_of(document)),
            balance=messages.write_balance(document.balance),
        )

    async def RefundPoints(
        self,
        request: points_pb2.RefundPointsRequest,
        context: Context,  # noqa: ARG002
    ) -> points_pb2.RefundPointsResponse:
        if names.is_shared(request.burn):
            return await self._shared.refund(request)
        wallet_id, burn_id = names.read_burn_name(request.burn)
        given_time = messages.micros(request.business_time)
        document = await self._shards.post_one(
            RefundPoints(
                wallet_id,
                request.request_id.lower(),
                names.body_hash(
                    "refund", str(burn_id), str(request.points), request.reason, str(given_time)
                ),
                burn_id,
                request.points,
                request.reason,
                current_caller().subject,
                given_time or now_micros(),
            )
        )
        refunded = msgspec.json.decode(document.lines_json, type=list[Refunded])
        return points_pb2.RefundPointsResponse(
            points=sum(part.points for part in refunded),
            balance=messages.write_balance(document.balance),
            lots=[
                points_pb2.LotPart(
                    lot=names.lot_name(wallet_id, part.target),
                    points=part.points,
                    expire_time=messages.optional_timestamp(part.expire_time),
                )
                for part in refunded
            ],
        )

    async def GetHold(
        self,
        request: points_pb2.GetHoldRequest,
        context: Context,  # noqa: ARG002
    ) -> points_pb2.GetHoldResponse:
        if names.is_shared(request.name):
            return points_pb2.GetHoldResponse(hold=await self._shared.find(request.name))
        wallet_id, hold_id = names.read_hold_name(request.name)
        await self._holdings.require_own(wallet_id)
        hold = await asyncio.to_thread(self._lots.hold, wallet_id, hold_id)
        return points_pb2.GetHoldResponse(hold=write_hold(wallet_id, hold))

    async def ListHolds(
        self,
        request: points_pb2.ListHoldsRequest,
        context: Context,  # noqa: ARG002
    ) -> points_pb2.ListHoldsResponse:
        size = page_size(request.page_size, default=50, most=500)
        keys = read_page_token(request.page_token, int, int, int)
        holding = await self._holdings.find(request.parent)
        found = await asyncio.to_thread(
            self._lots.holds,
            holding,
            states=[HoldState(state) for state in request.states] or list(HoldState),
            before=(int(keys[0]), int(keys[1]), int(keys[2])) if keys else None,
            limit=size + 1,
        )
        page = found[:size]
        return points_pb2.ListHoldsResponse(
            holds=[write_hold(key[-1], hold) for key, hold in page],
            next_page_token=next_page_token(found, size, lambda keyed: keyed[0]),
        )

    async def PlanExpiry(
        self,
        request: points_pb2.PlanExpiryRequest,
        context: Context,  # noqa: ARG002
    ) -> points_pb2.PlanExpiryResponse:
        holding = await self._holdings.find(request.wallet)
        burns = [
            PlannedBurn(burn.points, messages.micros(burn.business_time)) for burn in request.burns
        ]
        planned = await asyncio.to_thread(self._plans.plan, holding, burns)
        losses = losses_of([found for _, found in planned.wallets])
        return points_pb2.PlanExpiryResponse(
            burns=[
                write_burn_plan(wallet_id, burn)
                for wallet_id, found in planned.wallets
                for burn in found.burns
            ],
            losses=[
                points_pb2.ExpiryLoss(
                    expire_time=messages.timestamp(loss.expire_time),
                    points=loss.points,
                    points_until_then=loss.points_until_then,
                )
                for loss in losses
            ],
            lost_points=sum(loss.points for loss in losses),
            lost_points_by_policy=planned.lost_points_by_policy,
        )

    async def ListLots(
        self,
        request: points_pb2.ListLotsRequest,
        context: Context,  # noqa: ARG002
    ) -> points_pb2.ListLotsResponse:
        size = page_size(request.page_size, default=50, most=500)
        after = read_lot_token(request.page_token)
        holding = await self._holdings.find(request.parent)
        found = await asyncio.to_thread(self._lots.page, holding, after=after, limit=size + 1)
        page = found[:size]
        return points_pb2.ListLotsResponse(
            lots=[write_lot(key[-1], lot, holding.owners.get(key[-1])) for key, lot in page],
            next_page_token=next_page_token(found, size, lambda keyed: keyed[0]),
        )


def hold_command(wallet_id: int, request: points_pb2.HoldPointsRequest) -> HoldPoints:
    given_time = messages.micros(request.business_time)
    life_seconds = request.life_seconds or HOLD_LIFE_SECONDS
    body = names.body_hash(
        "hold", str(request.points), request.purpose, str(life_seconds), str(given_time)
    )
    return HoldPoints(
        wallet_id,
        request.request_id.lower(),
        body,
        request.points,
        request.purpose,
        life_seconds * MICROS_PER_SECOND,
        current_caller().subject,
        given_time or now_micros(),
    )


def write_burn_plan(wallet_id: int, found: BurnPlan) -> points_pb2.BurnPlan:
    return points_pb2.BurnPlan(
        burn=points_pb2.PlannedBurn(
            points=found.burn.points, business_time=messages.timestamp(found.burn.business_time)
        ),
        lots=[
            points_pb2.LotPart(lot=names.lot_name(wallet_id, part.lot), points=part.points)
            for part in found.parts
        ],
        missing_points=found.missing,
    )


def read_lot_token(token: str) -> LotKey | None:
    """Refuses: PageTokenInvalid."""
    keys = read_page_token(token, int, int, int, int, int)
    if keys is None:
        return None
    expire_time, earn_time, document_id, ordinal, wallet_id = (int(key) for key in keys)
    return expire_time, earn_time, document_id, ordinal, wallet_id


def hold_of(document: Document) -> Hold:
    """The hold as a document left it."""
    return msgspec.json.decode(document.lines_json, type=Hold)


def write_hold(wallet_id: int, hold: Hold) -> points_pb2.Hold:
    return points_pb2.Hold(
        name=names.hold_name(wallet_id, hold.hold_id),
        state=points_pb2.Hold.State.ValueType(hold.state.value),
        points=hold.points,
        captured_points=hold.captured,
        purpose=hold.purpose,
        expire_time=messages.timestamp(hold.expire_time),
        burn=names.burn_name(wallet_id, hold.burn_id) if hold.burn_id else "",
        shared_hold=f"{names.SHARED_HOLDS}{hold.shared}" if hold.shared else "",
        business_time=messages.timestamp(hold.business_time),
    )


def write_lot(wallet_id: int, lot: Lot, owner_id: str | None) -> points_pb2.Lot:
    return points_pb2.Lot(
        name=names.lot_name(wallet_id, lot.id),
        points=lot.points,
        remaining_points=lot.remaining,
        held_points=lot.held,
        pending=lot.pending,
        earn_time=messages.timestamp(lot.earn_time),
        available_time=messages.optional_timestamp(lot.term.available_time),
        expire_time=messages.optional_timestamp(lot.term.expire_time),
        member=names.member_name(owner_id),
    )
