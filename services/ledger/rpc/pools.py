"""What members of a household spend of each other's points."""

import asyncio
from uuid import UUID

from loyalty.ledger.v1 import pools_pb2, pools_pb2_grpc

from services.ledger.rpc import messages, names
from services.ledger.rpc.holdings import Holdings
from services.ledger.storage.journal import MICROS_MAX, MICROS_MIN
from services.ledger.storage.shared_holds import BurnKey, LentBurn
from services.ledger.usecases.pools import PoolBalance, Pools
from services.plumbing.grpc_calls import Context
from services.plumbing.pages import PageTokenInvalid, page_size, page_token, read_page_token


class PoolReading(pools_pb2_grpc.PoolServiceServicer):
    def __init__(self, *, holdings: Holdings, pools: Pools) -> None:
        self._holdings = holdings
        self._pools = pools

    async def GetPool(
        self,
        request: pools_pb2.GetPoolRequest,
        context: Context,  # noqa: ARG002
    ) -> pools_pb2.GetPoolResponse:
        member_id = await self._member(request.name)
        found = await asyncio.to_thread(self._pools.balance, member_id)
        return pools_pb2.GetPoolResponse(pool=write_pool(request.name, found))

    async def ListPoolBurns(
        self,
        request: pools_pb2.ListPoolBurnsRequest,
        context: Context,  # noqa: ARG002
    ) -> pools_pb2.ListPoolBurnsResponse:
        size = page_size(request.page_size, default=50, most=500)
        before = read_burn_token(request.page_token)
        member_id = await self._member(request.parent)
        found = await asyncio.to_thread(self._pools.burns, member_id, before=before, limit=size + 1)
        page = found[:size]
        last = page[-1] if len(found) > size else None
        return pools_pb2.ListPoolBurnsResponse(
            burns=[write_burn(burn) for burn in page],
            next_page_token=page_token(last.create_time, last.shared_hold_id, last.ordinal)
            if last
            else "",
        )

    async def _member(self, name: str) -> str:
        """Refuses: NOT_YOURS, WalletNotFound, MemberMerged."""
        holding = await self._holdings.find(name)
        return holding.member_id or ""


def write_pool(name: str, found: PoolBalance) -> pools_pb2.Pool:
    household = found.pool.household_id
    return pools_pb2.Pool(
        name=name,
        household=f"households/{household}" if household else "",
        own_points=found.own_available,
        pooled_points=found.lent_available,
        contributions=[
            pools_pb2.PoolContribution(
                member=f"members/{each.member_id}",
                points_limit=each.points_limit,
                spent_points=each.spent,
                available_points=each.available,
            )
            for each in found.contributions
        ],
    )


def write_burn(burn: LentBurn) -> pools_pb2.PoolBurn:
    return pools_pb2.PoolBurn(
        shared_burn=f"{names.SHARED_BURNS}{burn.shared_hold_id}",
        spender=f"members/{burn.spender_id}",
        owner=f"members/{burn.owner_id}",
        burn=names.burn_name(burn.wallet_id, burn.burn_id),
        points=burn.points,
        refunded_points=burn.refunded,
        purpose=burn.purpose,
        hold_time=messages.timestamp(burn.create_time),
    )


def read_burn_token(token: str) -> BurnKey | None:
    """Refuses: PageTokenInvalid."""
    keys = read_page_token(token, int, str, int)
    if keys is None:
        return None
    time = int(keys[0])
    if not MICROS_MIN <= time <= MICROS_MAX:
        raise PageTokenInvalid
    try:
        shared_hold_id = UUID(str(keys[1]))
    except ValueError:
        raise PageTokenInvalid from None
    return time, str(shared_hold_id), int(keys[2])
