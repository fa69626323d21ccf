"""People of customer care who adjust points, propose, approve and reject."""

from typing import Any

import grpc
from loyalty.ledger.v1 import adjustments_pb2, adjustments_pb2_grpc, ledger_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from tests.service.ledger_shop import Shop, new_card, new_id, sale, wallet_of
from tests.service.tokens import Metadata, Tokens

# What each wallet has before anybody adjusts it.
EARNED = 10
Proposal = adjustments_pb2.Proposal


class Office:
    """People of customer care who call the ledger, each by their name."""

    def __init__(self, shop: Shop, tokens: Tokens, channel: grpc.aio.Channel) -> None:
        self.shop = shop
        self._tokens = tokens
        self.desk = adjustments_pb2_grpc.AdjustmentServiceStub(channel)

    def badge(self, person: str, *scopes: str, roles: tuple[str, ...] = ()) -> Metadata:
        return self._tokens.bearer(*scopes, subject=person, roles=roles)

    async def wallet(self) -> str:
        """A wallet with ten points."""
        return wallet_of((await self.shop.record(sale(new_card()))).sale)

    async def adjust(
        self, wallet: str, points: int, person: str = "ada", role: str = "", **fields: Any
    ) -> ledger_pb2.AdjustPointsResponse:
        usual = {
            "request_id": new_id(),
            "kind": pos.POINT_KIND_REDEEMABLE,
            "reason": "a lost parcel",
            "reference": "case 12",
        }
        request = ledger_pb2.AdjustPointsRequest(
            wallet=wallet, points=points, **{**usual, **fields}
        )
        badge = self.badge(person, "points.adjust", roles=(role,) if role else ())
        return await self.shop.care.AdjustPoints(request, metadata=badge)

    async def approve(
        self, proposal: str, person: str = "bo", request_id: str = "", note: str = ""
    ) -> adjustments_pb2.ApproveAdjustmentResponse:
        request = adjustments_pb2.ApproveAdjustmentRequest(
            request_id=request_id or new_id(), proposal=proposal, note=note
        )
        badge = self.badge(person, "points.approve")
        return await self.desk.ApproveAdjustment(request, metadata=badge)

    async def reject(self, proposal: str, person: str = "bo", request_id: str = "") -> Proposal:
        request = adjustments_pb2.RejectAdjustmentRequest(
            request_id=request_id or new_id(), proposal=proposal, note="too much"
        )
        badge = self.badge(person, "points.approve")
        return (await self.desk.RejectAdjustment(request, metadata=badge)).proposal

    async def proposals(
        self, badge: Metadata, **fields: Any
    ) -> adjustments_pb2.ListProposalsResponse:
        request = adjustments_pb2.ListProposalsRequest(**fields)
        return await self.desk.ListProposals(request, metadata=badge)

    async def available(self, wallet: str) -> int:
        return (await self.shop.wallet(wallet)).available

    async def explained(self, entry: str) -> ledger_pb2.ExplainEntryResponse:
        request = ledger_pb2.ExplainEntryRequest(name=entry)
        return await self.shop.care.ExplainEntry(request, metadata=self.shop.everything)
