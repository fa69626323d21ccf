"""Who is offered a reward, at which price, and how many are left."""

from datetime import date, timedelta
from typing import Any

import pytest

from services.rewards.domain.offering import (
    Place,
    Standing,
    StockTaken,
    language,
    member_left,
    needs_store,
    price,
    stock_left,
    why_not,
)
from services.rewards.domain.periods import first_day
from services.rewards.domain.rewards import (
    Channel,
    EarlyAccess,
    MemberLimit,
    Period,
    Price,
    StockSettings,
    Texts,
)
from tests.unit.rewards_described import NOON, definition

GOLD = Standing(tiers=frozenset({"gold"}))
PARENTS = Standing(tiers=frozenset({"base"}), segments=frozenset({"parents"}))
NOBODY = Standing()
ANYWHERE = Place()
SECOND = timedelta(seconds=1)


def why(
    standing: Standing = NOBODY, place: Place = ANYWHERE, now: Any = NOON, **fields: Any
) -> str | None:
    refusal = why_not(definition(**fields), standing, place, now=now)
    return refusal.metadata["why"] if refusal is not None else None


def test_lowest_price_that_applies_is_the_members() -> None:
    reward = definition(
        prices=(
            Price(80, tiers=("gold",)),
            Price(70, tiers=("gold", "platinum"), segments=("parents",)),
            Price(150, tiers=("base",)),
        )
    )
    assert [price(reward, standing) for standing in (NOBODY, GOLD, PARENTS)] == [100, 70, 70]
    assert price(reward, Standing(tiers=frozenset({"base"}))) == 100


def test_reward_is_offered_from_its_start_until_before_its_end() -> None:
    window: dict[str, Any] = {"start_time": NOON, "end_time": NOON + SECOND}
    times = (NOON - SECOND, NOON, NOON + SECOND)
    assert [why(now=now, **window) for now in times] == ["not_yet", None, "over"]


def test_tier_with_early_access_is_offered_it_earlier() -> None:
    early: dict[str, Any] = {
        "start_time": NOON,
        "early_access": (EarlyAccess("gold", NOON - SECOND),),
    }
    assert why(GOLD, now=NOON - SECOND, **early) is None
    assert why(GOLD, now=NOON - 2 * SECOND, **early) == "not_yet"
    assert why(PARENTS, now=NOON - SECOND, **early) == "not_yet"


def test_reward_is_offered_in_its_channels_and_stores() -> None:
    fields: dict[str, Any] = {"channels": (Channel.APP,), "stores": ("31", "32")}
    assert why(**fields) is None
    assert why(place=Place(Channel.APP, "31"), **fields) is None
    assert why(place=Place(Channel.TILL, "31"), **fields) == "channel"
    assert why(place=Place(Channel.APP, "33"), **fields) == "store"


def test_members_need_one_of_its_tiers_and_one_of_its_segments() -> None:
    fields: dict[str, Any] = {"tiers": ("gold", "base"), "segments": ("parents", "students")}
    assert why(PARENTS, **fields) is None
    assert why(GOLD, **fields) == "segment"
    assert why(Standing(segments=frozenset({"parents"})), **fields) == "tier"


@pytest.mark.parametrize(
    ("stores", "stock", "channel", "needed"),
    [
        ((), StockSettings(), Channel.APP, False),
        ((), StockSettings(), Channel.TILL, True),
        (("31",), StockSettings(), Channel.WEB, True),
        ((), StockSettings(stores={"31": 5}), Channel.WEB, True),
    ],
)
def test_store_is_needed_where_it_matters(
    stores: tuple[str, ...], stock: StockSettings, channel: Channel, needed: bool
) -> None:
    assert needs_store(definition(stores=stores), stock, channel) is needed


def test_what_is_left_is_the_least_of_all_that_is_limited() -> None:
    stock = StockSettings(total=10, per_day=4, stores={"31": 2})
    taken = StockTaken(total=7, day=3, stores={"31": 2})
    assert stock_left(stock, taken) == 1
    assert stock_left(stock, taken, store="31") == 0
    assert stock_left(stock, taken, store="32") == 1
    assert stock_left(StockSettings(), taken, store="31") is None


def test_nothing_is_left_where_more_is_taken_than_there_is() -> None:
    assert stock_left(StockSettings(total=5), StockTaken(7, 0, {})) == 0


def test_member_has_what_the_narrowest_limit_leaves() -> None:
    limits = (MemberLimit(Period.DAY, 1), MemberLimit(Period.YEAR, 5))
    assert member_left(limits, {}) == 1
    assert member_left(limits, {Period.DAY: 0, Period.YEAR: 5}) == 0
    assert member_left((), {Period.DAY: 3}) is None


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("de-CH", "de-CH"), ("DE-ch", "de-CH"), ("de-AT", "de"), ("fr-CH", "en"), ("", "en")],
)
def test_texts_are_in_the_nearest_language(wanted: str, found: str) -> None:
    texts = {tag: Texts(tag) for tag in ("en", "de", "de-CH")}
    assert language(definition(texts=texts), wanted) == found


@pytest.mark.parametrize(
    ("period", "first"),
    [
        (Period.DAY, date(2026, 3, 4)),
        (Period.WEEK, date(2026, 3, 2)),
        (Period.MONTH, date(2026, 3, 1)),
        (Period.YEAR, date(2026, 1, 1)),
        (Period.EVER, date.min),
    ],
)
def test_periods_are_the_calendars(period: Period, first: date) -> None:
    assert first_day(period, date(2026, 3, 4)) == first
