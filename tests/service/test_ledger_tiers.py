"""Tiers that tiering announces count at the tills from their business time on."""

from collections.abc import Callable, Iterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import events_pb2 as announced
from loyalty.ledger.v1 import ledger_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.cli.audit import run_audit
from services.plumbing.database import engine, transaction
from tests.service.conftest import Serve
from tests.service.ledger_members import Told, new_member, told, wallet_name
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
    schema_of,
    wallet_of,
)
from tests.service.tokens import Tokens

MICROS = 1_000_000
# Silver in the rule sets of these tests earns half as much again.
TIERS = {"BASE": "1", "SILVER": "1.5", "GOLD": "2"}


@pytest.fixture
async def shop(database: Callable[[str], str], serve: Serve, tokens: Tokens) -> Shop:
    """A programme of this test's own: a rule set is everybody's."""
    url = database("ledger")
    shop = Shop(await serve("ledger", url), tokens, url)
    policy = earn_policy(rule("base", kinds=BOTH, tier_multiplied=True))
    await shop.publish(policy)
    return shop


@pytest.fixture
def ledger(shop: Shop) -> Iterator[Told]:
    with told(shop.database_url) as reactions:
        reactions.rules_published("tierGroups/main", 1, 0, **TIERS)
        yield reactions


def member_with_card(ledger: Told) -> tuple[str, str]:
    member, card = new_member(), new_card()
    ledger.enrolled(member)
    ledger.issued(member, card)
    return member, card


def problems(shop: Shop) -> list[str]:
    report = run_audit(shop.database_url)
    return [problem for check in report.checks for problem in check.problems]


def points(answer: pos.RecordSaleResponse | pos.QuoteSaleResponse) -> dict[str, int]:
    """Redeemable points by rule."""
    return {each.rule: each.points for each in answer.points if each.kind == BOTH[0]}


def micros(time: Timestamp) -> int:
    return time.seconds * MICROS


async def test_a_tier_counts_from_its_business_time_on_whenever_the_sale_arrives(
    shop: Shop, ledger: Told
) -> None:
    member, card = member_with_card(ledger)
    before, start, after = next_moment(), next_moment(), next_moment()
    ledger.tier_changed("tierGroups/main", "SILVER", micros(start), member)
    late = await shop.record(sale(card, business_time=before))
    on_time = await shop.record(sale(card, business_time=after))
    at_once = await shop.record(sale(card, business_time=start))
    assert points(late) == {"base": 10}
    assert points(on_time) == points(at_once) == {"base": 10, "tier": 5}
    assert on_time.points[-1].explanation == (
        "5 points for 10.00 USD: 1.5 times the points as SILVER"
    )
    assert problems(shop) == []


async def test_a_new_rule_set_changes_what_a_tier_gives_from_its_time_on(
    shop: Shop, ledger: Told
) -> None:
    member, card = member_with_card(ledger)
    ledger.tier_changed("tierGroups/main", "SILVER", 0, member)
    before, start = next_moment(), next_moment()
    ledger.rules_published("tierGroups/main", 2, micros(start), **TIERS | {"SILVER": "1.8"})
    found = [points(await shop.record(sale(card, business_time=t))) for t in (before, start)]
    assert found == [{"base": 10, "tier": 5}, {"base": 10, "tier": 8}]
    assert problems(shop) == []


async def test_a_quote_and_a_retry_say_what_the_sale_said(shop: Shop, ledger: Told) -> None:
    member, card = member_with_card(ledger)
    ledger.tier_changed("tierGroups/main", "GOLD", 0, member)
    asked = sale(card)
    quoted = await shop.quote(asked)
    request_id = new_id()
    recorded = await shop.record(asked, request_id)
    assert list(quoted.points) == list(recorded.points)
    assert points(recorded) == {"base": 10, "tier": 10}
    ledger.tier_changed("tierGroups/main", "BASE", 0, member)
    assert await shop.record(asked, request_id) == recorded


async def test_a_return_unwinds_what_the_tier_had_added_whatever_the_tier_is_now(
    shop: Shop, ledger: Told
) -> None:
    member, card = member_with_card(ledger)
    ledger.tier_changed("tierGroups/main", "SILVER", 0, member)
    sold = await shop.record(sale(card, line(1000), line(500)))
    assert points(sold) == {"base": 15, "tier": 7}
    ledger.tier_changed("tierGroups/main", "GOLD", 0, member)
    part = await shop.give_back(2, sale=sold.sale)
    assert {each.rule: each.points for each in part.points if each.kind == BOTH[0]} == {
        "base": -5,
        "tier": -2,
    }
    whole = await shop.give_back(sale=sold.sale)
    assert whole.balance.available == whole.balance.qualifying == 0
    assert problems(shop) == []


async def test_a_card_that_a_member_gets_later_earns_by_the_members_tier(
    shop: Shop, ledger: Told
) -> None:
    """The card had earned before, so it comes with a wallet of its own."""
    member, _ = member_with_card(ledger)
    ledger.tier_changed("tierGroups/main", "GOLD", 0, member)
    card = new_card()
    assert points(await shop.record(sale(card))) == {"base": 10}
    ledger.issued(member, card)
    assert points(await shop.record(sale(card))) == {"base": 10, "tier": 10}


async def test_tiers_told_twice_or_out_of_order_count_by_their_times(
    shop: Shop, ledger: Told
) -> None:
    member, card = member_with_card(ledger)
    first, second = next_moment(), next_moment()
    for _ in range(2):
        ledger.tier_changed("tierGroups/main", "GOLD", micros(second), member)
        ledger.tier_changed("tierGroups/main", "SILVER", micros(first), member)
    found = [points(await shop.record(sale(card, business_time=t))) for t in (first, second)]
    assert found == [{"base": 10, "tier": 5}, {"base": 10, "tier": 10}]


async def test_batches_are_announced_with_what_tiers_are_counted_by(
    shop: Shop, ledger: Told
) -> None:
    member, card = member_with_card(ledger)
    ledger.tier_changed("tierGroups/main", "SILVER", 0, member)
    time = next_moment()
    sold = await shop.record(sale(card, line(1000), line(500), business_time=time))
    await shop.give_back(2, sale=sold.sale)
    await shop.give_back(sale=sold.sale)
    assert [
        (
            posted.tier_base_points_before,
            posted.tier_base_points,
            posted.visits,
            posted.original_business_time_micros,
        )
        for posted in announced_documents(shop, wallet_of(sold.sale))
    ] == [
        (0, 15, 1, 0),
        (15, 10, 0, micros(time)),
        (10, 0, -1, micros(time)),
    ]
    assert moment(time.seconds) == time


def announced_documents(shop: Shop, wallet: str) -> list[announced.PostedDocument]:
    """What the outbox tells of a wallet, in order."""
    found: list[announced.PostedDocument] = []
    reading = engine(shop.database_url, pool_size=1)
    with transaction(reading) as connection:
        for (data,) in connection.exec_driver_sql(
            f"SELECT data FROM {schema_of(wallet)}.outbox ORDER BY position"
        ):
            event = announced.EntriesPosted.FromString(bytes(data))
            found += [d for d in event.documents if f"wallets/{d.wallet}" == wallet]
    reading.dispose()
    return found


async def test_a_statement_says_what_the_tier_added(shop: Shop, ledger: Told) -> None:
    member, card = member_with_card(ledger)
    ledger.tier_changed("tierGroups/main", "GOLD", 0, member)
    await shop.record(sale(card))
    listed = await shop.entries(wallet_name(member))
    added = next(entry for entry in listed.entries if entry.rule == "tier")
    assert added.explanation == "10 points for 10.00 USD: 2 times the points as GOLD"
    request = ledger_pb2.ExplainEntryRequest(name=added.name)
    explained = await shop.care.ExplainEntry(request, metadata=shop.everything)
    assert explained.recomputed_points == 10
