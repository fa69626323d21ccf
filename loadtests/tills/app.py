"""The mobile app: members look up their tier, each with a token that opens their own alone."""

import random
import time

from locust import User, between, task
from locust.env import Environment
from loyalty.tiering.v1 import tiering_pb2, tiering_pb2_grpc

from loadtests.tills.calls import Calls
from loadtests.tills.world import world
from services.cli.demo.tiers import GROUP, TIERS

SCOPE = "tiers.read.own"
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

    def _open(self) -> tuple[str, Calls]:
        member = _draw.choice(world().customers.members)
        return member, Calls(self.environment, world().token(member, SCOPE))


def request_for(member: str) -> tiering_pb2.GetMemberTierRequest:
    group = GROUP.removeprefix("tierGroups/")
    return tiering_pb2.GetMemberTierRequest(name=f"{member}/tiers/{group}")
