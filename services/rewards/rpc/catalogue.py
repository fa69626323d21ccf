"""CatalogueService: one use case a call."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from loyalty.rewards.v1 import catalogue_pb2, catalogue_pb2_grpc

from services.plumbing.auth import current_caller
from services.plumbing.database_work import DatabaseWork
from services.plumbing.pages import next_page_token, page_size, read_page_token
from services.plumbing.timestamps import timestamp
from services.rewards.domain.offering import Place, StockTaken
from services.rewards.domain.rewards import Reward, State, Version
from services.rewards.events import reward_name
from services.rewards.rpc.definitions import (
    read_channel,
    read_definition,
    read_stock,
    write_definition,
    write_stock,
)
from services.rewards.rpc.names import read_member, read_reward, read_segment
from services.rewards.rpc.offers import offered_reward
from services.rewards.usecases import catalogue, offers, people
from services.rewards.usecases.catalogue import Stocked
from services.rewards.usecases.offers import Looker

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500
VERSIONS_PAGE_SIZE = 20
VERSIONS_PAGE_SIZE_MAX = 100
# Above every version; the column is an integer.
NEWEST = 2**31 - 1
STATES = {
    State.DRAFT: catalogue_pb2.Reward.STATE_DRAFT,
    State.PUBLISHED: catalogue_pb2.Reward.STATE_PUBLISHED,
    State.ENDED: catalogue_pb2.Reward.STATE_ENDED,
}


class Catalogue(catalogue_pb2_grpc.CatalogueServiceServicer):
    """Thin: reads the request, does one use case on a database thread, writes the answer."""

    def __init__(self, work: DatabaseWork, clock: Callable[[], datetime]) -> None:
        self._work = work
        self._clock = clock

    async def CreateReward(
        self, request: catalogue_pb2.CreateRewardRequest, _context: object
    ) -> catalogue_pb2.CreateRewardResponse:
        created = await self._work.run(
            catalogue.create_reward,
            read_reward(request.name),
            read_definition(request.definition),
            read_stock(request.stock),
            request_id=UUID(request.request_id),
            creator=current_caller().subject,
            now=self._clock(),
        )
        return catalogue_pb2.CreateRewardResponse(reward=reward_message(created))

    async def UpdateReward(
        self, request: catalogue_pb2.UpdateRewardRequest, _context: object
    ) -> catalogue_pb2.UpdateRewardResponse:
        updated = await self._work.run(
            catalogue.update_reward,
            read_reward(request.name),
            read_definition(request.definition),
            etag=request.etag,
            creator=current_caller().subject,
            now=self._clock(),
        )
        return catalogue_pb2.UpdateRewardResponse(reward=reward_message(updated))

    async def PublishReward(
        self, request: catalogue_pb2.PublishRewardRequest, _context: object
    ) -> catalogue_pb2.PublishRewardResponse:
        published = await self._work.run(
            catalogue.publish_reward,
            read_reward(request.name),
            request.version,
            etag=request.etag,
            publisher=current_caller().subject,
            now=self._clock(),
        )
        return catalogue_pb2.PublishRewardResponse(reward=reward_message(published))

    async def EndReward(
        self, request: catalogue_pb2.EndRewardRequest, _context: object
    ) -> catalogue_pb2.EndRewardResponse:
        ended = await self._work.run(
            catalogue.end_reward,
            read_reward(request.name),
            etag=request.etag,
            now=self._clock(),
        )
        return catalogue_pb2.EndRewardResponse(reward=reward_message(ended))

    async def SetStock(
        self, request: catalogue_pb2.SetStockRequest, _context: object
    ) -> catalogue_pb2.SetStockResponse:
        changed = await self._work.run(
            catalogue.set_stock,
            read_reward(request.name),
            read_stock(request.stock),
            now=self._clock(),
        )
        return catalogue_pb2.SetStockResponse(reward=reward_message(changed))

    async def GetReward(
        self, request: catalogue_pb2.GetRewardRequest, _context: object
    ) -> catalogue_pb2.GetRewardResponse:
        found = await self._work.run(
            catalogue.get_reward, read_reward(request.name), now=self._clock()
        )
        return catalogue_pb2.GetRewardResponse(reward=reward_message(found))

    async def ListRewardVersions(
        self, request: catalogue_pb2.ListRewardVersionsRequest, _context: object
    ) -> catalogue_pb2.ListRewardVersionsResponse:
        size = page_size(request.page_size, default=VERSIONS_PAGE_SIZE, most=VERSIONS_PAGE_SIZE_MAX)
        keys = read_page_token(request.page_token, int)
        # One more than the page, to know whether there is another.
        found = await self._work.run(
            catalogue.list_versions,
            read_reward(request.parent),
            before=min(int(keys[0]), NEWEST) if keys else NEWEST,
            limit=size + 1,
        )
        return catalogue_pb2.ListRewardVersionsResponse(
            versions=map(version_message, found[:size]),
            next_page_token=next_page_token(found, size, lambda row: row.version),
        )

    async def ListCatalogue(
        self, request: catalogue_pb2.ListCatalogueRequest, _context: object
    ) -> catalogue_pb2.ListCatalogueResponse:
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        found = await self._work.run(
            catalogue.list_rewards,
            after=_read_place(request.page_token),
            limit=size + 1,
            now=self._clock(),
        )
        return catalogue_pb2.ListCatalogueResponse(
            rewards=map(reward_message, found[:size]),
            next_page_token=next_page_token(found, size, lambda row: row.reward.reward_id),
        )

    async def ListRewards(
        self, request: catalogue_pb2.ListRewardsRequest, _context: object
    ) -> catalogue_pb2.ListRewardsResponse:
        current_caller().require_own(request.member)
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        looker = Looker(
            member_id=read_member(request.member) if request.member else None,
            place=Place(read_channel(request.channel), request.store),
        )
        found = await self._work.run(
            offers.list_offers,
            looker,
            after=_read_place(request.page_token),
            limit=size + 1,
            now=self._clock(),
        )
        return catalogue_pb2.ListRewardsResponse(
            rewards=[offered_reward(shown, language=request.language) for shown in found[:size]],
            next_page_token=next_page_token(found, size, lambda row: row.offer.reward_id),
        )

    async def SetSegment(
        self, request: catalogue_pb2.SetSegmentRequest, _context: object
    ) -> catalogue_pb2.SetSegmentResponse:
        members = await self._work.run(
            people.set_segment,
            read_segment(request.segment),
            added=[read_member(name) for name in request.added_members],
            removed=[read_member(name) for name in request.removed_members],
        )
        return catalogue_pb2.SetSegmentResponse(members=members)


def reward_message(stocked: Stocked) -> catalogue_pb2.Reward:
    reward: Reward = stocked.reward
    return catalogue_pb2.Reward(
        name=reward_name(reward.reward_id),
        state=STATES[reward.state],
        latest_version=version_message(reward.latest),
        published_version=reward.published_version or 0,
        stock=write_stock(reward.stock),
        stock_taken=_taken_message(stocked.taken),
        etag=reward.etag,
    )


def version_message(version: Version) -> catalogue_pb2.RewardVersion:
    message = catalogue_pb2.RewardVersion(
        name=f"{reward_name(version.reward_id)}/versions/{version.version}",
        version=version.version,
        definition=write_definition(version.definition),
        creator=version.creator,
        create_time=timestamp(version.create_time),
    )
    if version.publisher is not None and version.publish_time is not None:
        message.publisher = version.publisher
        message.publish_time.CopyFrom(timestamp(version.publish_time))
    return message


def _taken_message(taken: StockTaken) -> catalogue_pb2.StockTaken:
    return catalogue_pb2.StockTaken(total=taken.total, today=taken.day, stores=taken.stores)


def _read_place(token: str) -> str:
    """The name that the last page ended with; no reward's is before an empty one."""
    keys = read_page_token(token, str)
    return str(keys[0]) if keys else ""
