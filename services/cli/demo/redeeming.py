"""What households get for their points: at a day's close each that bought on the day takes the
first reward of the list that it can afford, the first household first.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, date, datetime, time
from types import TracebackType

from loyalty.members.v1 import members_pb2, members_pb2_grpc
from loyalty.rewards.v1 import catalogue_pb2, redemption_pb2, redemption_pb2_grpc

from services.cli.demo.catalogue import DemoReward, first_affordable
from services.cli.demo.requests import card_token, request_id
from services.plumbing.grpc_client import bearer, channel

CALLS_IN_FLIGHT = 8
CALL_SECONDS_MAX = 60.0
PAGE_SIZE = 500
LAST_INSTANT = time(23, 59, 59, 999_999, tzinfo=UTC)


class Shoppers:
    """The households that bought on the day that is under way, and what each then had to spend."""

    def __init__(self) -> None:
        self._available: dict[int, int] = {}

    def note(self, household: int, available: int) -> None:
        """A household bought; its last sale of the day is noted last."""
        self._available[household] = available

    def taken(self) -> list[tuple[int, int]]:
        """Households with their points, the first household first; the next day begins."""
        found = sorted(self._available.items())
        self._available = {}
        return found


class RedeemDays:
    """The step of a day's close that redeems; a context manager. Safe to repeat: what a household
    had after its last sale is answered as it was the first time.
    """

    def __init__(
        self, shoppers: Shoppers, members: Mapping[int, str], *, rewards_address: str, token: str
    ) -> None:
        self._shoppers = shoppers
        self._members = members
        self._metadata = bearer(token)
        self._opened = ExitStack()
        opened = channel(rewards_address, seconds_max=CALL_SECONDS_MAX)
        self._rewards = redemption_pb2_grpc.RedemptionServiceStub(opened)
        self._pool = ThreadPoolExecutor(CALLS_IN_FLIGHT, thread_name_prefix="redeem")
        self._opened.enter_context(opened)
        self._opened.enter_context(self._pool)

    def __enter__(self) -> "RedeemDays":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._opened.__exit__(kind, error, traceback)

    def __call__(self, day: date) -> None:
        """Refuses: RpcError."""
        wanted = [
            (household, reward)
            for household, points in self._shoppers.taken()
            if (reward := first_affordable(points)) is not None
        ]
        for _ in self._pool.map(lambda each: self._redeem(day, *each), wanted):
            pass

    def _redeem(self, day: date, household: int, reward: DemoReward) -> None:
        request = redemption_pb2.RedeemRewardRequest(
            request_id=request_id("redemption", f"{household}/{day}"),
            member=self._members[household],
            reward=reward.name,
            expected_points=reward.points,
            channel=catalogue_pb2.CHANNEL_APP,
        )
        request.business_time.FromDatetime(datetime.combine(day, LAST_INSTANT))
        self._rewards.RedeemReward(request, metadata=self._metadata)


def members_by_household(*, members_address: str, token: str) -> dict[int, str]:
    """The names of the households' members."""
    prefix = card_token(0).rstrip("0")
    with channel(members_address, seconds_max=CALL_SECONDS_MAX) as opened:
        listed = _members(members_pb2_grpc.MembersServiceStub(opened), token)
        return {int(m.cards[0].card_token.removeprefix(prefix)): m.name for m in listed}


def _members(
    members: members_pb2_grpc.MembersServiceStub, token: str
) -> Iterator[members_pb2.Member]:
    request = members_pb2.ListMembersRequest(page_size=PAGE_SIZE)
    while True:
        page = members.ListMembers(request, metadata=bearer(token))
        yield from page.members
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
