"""RedemptionService: one use case a call."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from loyalty.rewards.v1 import redemption_pb2, redemption_pb2_grpc

from services.plumbing.auth import current_caller
from services.plumbing.database_work import DatabaseWork
from services.plumbing.pages import page_size
from services.rewards.domain.offering import Place
from services.rewards.domain.rewards import Channel
from services.rewards.redeeming import Points, Redeeming
from services.rewards.rpc.definitions import read_channel
from services.rewards.rpc.names import read_member, read_owned
from services.rewards.rpc.owning import require_owner
from services.rewards.rpc.places import page_after, read_place
from services.rewards.rpc.redemption_messages import (
    read_asked,
    recommendation_message,
    redemption_message,
)
from services.rewards.rpc.voucher_messages import voucher_message
from services.rewards.signing import Signer
from services.rewards.usecases import read
from services.rewards.usecases.offers import Looker
from services.rewards.usecases.recommend import Recommending

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500
RECOMMENDATIONS = 10


class Redemptions(redemption_pb2_grpc.RedemptionServiceServicer):
    """Thin: reads the request, does one use case, writes the answer."""

    def __init__(
        self,
        work: DatabaseWork,
        clock: Callable[[], datetime],
        signer: Signer,
        points: Points,
        redeeming: Redeeming,
    ) -> None:
        self._work = work
        self._clock = clock
        self._signer = signer
        self._points = points
        self._redeeming = redeeming
        self._recommending = Recommending()

    async def RedeemReward(
        self, request: redemption_pb2.RedeemRewardRequest, _context: object
    ) -> redemption_pb2.RedeemRewardResponse:
        caller, asked = current_caller(), read_asked(request)
        caller.require_own(request.member)
        if asked.channel is Channel.TILL:
            caller.require_store(asked.store)
        given = await self._redeeming.redeem(asked, request_id=UUID(request.request_id))
        voucher = given.voucher
        return redemption_pb2.RedeemRewardResponse(
            redemption=redemption_message(given.redemption),
            voucher=(
                voucher_message(voucher, self._clock(), self._signer)
                if voucher is not None
                else None
            ),
        )

    async def GetRedemption(
        self, request: redemption_pb2.GetRedemptionRequest, _context: object
    ) -> redemption_pb2.GetRedemptionResponse:
        await require_owner(self._work, request.name)
        found = await self._work.run(read.get_redemption, *read_owned(request.name))
        return redemption_pb2.GetRedemptionResponse(redemption=redemption_message(found))

    async def ListRedemptions(
        self, request: redemption_pb2.ListRedemptionsRequest, _context: object
    ) -> redemption_pb2.ListRedemptionsResponse:
        current_caller().require_own(request.parent)
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        # One more than the page, to know whether there is another.
        found = await self._work.run(
            read.list_redemptions,
            read_member(request.parent),
            before=read_place(request.page_token),
            limit=size + 1,
        )
        last = found[size - 1] if len(found) > size else None
        return redemption_pb2.ListRedemptionsResponse(
            redemptions=map(redemption_message, found[:size]),
            next_page_token=page_after(last.create_time, last.id) if last is not None else "",
        )

    async def CancelRedemption(
        self, request: redemption_pb2.CancelRedemptionRequest, _context: object
    ) -> redemption_pb2.CancelRedemptionResponse:
        await require_owner(self._work, request.name)
        member_id, redemption_id = read_owned(request.name)
        cancelled = await self._redeeming.cancel(
            redemption_id, member_id=member_id, reason=request.reason
        )
        return redemption_pb2.CancelRedemptionResponse(redemption=redemption_message(cancelled))

    async def ListRecommendations(
        self, request: redemption_pb2.ListRecommendationsRequest, _context: object
    ) -> redemption_pb2.ListRecommendationsResponse:
        current_caller().require_own(request.member)
        member_id = read_member(request.member)
        looker = Looker(member_id, Place(read_channel(request.channel), request.store))
        found = await self._work.run(
            self._recommending.recommend,
            looker,
            available_points=await self._points.available(member_id),
            limit=request.limit or RECOMMENDATIONS,
            now=self._clock(),
        )
        return redemption_pb2.ListRecommendationsResponse(
            recommendations=[
                recommendation_message(each, language=request.language) for each in found
            ]
        )
