"""Members who become one and part again, who are blocked and erased: points stay where they are."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from loyalty.ledger.v1 import ledger_pb2, points_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_members import new_member, wallet_name
from tests.service.ledger_shop import (
    BOTH,
    Shop,
    earn_policy,
    line,
    moment,
    new_card,
    new_id,
    next_moment,
    rule,
    sale,
    wallet_of,
)
from tests.service.ledger_together import (
    Families,
    Together,
    common_families,
    now,
    problems,
    shares,
    told_together,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens


@pytest.fixture(scope="module", autouse=True)
def the_books_are_right(databases: Databases) -> Iterator[None]:
    """When all is done."""
    yield
    assert problems(common_families(databases)) == {}


async def reads(families: Families, member: str) -> list[Message]:
    """All that is said of a member."""
    shop, name = families.shop, wallet_name(member)
    sales = ledger_pb2.ListSalesRequest(parent=name, page_size=100)
    plan = points_pb2.PlanExpiryRequest(wallet=name)
    return [
        await shop.wallet(name),
        await shop.entries(name, page_size=500),
        await shop.care.ListSales(sales, metadata=shop.everything),
        await shop.lots(name, page_size=500),
        await shop.spending.PlanExpiry(plan, metadata=shop.everything),
        await families.pool(member),
        await families.burns(member),
    ]


async def test_a_merge_that_is_undone_leaves_both_as_they_were(families: Families) -> None:
    one, other = await families.member(30, 7), await families.member(50)
    await families.shop.burn(wallet_name(one), 35)
    before = [await reads(families, member) for member in (one, other)]
    merge = families.told.merged(one, other)
    assert await reads(families, other) != before[1]
    families.told.unmerged(merge, one, other)
    assert [await reads(families, member) for member in (one, other)] == before


async def test_what_happens_meanwhile_stays_with_whose_card_it_was(families: Families) -> None:
    shop = families.shop
    one, other = await families.member(), await families.member()
    cards = [await families.card(member, points) for member, points in ((one, 30), (other, 50))]
    before = [(await shop.entries(wallet_name(member))).entries for member in (one, other)]
    merge = families.told.merged(one, other)
    sold = [await shop.record(sale(card, line(1_100))) for card in cards]
    burn = await shop.burn(wallet_name(other), 95)
    assert await families.available(other) == [(7, 0)]
    await shop.refund(burn, 5)
    families.told.unmerged(merge, one, other)
    # A sale goes back to the till it came from, the burn's rest to whom it was taken from.
    for card, each in zip(cards, sold, strict=True):
        assert wallet_of((await shop.record(sale(card, line(100)))).sale) == wallet_of(each.sale)
    await shop.refund(burn)
    after = [(await shop.entries(wallet_name(member))).entries for member in (one, other)]
    for member, old, new in zip((one, other), before, after, strict=True):
        assert list(new)[len(new) - len(old) :] == list(old)
        assert {entry.member for entry in new} == {member}
    assert await families.available(one, other) == [(42, 0), (62, 0)]


async def test_a_merged_member_is_asked_for_by_the_name_of_whom_they_are_now(
    families: Families,
) -> None:
    shop = families.shop
    one, two, three = [await families.member(points) for points in (1, 10, 100)]
    families.told.merged(one, two)
    families.told.merged(two, three)
    name = wallet_name(one)
    sales = ledger_pb2.ListSalesRequest(parent=name)
    plan = points_pb2.PlanExpiryRequest(wallet=name)
    before = shop.contents()
    for call in (
        shop.wallet(name),
        shop.entries(name),
        shop.care.ListSales(sales, metadata=shop.everything),
        shop.lots(name),
        shop.spending.PlanExpiry(plan, metadata=shop.everything),
        shop.hold(name, 1),
        shop.adjust(name, 1),
        families.pool(one),
        families.burns(one),
    ):
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata) == ("MEMBER_MERGED", {"into": three})
    assert shop.contents() == before
    wallet = await shop.wallet(wallet_name(three))
    assert (wallet.available, wallet.member) == (111, three)
    lots = (await shop.lots(wallet_name(three))).lots
    assert {(lot.member, lot.points) for lot in lots} == {(one, 1), (two, 10), (three, 100)}
    entries = (await shop.entries(wallet_name(three))).entries
    assert {entry.member for entry in entries} == {one, two, three}


async def test_merges_of_a_chain_are_undone_in_any_order(families: Families) -> None:
    one, two, three = [await families.member(points) for points in (1, 10, 100)]
    first = families.told.merged(one, two)
    second = families.told.merged(two, three)
    families.told.unmerged(first, one, two)
    assert await families.available(one, three) == [(1, 0), (110, 0)]
    families.told.unmerged(second, two, three)
    assert await families.available(one, two, three) == [(1, 0), (10, 0), (100, 0)]


async def test_a_merge_heard_of_after_its_undoing_does_not_hold(families: Families) -> None:
    one, two, three = [await families.member(points) for points in (1, 10, 100)]
    late = f"merges/{new_id()}"
    families.told.unmerged(late, one, two)
    families.told.merged(one, two, name=late)
    assert await families.available(one, two) == [(1, 0), (10, 0)]
    # Undone and merged anew: the undoing is heard of last.
    first = families.told.merged(one, two)
    families.told.merged(one, three)
    assert await families.available(two, three) == [(10, 0), (101, 0)]
    families.told.unmerged(first, one, two)
    assert await families.available(two, three) == [(10, 0), (101, 0)]


async def test_merged_the_other_way_round_before_the_undoing_is_heard_of(
    families: Families,
) -> None:
    """Events of two members reach the ledger in any order. For a moment nobody is anybody."""
    one, other = await families.member(1), await families.member(10)
    first = families.told.merged(one, other)
    families.told.merged(other, one)
    for member in (one, other):
        assert (await refused(families.shop.wallet(wallet_name(member)))).reason == "MEMBER_MERGED"
    families.told.unmerged(first, one, other)
    assert await families.available(one) == [(11, 0)]


async def test_points_of_all_that_count_for_a_member_are_spent_together(
    families: Families,
) -> None:
    shop = families.shop
    source, target, lender = [await families.member(points) for points in (30, 20, 100)]
    families.household({lender: 10, source: 0})
    families.told.merged(source, target)
    held = (await shop.hold(wallet_name(target), 55)).hold
    assert shares(held) == [(target, 20, False), (source, 30, False), (lender, 5, True)]
    await shop.capture(held.name)


async def test_a_request_is_answered_the_same_when_the_merge_is_undone(
    families: Families,
) -> None:
    """Though the member's own wallet would have enough by then."""
    shop = families.shop
    source, target = await families.member(30), await families.member(20)
    merge = families.told.merged(source, target)
    asked: dict[str, Any] = {"request_id": new_id(), "business_time": next_moment()}
    held = await shop.hold(wallet_name(target), 40, **asked)
    families.told.unmerged(merge, source, target)
    await shop.adjust(wallet_name(target), 100)
    assert await shop.hold(wallet_name(target), 40, **asked) == held
    assert await families.available(source, target) == [(10, 20), (100, 20)]


async def test_points_given_to_a_member_are_theirs_and_not_those_merged_into_them(
    families: Families,
) -> None:
    shop = families.shop
    source, target = await families.member(30), await families.member()
    merge = families.told.merged(source, target)
    await shop.adjust(wallet_name(target), 5)
    assert await families.available(target) == [(35, 0)]
    families.told.unmerged(merge, source, target)
    assert await families.available(source, target) == [(30, 0), (5, 0)]


async def test_own_wallets_are_open_to_whom_they_count_for(
    families: Families, tokens: Tokens
) -> None:
    shop = families.shop
    source, target = await families.member(30), await families.member(20)
    wallet = (await shop.wallet(wallet_name(source))).name
    merge = families.told.merged(source, target)
    was = tokens.bearer("wallets.read.own", subject=source)
    now_is = tokens.bearer("wallets.read.own", subject=target)
    assert (await shop.wallet(wallet, now_is)).available == 30
    assert (await refused(shop.wallet(wallet, was))).reason == "NOT_YOURS"
    families.told.unmerged(merge, source, target)
    assert (await shop.wallet(wallet, was)).available == 30
    assert (await refused(shop.wallet(wallet, now_is))).reason == "NOT_YOURS"


async def test_sales_under_way_while_members_merge_are_all_there(families: Families) -> None:
    shop = families.shop
    source, target = await families.member(), await families.member(20)
    card = await families.card(source, 0)
    selling = [shop.record(sale(card, line(100))) for _ in range(60)]

    async def merge_and_part() -> None:
        for _ in range(3):
            merge = await asyncio.to_thread(families.told.merged, source, target)
            await asyncio.to_thread(families.told.unmerged, merge, source, target)

    await asyncio.gather(*selling, merge_and_part())
    assert await families.available(source, target) == [(60, 0), (20, 0)]


async def test_a_blocked_member_earns_and_spends_nothing(families: Families) -> None:
    shop = families.shop
    member = await families.member()
    card = await families.card(member, 30)
    families.told.member_blocked(member)
    paying = sale(card, line(1_000), tender_points=10)
    for call in (shop.hold(wallet_name(member), 1), shop.record(paying), shop.quote(paying)):
        assert (await refused(call)).reason == "MEMBER_BLOCKED"
    assert (await shop.record(sale(card, line(500)))).balance.available == 35
    # A card that the member gets meanwhile is no way round.
    further = await families.card(member, 9)
    refusal = await refused(shop.record(sale(further, line(1_000), tender_points=1)))
    assert refusal.reason == "MEMBER_BLOCKED"
    families.told.member_unblocked(member)
    # Ten points pay, nine are earned on the rest.
    assert (await shop.record(paying)).balance.available == 34


async def test_the_newer_of_blocking_and_unblocking_counts(families: Families) -> None:
    member = await families.member(30)
    earlier, later = now(), now()
    later.seconds += 1
    families.told.member_unblocked(member, later)
    families.told.member_blocked(member, earlier)
    held = await families.shop.hold(wallet_name(member), 1)
    assert held.hold.points == 1


async def test_whoever_counts_for_a_blocked_member_is_blocked_with_them(
    families: Families,
) -> None:
    shop = families.shop
    source, target = await families.member(30), await families.member(20)
    merge = families.told.merged(source, target)
    families.told.member_blocked(target)
    for points in (1, 25, 45):
        assert (await refused(shop.hold(wallet_name(target), points))).reason == "MEMBER_BLOCKED"
    families.told.unmerged(merge, source, target)
    await shop.hold(wallet_name(source), 1)
    assert (await refused(shop.hold(wallet_name(target), 1))).reason == "MEMBER_BLOCKED"


async def test_a_card_of_an_erased_member_is_blocked_and_its_token_forgotten(
    families: Families, serve: Serve, tokens: Tokens
) -> None:
    shop = families.shop
    member = await families.member()
    card = await families.card(member, 30)
    sold = sale(card, line(500))
    await shop.record(sold)
    families.told.erased(member)
    await shop.has_heard(card, "CARD_BLOCKED")
    # Also at a server that never heard of it.
    second = Shop(await serve("ledger", shop.database_url), tokens, shop.database_url)
    for call in (shop.record(sale(card)), second.record(sale(card)), second.quote(sale(card))):
        assert (await refused(call)).reason == "CARD_BLOCKED"
    assert not [table for table, rows in shop.contents().items() if card in " ".join(rows)]
    assert (await refused(shop.hold(wallet_name(member), 1))).reason == "MEMBER_BLOCKED"
    # The books stay, and what was bought can be brought back.
    assert await families.available(member) == [(35, 0)]
    receipt = pos.ReceiptReference(
        card_token=card, store="31", terminal="1", receipt_number=sold.receipt_number
    )
    back = await shop.give_back(1, receipt=receipt)
    assert back.balance.available == 30


async def test_whoever_was_merged_into_an_erased_member_is_erased_with_them(
    families: Families,
) -> None:
    source, target = await families.member(), await families.member(20)
    card = await families.card(source, 30)
    families.told.merged(source, target)
    families.told.erased(target)
    await families.shop.has_heard(card, "CARD_BLOCKED")
    assert await families.available(target) == [(50, 0)]


async def test_a_forgotten_card_that_somebody_gets_anew_is_theirs(families: Families) -> None:
    member, heir = await families.member(), await families.member(3)
    card = await families.card(member, 30)
    families.told.erased(member)
    families.told.issued(heir, card)
    sold = await families.shop.record(sale(card, line(500)))
    assert sold.balance.available == 8


async def test_an_event_that_comes_twice_is_applied_once(families: Families) -> None:
    """Told anew under another id, as a bus does after a crash of the announcer."""
    one, other = await families.member(1), await families.member(10)
    merge = families.told.merged(one, other)
    families.told.merged(one, other, name=merge)
    assert await families.available(other) == [(11, 0)]
    for _ in range(2):
        families.told.unmerged(merge, one, other)
    assert await families.available(one, other) == [(1, 0), (10, 0)]
    card = await families.card(one, 5)
    for _ in range(2):
        families.told.erased(one)
    await families.shop.has_heard(card, "CARD_BLOCKED")


@pytest.fixture
async def tiered(database: Callable[[str], str], serve: Serve, tokens: Tokens) -> Shop:
    """A programme of its own: a rule set is everybody's."""
    url = database("ledger")
    shop = Shop(await serve("ledger", url), tokens, url)
    await shop.publish(earn_policy(rule("base", kinds=BOTH, tier_multiplied=True)))
    return shop


@pytest.fixture
def tiering(tiered: Shop) -> Iterator[Together]:
    with told_together(tiered.database_url) as told:
        told.rules_published("tierGroups/main", 1, 0, BASE="1", SILVER="1.5", GOLD="2")
        yield told


async def test_merged_cards_earn_by_the_tier_of_whom_they_count_for(
    tiered: Shop, tiering: Together
) -> None:
    source, target, cards = new_member(), new_member(), [new_card(), new_card()]
    for member, card in zip((source, target), cards, strict=True):
        tiering.enrolled(member)
        tiering.issued(member, card)
    tiering.tier_changed("tierGroups/main", "SILVER", 0, source)

    async def earned() -> list[int]:
        """What ten dollars earn now with each card."""
        when = next_moment()
        sold = [await tiered.record(sale(card, business_time=when)) for card in cards]
        return [sum(p.points for p in each.points if p.kind == BOTH[0]) for each in sold]

    assert await earned() == [15, 10]
    merge = tiering.merged(source, target)
    assert await earned() == [10, 10]
    tiering.tier_changed("tierGroups/main", "GOLD", 0, target)
    assert await earned() == [20, 20]
    # What is said of the source meanwhile counts when the merge is undone.
    tiering.tier_changed("tierGroups/main", "BASE", moment(1).seconds, source)
    assert await earned() == [20, 20]
    tiering.unmerged(merge, source, target)
    assert await earned() == [10, 20]
