"""Members and their points together: families spend from their pool, members send each other some.

Each has a token that opens their own alone.
"""

import random
import time
import uuid

from locust import User, between, task
from locust.env import Environment
from loyalty.ledger.v1 import pools_pb2, pools_pb2_grpc, transfers_pb2, transfers_pb2_grpc
from loyalty.rewards.v1 import catalogue_pb2, redemption_pb2_grpc

from loadtests.tills.app import DUE_REFUSALS, redemption_for
from loadtests.tills.calls import Calls
from loadtests.tills.rewards import REWARDS
from loadtests.tills.world import world

SCOPES = ("wallets.read.own", "points.transfer.own", "rewards.redeem.own")
# A member may have spent their points, or sent enough, or the other been sent enough.
DUE_TRANSFER_REFUSALS = ("INSUFFICIENT_POINTS", "TRANSFER_LIMIT_REACHED")
POINTS_SENT = (2, 5)
SENT_AGAIN_SHARE = 0.2

_draw = random.Random()  # noqa: S311 — a workload, no secret


class Family(User):
    """A phone that is handed around at home."""

    weight = 2
    wait_time = between(0.5, 2.0)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._pools = pools_pb2_grpc.PoolServiceStub(world().ledger)
        self._transfers = transfers_pb2_grpc.TransferServiceStub(world().ledger)
        self._redemptions = redemption_pb2_grpc.RedemptionServiceStub(world().rewards)

    def on_start(self) -> None:
        """Even the shortest load has looked at a pool and sent points."""
        self.look_at_pool()
        self.send_points()

    @task(5)
    def look_at_pool(self) -> None:
        """What the member can spend, and who spent whose points."""
        family = _draw.choice(world().customers.families)
        member = _draw.choice(family)
        calls = self._open(member)
        started = time.perf_counter()
        pool = self._pool(member, calls)
        if pool is not None and {each.member for each in pool.contributions} != set(family):
            calls.tell("GetPool", started, failure="another family")
        burns = pools_pb2.ListPoolBurnsRequest(parent=f"{member}/pool")
        calls.answer("ListPoolBurns", self._pools.ListPoolBurns, burns)

    @task(1)
    def look_at_anothers_pool(self) -> None:
        """Which the token does not open, not even within a family."""
        member, another = _draw.sample(_draw.choice(world().customers.families), 2)
        request = pools_pb2.GetPoolRequest(name=f"{another}/pool")
        self._open(member).refusal("GetPool", self._pools.GetPool, request, due="NOT_YOURS")

    @task(5)
    def redeem_from_pool(self) -> None:
        """A reward that is too dear for the member alone; nothing where there is none."""
        member = _draw.choice(_draw.choice(world().customers.families))
        calls = self._open(member)
        pool = self._pool(member, calls)
        if pool is None:
            return
        together = pool.own_points + pool.pooled_points
        for reward, (_, points) in REWARDS.items():
            if pool.own_points < points <= together:
                offered = catalogue_pb2.OfferedReward(reward=f"rewards/{reward}", points=points)
                calls.answer(
                    "RedeemReward from a pool",
                    self._redemptions.RedeemReward,
                    redemption_for(member, offered),
                    tolerated=DUE_REFUSALS,
                )
                return

    @task(8)
    def send_points(self) -> None:
        """A few, to anybody; at times the answer gets lost and the same request is sent again."""
        sender, receiver = _draw.sample(world().customers.members, 2)
        calls = self._open(sender)
        request = transfer_of(sender, receiver)
        first = self._send("TransferPoints", request, calls)
        if _draw.random() < SENT_AGAIN_SHARE:
            started = time.perf_counter()
            second = self._send("TransferPoints again", request, calls)
            if (first and first.transfer.name) != (second and second.transfer.name):
                calls.tell("TransferPoints again", started, failure="another answer")

    @task(1)
    def send_anothers_points(self) -> None:
        """Which the token does not open."""
        member, another = _draw.sample(world().customers.members, 2)
        self._open(member).refusal(
            "TransferPoints",
            self._transfers.TransferPoints,
            transfer_of(another, member),
            due="NOT_YOURS",
        )

    @task(3)
    def look_at_transfers(self) -> None:
        member = _draw.choice(world().customers.members)
        request = transfers_pb2.ListTransfersRequest(parent=f"{member}/wallet")
        self._open(member).answer("ListTransfers", self._transfers.ListTransfers, request)

    def _send(
        self, name: str, request: transfers_pb2.TransferPointsRequest, calls: Calls
    ) -> transfers_pb2.TransferPointsResponse | None:
        method = self._transfers.TransferPoints
        return calls.answer(name, method, request, tolerated=DUE_TRANSFER_REFUSALS)

    def _pool(self, member: str, calls: Calls) -> pools_pb2.Pool | None:
        request = pools_pb2.GetPoolRequest(name=f"{member}/pool")
        answer = calls.answer("GetPool", self._pools.GetPool, request)
        return answer.pool if answer is not None else None

    def _open(self, member: str) -> Calls:
        return Calls(self.environment, world().token(member, *SCOPES))


def transfer_of(sender: str, receiver: str) -> transfers_pb2.TransferPointsRequest:
    return transfers_pb2.TransferPointsRequest(
        request_id=str(uuid.uuid4()),
        from_wallet=f"{sender}/wallet",
        to_wallet=f"{receiver}/wallet",
        points=_draw.randint(*POINTS_SENT),
    )
