"""What was set aside in a member's wallets is listed, newest first, in whatever state it is."""

from typing import Any

import pytest
from loyalty.ledger.v1 import points_pb2

from tests.service.ledger_members import wallet_name
from tests.service.ledger_shop import Shop, new_id, next_moment
from tests.service.ledger_together import Families
from tests.service.refusals import refused
from tests.service.tokens import Metadata, Tokens

Hold = points_pb2.Hold


async def listed(
    shop: Shop, parent: str, metadata: Metadata | None = None, **fields: Any
) -> points_pb2.ListHoldsResponse:
    request = points_pb2.ListHoldsRequest(parent=parent, **fields)
    return await shop.spending.ListHolds(request, metadata=metadata or shop.everything)


async def test_holds_are_listed_newest_first_whatever_became_of_them(families: Families) -> None:
    shop = families.shop
    wallet = wallet_name(await families.member(50))
    times = [next_moment() for _ in range(4)]
    held = [(await shop.hold(wallet, 5, business_time=time)).hold for time in times]
    held[0] = (await shop.capture(held[0].name, 3)).hold
    held[1] = (await shop.release(held[1].name)).hold
    found = list((await listed(shop, wallet)).holds)
    assert found == held[::-1]
    assert [hold.business_time for hold in found] == times[::-1]
    for state, expected in (
        (Hold.STATE_OPEN, [held[3], held[2]]),
        (Hold.STATE_CAPTURED, [held[0]]),
        (Hold.STATE_RELEASED, [held[1]]),
        (Hold.STATE_EXPIRED, []),
    ):
        assert list((await listed(shop, wallet, states=[state])).holds) == expected
    both = await listed(shop, wallet, states=[Hold.STATE_CAPTURED, Hold.STATE_RELEASED])
    assert list(both.holds) == [held[1], held[0]]


async def test_pages_of_holds_of_several_wallets_are_one_list(families: Families) -> None:
    """Of a shared hold each wallet's part is listed, and says which hold it is of."""
    shop = families.shop
    wallet = wallet_name(await families.member(30, 20))
    for _ in range(3):
        await shop.hold(wallet, 5, business_time=next_moment())
    shared = (await shop.hold(wallet, 30, business_time=next_moment())).hold
    whole = list((await listed(shop, wallet)).holds)
    assert [hold.points for hold in whole if not hold.shared_hold] == [5, 5, 5]
    assert [hold.shared_hold for hold in whole[:2]] == [shared.name] * 2
    assert sum(hold.points for hold in whole[:2]) == shared.points == 30
    assert len({hold.name.split("/")[1] for hold in whole}) == 2
    found, token = [], ""
    for size in (2, 2, 2):
        page = await listed(shop, wallet, page_size=size, page_token=token)
        token = page.next_page_token
        found += list(page.holds)
    assert (found, token) == (whole, "")


async def test_a_member_lists_their_own_holds_alone(families: Families, tokens: Tokens) -> None:
    shop = families.shop
    member, other = await families.member(30), await families.member(30)
    held = (await shop.hold(wallet_name(member), 5)).hold
    own = tokens.bearer("wallets.read.own", subject=member)
    assert list((await listed(shop, wallet_name(member), own)).holds) == [held]
    assert (await refused(listed(shop, wallet_name(other), own))).reason == "NOT_YOURS"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"page_token": "mine"}, "PAGE_TOKEN_INVALID"),
        ({"page_size": -1}, "INVALID_REQUEST"),
        ({"states": [Hold.STATE_UNSPECIFIED]}, "INVALID_REQUEST"),
        ({"states": [Hold.STATE_OPEN, Hold.STATE_OPEN]}, "INVALID_REQUEST"),
        ({"parent": f"members/{new_id()}/wallet"}, "WALLET_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_listed_is_refused(
    families: Families, fields: dict[str, Any], reason: str
) -> None:
    wallet = wallet_name(await families.member(1))
    found = await refused(listed(families.shop, **{"parent": wallet, **fields}))
    assert found.reason == reason
