"""A server lets go of what a redemption needed when it is answered: it seldom looks for cycles."""

from tests.service.cycles import left_to_the_collector
from tests.service.rewards_desk import PRICE, Desk


async def test_a_redemption_leaves_nothing_to_the_collector(desk: Desk) -> None:
    reward, member = await desk.offer(), await desk.member(points=10 * PRICE)
    assert await left_to_the_collector(lambda: desk.redeem(member, reward)) == set()
