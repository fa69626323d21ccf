"""The mobile app: members look up their tier, look at rewards and redeem one.

Each has a token that opens their own alone.
"""

import random
import time
import uuid

from locust import User, between, task
from locust.env import Environment
from loyalty.rewards.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    redemption_pb2,
    redemption_pb2_grpc,
)
from loyalty.tiering.v1 import tiering_pb2, tiering_pb2_grpc

from loadtests.tills.calls import Calls
from loadtests.tills.world import world
from services.cli.demo.tiers import GROUP, TIERS

SCOPES = ("tiers.read.own", "rewards.read.own", "rewards.redeem.own")
# Two phones of one member may be at it; a member may have come too late, or often enough.
DUE_REFUSALS = ("INSUFFICIENT_POINTS", "OUT_OF_STOCK", "MEMBER_LIMIT_REACHED")
AFFORDABLE = redemption_pb2.Recommendation.CAUSE_AFFORDABLE
APP = catalogue_pb2.CHANNEL_APP
TIER_CODES = frozenset(code for code, *_ in TIERS)
# A member who looks does so more than once.
LOOKS = 3

_draw = random.Random()  # noqa: S311 — a workload, no secret


class App(User):
    """A phone that is handed from member to member."""

    weight = 3
    wait_time = between(0.5, 2.0)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._tiers = tiering_pb2_grpc.TierServiceStub(world().tiering)
        self._catalogue = catalogue_pb2_grpc.CatalogueServiceStub(world().rewards)
        self._redemptions = redemption_pb2_grpc.RedemptionServiceStub(world().rewards)

    def on_start(self) -> None:
        """The app opens with the tier, so even the shortest load has looked at one."""
        self.look_at_own_tier()

    @task(20)
    def look_at_own_tier(self) -> None:
        """The tier, what is missing to the next, and a sentence that says so."""
        member, calls = self._open()
        for _ in range(LOOKS):
            started = time.perf_counter()
            answer = calls.answer("GetMemberTier", self._tiers.GetMemberTier, request_for(member))
            if answer is None:
                return
            shown = answer.member_tier
            if shown.tier not in TIER_CODES or not shown.explanation:
                calls.tell("GetMemberTier", started, failure="no tier, or none explained")

    @task(1)
    def look_at_anothers_tier(self) -> None:
        """Which the token does not open."""
        member, calls = self._open()
        another = _draw.choice(world().customers.members)
        if another != member:
            calls.refusal(
                "GetMemberTier", self._tiers.GetMemberTier, request_for(another), due="NOT_YOURS"
            )

    @task(10)
    def look_at_rewards(self) -> None:
        member, calls = self._open()
        request = catalogue_pb2.ListRewardsRequest(member=member, channel=APP)
        calls.answer("ListRewards", self._catalogue.ListRewards, request)

    @task(5)
    def redeem_what_is_recommended(self) -> None:
        """The best that the member can afford; nothing where there is none."""
        member, calls = self._open()
        looking = redemption_pb2.ListRecommendationsRequest(member=member, channel=APP)
        found = calls.answer("ListRecommendations", self._redemptions.ListRecommendations, looking)
        recommended = found.recommendations if found is not None else ()
        affordable = [each.reward for each in recommended if each.cause == AFFORDABLE]
        if not affordable:
            return
        started = time.perf_counter()
        redeeming = redemption_for(member, affordable[0])
        answer = calls.answer(
            "RedeemReward", self._redemptions.RedeemReward, redeeming, tolerated=DUE_REFUSALS
        )
        if answer is not None and not answer.voucher.code:
            calls.tell("RedeemReward", started, failure="no voucher")

    @task(1)
    def redeem_with_anothers_points(self) -> None:
        """Which the token does not open."""
        member, calls = self._open()
        another = _draw.choice(world().customers.members)
        if another != member:
            offered = catalogue_pb2.OfferedReward(reward="rewards/coffee", points=1)
            request = redemption_for(another, offered)
            calls.refusal("RedeemReward", self._redemptions.RedeemReward, request, due="NOT_YOURS")

    def _open(self) -> tuple[str, Calls]:
        member = _draw.choice(world().customers.members)
        return member, Calls(self.environment, world().token(member, *SCOPES))


def redemption_for(
    member: str, offered: catalogue_pb2.OfferedReward
) -> redemption_pb2.RedeemRewardRequest:
    return redemption_pb2.RedeemRewardRequest(
        request_id=str(uuid.uuid4()),
        member=member,
        reward=offered.reward,
        expected_points=offered.points,
        channel=APP,
    )


def request_for(member: str) -> tiering_pb2.GetMemberTierRequest:
    group = GROUP.removeprefix("tierGroups/")
    return tiering_pb2.GetMemberTierRequest(name=f"{member}/tiers/{group}")
