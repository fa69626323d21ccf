"""Which version of a reward is bought, and at which price."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.plumbing.errors import Refused
from services.rewards.domain.buying import choose
from services.rewards.domain.offering import Standing
from services.rewards.domain.rewards import Channel, Offer, Price, StockSettings
from services.rewards.domain.saga import Asked, Bought
from tests.unit.rewards_described import definition as described

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MEMBER = UUID("00000000-0000-4000-8000-000000000001")
JUST_NOW = NOW - timedelta(seconds=30)


def offer(version: int, *, end_time: datetime | None = None, **fields: object) -> Offer:
    return Offer("coffee", version, described(**fields), StockSettings(), end_time)


def chosen(*offers: Offer, points: int, standing: Standing | None = None) -> tuple[object, ...]:
    """The version and the price, or why not."""
    asked = Asked(MEMBER, "coffee", points, Channel.APP, "")
    answer = choose(asked, offers, standing or Standing(), now=NOW)
    if isinstance(answer, Refused):
        return answer.reason, answer.metadata
    assert isinstance(answer, Bought)
    return answer.version, answer.points


def test_the_version_in_force_is_bought() -> None:
    assert chosen(offer(1, points=100), points=100) == (1, 100)


def test_the_version_shown_a_moment_ago_is_bought_at_its_price() -> None:
    earlier = offer(1, end_time=JUST_NOW, points=100)
    assert chosen(offer(2, points=150), earlier, points=100) == (1, 100)
    assert chosen(offer(2, points=150), earlier, points=150) == (2, 150)


def test_another_price_is_refused_with_the_price_now() -> None:
    earlier = offer(1, end_time=JUST_NOW, points=100)
    refusal = ("PRICE_CHANGED", {"points": "150"})
    assert chosen(offer(2, points=150), earlier, points=99) == refusal


def test_a_member_pays_the_price_of_their_tier() -> None:
    for_gold = offer(1, points=100, prices=(Price(80, tiers=("gold",)),))
    gold = Standing(tiers=frozenset({"gold"}))
    assert chosen(for_gold, points=80, standing=gold) == (1, 80)
    assert chosen(for_gold, points=80) == ("PRICE_CHANGED", {"points": "100"})


def test_what_ended_a_moment_ago_is_bought_at_the_price_shown_alone() -> None:
    ended = offer(1, end_time=JUST_NOW, points=100)
    assert chosen(ended, points=100) == (1, 100)
    refusal = ("REWARD_NOT_OFFERED", {"why": "not_published"})
    assert chosen(ended, points=99) == refusal
    assert chosen(points=100) == refusal


def test_a_version_that_is_not_for_the_member_is_not_bought() -> None:
    for_gold = offer(1, points=100, tiers=("gold",))
    assert chosen(for_gold, points=100) == ("REWARD_NOT_OFFERED", {"why": "tier"})


def test_what_is_had_at_stores_needs_one() -> None:
    assert chosen(offer(1, points=100, stores=("31",)), points=100) == ("STORE_NEEDED", {})


def test_there_has_to_be_such_a_reward() -> None:
    asked = Asked(MEMBER, "coffee", 100, Channel.APP, "")
    answer = choose(asked, None, Standing(), now=NOW)
    assert isinstance(answer, Refused)
    assert answer.reason == "REWARD_NOT_FOUND"
