"""What members are offered: at their price, in their language, with what is left."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from loyalty.rewards.v1 import catalogue_pb2

from services.plumbing.timestamps import timestamp
from services.rewards.domain.quotas import ALWAYS, QuotaKey, QuotaKind
from services.rewards.storage import pools, quotas
from services.rewards.usecases import offers
from tests.service.refusals import refused
from tests.service.rewards_calls import ANOTHER, MEMBER, Rewards
from tests.service.rewards_reacting import changed, heard, published_rules

HOUR = timedelta(hours=1)
APP = catalogue_pb2.CHANNEL_APP
TILL = catalogue_pb2.CHANNEL_TILL


def in_hours(hours: int) -> datetime:
    return datetime.now(UTC) + hours * HOUR


async def test_reward_is_shown_with_all_that_the_app_needs(rewards: Rewards) -> None:
    await rewards.offer(
        texts={
            "en": catalogue_pb2.RewardTexts(title="A gift", terms="Once"),
            "de": catalogue_pb2.RewardTexts(title="Ein Geschenk"),
        },
        picture_urls=["https://pictures.example/gift.jpg"],
        channels=[APP],
        voucher=catalogue_pb2.VoucherDefinition(
            generated=catalogue_pb2.GeneratedCode(), value_minor=1000, currency_code="CHF"
        ),
    )
    assert await rewards.shown(language="de-AT") == [
        catalogue_pb2.OfferedReward(
            reward="rewards/coffee",
            version=1,
            kind=catalogue_pb2.REWARD_KIND_VOUCHER,
            language="de",
            texts=catalogue_pb2.RewardTexts(title="Ein Geschenk"),
            picture_urls=["https://pictures.example/gift.jpg"],
            points=100,
            channels=[APP],
            voucher_value_minor=1000,
            voucher_currency_code="CHF",
        )
    ]
    (french,) = await rewards.shown(language="fr")
    assert (french.language, french.texts.title) == ("en", "A gift")


async def test_member_sees_what_is_for_their_tier_and_segments(rewards: Rewards) -> None:
    await rewards.offer("rewards/for-all")
    await rewards.offer("rewards/for-base", tiers=["base"])
    await rewards.offer("rewards/for-gold", tiers=["gold", "platinum"])
    await rewards.offer("rewards/for-parents", segments=["parents"])
    heard(rewards.database_url, published_rules("base", "gold"))
    assert await rewards.names(member=MEMBER) == ["for-all", "for-base"]
    assert await rewards.names() == ["for-all"]
    heard(rewards.database_url, changed(MEMBER, "gold"))
    assert await rewards.segment("parents", added=[MEMBER, ANOTHER], removed=[ANOTHER]) == 1
    assert await rewards.names(member=MEMBER) == ["for-all", "for-gold", "for-parents"]
    assert await rewards.names(member=ANOTHER) == ["for-all", "for-base"]
    assert await rewards.segment("parents", removed=[MEMBER]) == 0
    assert await rewards.names(member=MEMBER) == ["for-all", "for-gold"]


async def test_price_is_the_lowest_for_the_members_tier_or_segments(rewards: Rewards) -> None:
    await rewards.offer(
        prices=[
            catalogue_pb2.RewardPrice(tiers=["gold"], points=80),
            catalogue_pb2.RewardPrice(segments=["parents"], points=60),
        ]
    )
    heard(rewards.database_url, published_rules("base", "gold"), changed(MEMBER, "gold"))
    assert [each.points for each in await rewards.shown(member=MEMBER)] == [80]
    await rewards.segment("parents", added=[MEMBER])
    assert [each.points for each in await rewards.shown(member=MEMBER)] == [60]
    assert [each.points for each in await rewards.shown(member=ANOTHER)] == [100]


async def test_tier_counts_from_its_time_on(rewards: Rewards) -> None:
    await rewards.offer(tiers=["gold"])
    heard(
        rewards.database_url,
        published_rules("base", "gold"),
        changed(MEMBER, "gold", effective=in_hours(1)),
    )
    assert await rewards.names(member=MEMBER) == []
    heard(rewards.database_url, changed(MEMBER, "gold", effective=in_hours(-1)))
    assert await rewards.names(member=MEMBER) == ["coffee"]


async def test_event_that_comes_twice_is_applied_once(rewards: Rewards) -> None:
    await rewards.offer(tiers=["gold"])
    up = changed(MEMBER, "gold", effective=in_hours(-2))
    heard(rewards.database_url, published_rules("base", "gold"), up)
    heard(rewards.database_url, changed(MEMBER, "base", effective=in_hours(-1)), up)
    assert await rewards.names(member=MEMBER) == []


async def test_early_access_shows_a_reward_before_its_start(rewards: Rewards) -> None:
    await rewards.offer(
        start_time=timestamp(in_hours(1)),
        early_access=[catalogue_pb2.EarlyAccess(tier="gold", start_time=timestamp(in_hours(-1)))],
    )
    heard(rewards.database_url, published_rules("base", "gold"), changed(MEMBER, "gold"))
    assert await rewards.names(member=MEMBER) == ["coffee"]
    assert await rewards.names(member=ANOTHER) == []


async def test_channel_and_store_narrow_what_is_shown(rewards: Rewards) -> None:
    await rewards.offer("rewards/anywhere")
    await rewards.offer("rewards/in-app", channels=[APP])
    await rewards.offer("rewards/in-store-31", stores=["31"])
    assert await rewards.names() == ["anywhere", "in-app", "in-store-31"]
    assert await rewards.names(channel=TILL, store="32") == ["anywhere"]
    assert await rewards.names(channel=TILL, store="31") == ["anywhere", "in-store-31"]


async def test_what_is_left_is_shown_for_the_store_and_the_member(rewards: Rewards) -> None:
    await rewards.offer(
        stock=catalogue_pb2.Stock(total=10, per_day=8, stores={"31": 3}),
        member_limits=[
            catalogue_pb2.MemberLimit(period=catalogue_pb2.MemberLimit.PERIOD_DAY, most=2)
        ],
    )
    take(rewards, member=MEMBER, store="31")
    (at_31,) = await rewards.shown(member=MEMBER, store="31")
    assert (at_31.stock_left, at_31.member_left) == (2, 1)
    (elsewhere,) = await rewards.shown(member=ANOTHER, store="32")
    assert (elsewhere.stock_left, elsewhere.member_left) == (7, 2)
    (anonymous,) = await rewards.shown()
    assert anonymous.stock_left == 7
    taken = (await rewards.get()).stock_taken
    assert taken == catalogue_pb2.StockTaken(total=1, today=1, stores={"31": 1})


async def test_nothing_is_left_where_stock_is_lowered_below_what_is_taken(
    rewards: Rewards,
) -> None:
    await rewards.offer(stock=catalogue_pb2.Stock(total=10))
    for _ in range(3):
        take(rewards, member=MEMBER, store="")
    lowered = await rewards.set_stock(total=2)
    assert (lowered.stock.total, lowered.stock_taken.total) == (2, 3)
    assert [each.stock_left for each in await rewards.shown()] == [0]


async def test_reward_without_limits_says_so(rewards: Rewards) -> None:
    await rewards.offer()
    (shown,) = await rewards.shown(member=MEMBER)
    assert not shown.HasField("stock_left")
    assert not shown.HasField("member_left")


async def test_codes_of_a_pool_are_stock_too(rewards: Rewards) -> None:
    await rewards.upload("AAAA", "BBBB")
    await rewards.offer(
        voucher=catalogue_pb2.VoucherDefinition(pool="codePools/cinema"),
        stock=catalogue_pb2.Stock(total=10),
    )
    assert [each.stock_left for each in await rewards.shown()] == [2]
    with rewards.connection() as connection:
        pools.take_codes(connection, [(uuid.uuid4(), "cinema")])
    assert [each.stock_left for each in await rewards.shown()] == [1]


async def test_pages_follow_each_other_without_gap_or_repetition(
    rewards: Rewards, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So small that a page needs several.
    monkeypatch.setattr(offers, "SLICE_MIN", 1)
    for number in range(7):
        kept = ["platinum"] if 0 < number < 5 else []
        await rewards.offer(f"rewards/r{number}", tiers=kept)
    found: list[str] = []
    token = ""
    while True:
        page = await rewards.page(page_size=2, page_token=token)
        found += [offered.reward for offered in page.rewards]
        token = page.next_page_token
        if not token:
            break
        assert len(page.rewards) == 2
    assert found == [f"rewards/r{number}" for number in (0, 5, 6)]


async def test_page_token_of_another_list_is_refused(rewards: Rewards) -> None:
    refusal = await refused(rewards.page(page_token="WzFd"))
    assert refusal.reason == "PAGE_TOKEN_INVALID"


async def test_member_sees_their_own_offers_alone(rewards: Rewards) -> None:
    await rewards.offer()
    own = rewards.tokens.bearer("rewards.read.own", subject=MEMBER)
    assert len((await rewards.page(own, member=MEMBER)).rewards) == 1
    for other in (ANOTHER, ""):
        assert (await refused(rewards.page(own, member=other))).reason == "NOT_YOURS"


async def test_rules_whose_first_tier_changes_move_who_has_none(rewards: Rewards) -> None:
    await rewards.offer(tiers=["friend"])
    heard(rewards.database_url, published_rules("base", "gold", effective=in_hours(-2)))
    heard(
        rewards.database_url,
        published_rules("friend", "gold", version=2, effective=in_hours(-1)),
    )
    assert await rewards.names(member=MEMBER) == ["coffee"]


def take(rewards: Rewards, *, member: str, store: str) -> None:
    """Take one piece of all that is limited, as a redemption would."""
    today = datetime.now(UTC).date()
    keys = [
        QuotaKey("coffee", QuotaKind.TOTAL, "", ALWAYS),
        QuotaKey("coffee", QuotaKind.DAY, "", today),
        QuotaKey("coffee", QuotaKind.MEMBER_DAY, member.removeprefix("members/"), today),
    ]
    if store:
        keys.append(QuotaKey("coffee", QuotaKind.STORE, store, ALWAYS))
    with rewards.connection() as connection:
        quotas.lock(connection, dict.fromkeys(keys, 100))
        quotas.add(connection, dict.fromkeys(keys, 1))
