"""The catalogue as marketing works on it: versions, publication, stock."""

import asyncio

import grpc
from loyalty.rewards.v1 import catalogue_pb2, events_pb2

from tests.service.refusals import refused
from tests.service.rewards_calls import COFFEE, Rewards, moment, new_id
from tests.service.rewards_desk import definition

DRAFT = catalogue_pb2.Reward.STATE_DRAFT
PUBLISHED = catalogue_pb2.Reward.STATE_PUBLISHED
ENDED = catalogue_pb2.Reward.STATE_ENDED
FULL = definition(
    kind=catalogue_pb2.REWARD_KIND_POINTS_PLUS_CASH,
    texts={
        "en": catalogue_pb2.RewardTexts(title="A dinner", description="For two", terms="Once"),
        "de-CH": catalogue_pb2.RewardTexts(title="Ein Znacht"),
    },
    picture_urls=["https://pictures.example/dinner.jpg", "https://pictures.example"],
    points=5000,
    prices=[
        catalogue_pb2.RewardPrice(tiers=["gold"], points=4000),
        catalogue_pb2.RewardPrice(segments=["parents", "students"], points=4500),
    ],
    money_minor=2500,
    currency_code="CHF",
    start_time=moment("2026-01-01T00:00:00Z"),
    end_time=moment("2099-01-01T00:00:00Z"),
    early_access=[
        catalogue_pb2.EarlyAccess(tier="gold", start_time=moment("2025-12-24T18:00:00Z"))
    ],
    channels=[catalogue_pb2.CHANNEL_APP, catalogue_pb2.CHANNEL_TILL],
    stores=["31", "32"],
    tiers=["gold", "silver"],
    segments=["parents"],
    member_limits=[
        catalogue_pb2.MemberLimit(period=catalogue_pb2.MemberLimit.PERIOD_WEEK, most=1),
        catalogue_pb2.MemberLimit(period=catalogue_pb2.MemberLimit.PERIOD_EVER, most=3),
    ],
    voucher=catalogue_pb2.VoucherDefinition(
        pool="codePools/dinners",
        fixed_expire_time=moment("2099-12-31T00:00:00Z"),
        value_minor=10000,
        currency_code="CHF",
        partial_use=True,
    ),
)


async def test_reward_begins_as_a_draft_that_nobody_is_offered(rewards: Rewards) -> None:
    created = await rewards.create()
    assert (created.name, created.state, created.published_version) == (COFFEE, DRAFT, 0)
    assert created.latest_version.name == f"{COFFEE}/versions/1"
    assert created.latest_version.creator == "tester"
    assert created == await rewards.get()
    assert await rewards.names() == []
    assert rewards.events() == []


async def test_description_is_kept_as_it_was_written(rewards: Rewards) -> None:
    request = catalogue_pb2.CreateRewardRequest(
        request_id=new_id(),
        name="rewards/dinner",
        definition=FULL,
        stock=catalogue_pb2.Stock(total=0, per_day=7, stores={"31": 3}),
    )
    created = await rewards.catalogue.CreateReward(request, metadata=rewards.everything)
    assert created.reward.latest_version.definition == FULL
    assert created.reward.stock == request.stock


async def test_same_request_again_answers_the_reward_as_it_is_now(rewards: Rewards) -> None:
    request_id = new_id()
    await rewards.create(request_id=request_id)
    published = await rewards.publish()
    assert await rewards.create(request_id=request_id) == published
    reused = await refused(rewards.create(request_id=request_id, points=101))
    assert reused.reason == "REQUEST_ID_REUSED"
    reused = await refused(rewards.create("rewards/tea", request_id=request_id))
    assert reused.reason == "REQUEST_ID_REUSED"
    taken = await refused(rewards.create())
    assert (taken.code, taken.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REWARD_EXISTS")
    assert await rewards.get() == published


async def test_one_request_sent_twice_at_once_makes_one_reward(rewards: Rewards) -> None:
    request_id = new_id()
    answers = await asyncio.gather(*(rewards.create(request_id=request_id) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)


async def test_update_writes_a_version_and_publishing_lets_it_take_over(rewards: Rewards) -> None:
    await rewards.offer()
    updated = await rewards.update(points=120)
    assert (updated.latest_version.version, updated.published_version) == (2, 1)
    assert [offered.points for offered in await rewards.shown()] == [100]
    published = await rewards.publish()
    assert (published.state, published.published_version) == (PUBLISHED, 2)
    assert [(each.points, each.version) for each in await rewards.shown()] == [(120, 2)]
    again = await rewards.publish(version=1)
    assert again.published_version == 1
    assert [offered.points for offered in await rewards.shown()] == [100]


async def test_versions_stay_what_they_were_newest_first(rewards: Rewards) -> None:
    await rewards.create()
    for points in (110, 120, 130):
        await rewards.update(points=points)
    request = catalogue_pb2.ListRewardVersionsRequest(parent=COFFEE, page_size=3)
    first = await rewards.catalogue.ListRewardVersions(request, metadata=rewards.everything)
    request.page_token = first.next_page_token
    rest = await rewards.catalogue.ListRewardVersions(request, metadata=rewards.everything)
    versions = [*first.versions, *rest.versions]
    assert [(each.version, each.definition.points) for each in versions] == [
        (4, 130),
        (3, 120),
        (2, 110),
        (1, 100),
    ]
    assert rest.next_page_token == ""


async def test_same_description_again_makes_no_version(rewards: Rewards) -> None:
    created = await rewards.create()
    assert await rewards.update() == created


async def test_lost_update_is_refused(rewards: Rewards) -> None:
    seen = (await rewards.create()).etag
    updated = await rewards.update(points=120, etag=seen)
    for late in (
        rewards.update(points=130, etag=seen),
        rewards.publish(etag=seen),
        rewards.end(etag=seen),
    ):
        refusal = await refused(late)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "STALE_ETAG")
    assert await rewards.get() == updated
    assert (await rewards.publish(etag=updated.etag)).published_version == 2


async def test_ended_reward_is_offered_no_more_until_published_again(rewards: Rewards) -> None:
    await rewards.offer()
    ended = await rewards.end()
    assert (ended.state, ended.published_version) == (ENDED, 0)
    assert await rewards.end() == ended
    assert await rewards.names() == []
    assert (await rewards.publish()).state == PUBLISHED
    assert await rewards.names() == ["coffee"]


async def test_publishing_and_ending_are_announced_once(rewards: Rewards) -> None:
    await rewards.offer()
    await rewards.publish()
    await rewards.end()
    await rewards.end()
    events = rewards.events()
    assert [(event.type.rpartition(".")[2], event.subject) for event in events] == [
        ("RewardPublished", COFFEE),
        ("RewardEnded", COFFEE),
    ]
    assert events_pb2.RewardPublished.FromString(events[0].data) == events_pb2.RewardPublished(
        reward=COFFEE, version=1, kind=catalogue_pb2.REWARD_KIND_VOUCHER, points=100
    )


async def test_what_contradicts_itself_or_has_gone_by_is_refused(rewards: Rewards) -> None:
    created = await rewards.create(end_time=moment("2020-01-01T00:00:00Z"))
    wrong = await refused(rewards.update(default_language="de"))
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REWARD_INVALID")
    assert wrong.fields == ("definition.default_language",)
    gone = await refused(rewards.publish())
    assert (gone.reason, gone.fields) == ("REWARD_INVALID", ("definition.end_time",))
    assert await rewards.get() == created
    assert rewards.events() == []


async def test_what_is_not_there_is_not_found(rewards: Rewards) -> None:
    nowhere = "rewards/nowhere"
    for call in (
        rewards.get(nowhere),
        rewards.update(nowhere),
        rewards.publish(nowhere),
        rewards.end(nowhere),
        rewards.set_stock(nowhere, total=1),
        rewards.catalogue.ListRewardVersions(
            catalogue_pb2.ListRewardVersionsRequest(parent=nowhere), metadata=rewards.everything
        ),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.NOT_FOUND,
            "REWARD_NOT_FOUND",
        )
    await rewards.create()
    refusal = await refused(rewards.publish(version=2))
    assert (refusal.reason, refusal.metadata) == ("REWARD_VERSION_NOT_FOUND", {"version": "2"})


async def test_stock_is_replaced_as_a_whole_and_no_version_of_it(rewards: Rewards) -> None:
    created = await rewards.create(stock=catalogue_pb2.Stock(total=5, stores={"31": 2}))
    changed = await rewards.set_stock(per_day=3)
    assert changed.stock == catalogue_pb2.Stock(per_day=3)
    assert (changed.etag, changed.latest_version) == (created.etag, created.latest_version)


async def test_catalogue_lists_every_reward_by_name(rewards: Rewards) -> None:
    for name in ("tea", "coffee", "dinner", "a-z", "a0"):
        await rewards.create(f"rewards/{name}")
    await rewards.publish("rewards/dinner")
    found: list[str] = []
    request = catalogue_pb2.ListCatalogueRequest(page_size=2)
    while True:
        page = await rewards.catalogue.ListCatalogue(request, metadata=rewards.everything)
        found += [reward.name.removeprefix("rewards/") for reward in page.rewards]
        if not page.next_page_token:
            break
        assert len(page.rewards) == 2
        request.page_token = page.next_page_token
    assert found == ["a-z", "a0", "coffee", "dinner", "tea"]
