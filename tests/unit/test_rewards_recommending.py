"""What is recommended to a member, and in which order."""

from services.rewards.domain.offering import Shown
from services.rewards.domain.recommending import Cause, recommend
from services.rewards.domain.rewards import Offer, StockSettings
from tests.unit.rewards_described import definition as described


def shown(
    name: str, points: int, *, stock_left: int | None = None, member_left: int | None = None
) -> Shown:
    return Shown(Offer(name, 1, described(), StockSettings()), points, stock_left, member_left)


def recommended(
    *offers: Shown, available_points: int, limit: int = 10, **redemptions: int
) -> list[tuple[str, Cause, int]]:
    found = recommend(
        offers, available_points=available_points, redemptions=redemptions, limit=limit
    )
    return [(each.shown.offer.reward_id, each.cause, each.missing_points) for each in found]


def test_what_can_be_afforded_comes_first_then_what_nearly_can_then_what_is_popular() -> None:
    offers = [shown("car", 9_000), shown("dinner", 120), shown("coffee", 100)]
    assert recommended(*offers, available_points=100, car=5) == [
        ("coffee", Cause.AFFORDABLE, 0),
        ("dinner", Cause.NEARLY_AFFORDABLE, 20),
        ("car", Cause.POPULAR, 8_900),
    ]


def test_nearly_is_three_quarters_of_the_price() -> None:
    assert recommended(shown("dinner", 100), available_points=75) == [
        ("dinner", Cause.NEARLY_AFFORDABLE, 25)
    ]
    assert recommended(shown("dinner", 100), available_points=74) == []


def test_among_equals_the_more_popular_comes_first_then_the_dearer() -> None:
    offers = [shown("a", 10), shown("b", 20), shown("c", 15)]
    names = [name for name, _, _ in recommended(*offers, available_points=100, c=2)]
    assert names == ["c", "b", "a"]


def test_no_more_than_three_are_popular() -> None:
    offers = [shown(name, 1_000) for name in ("a", "b", "c", "d")]
    found = recommended(*offers, available_points=0, a=1, b=2, c=3, d=4)
    assert [name for name, _, _ in found] == ["d", "c", "b"]


def test_what_is_used_up_is_not_recommended() -> None:
    offers = [shown("a", 10, stock_left=0), shown("b", 10, member_left=0), shown("c", 10)]
    assert [name for name, _, _ in recommended(*offers, available_points=10)] == ["c"]


def test_no_more_are_recommended_than_asked() -> None:
    offers = [shown("a", 10), shown("b", 20)]
    assert len(recommended(*offers, available_points=50, limit=1)) == 1
