"""Earn policies: published once, never in the past of a posted sale, in force from their time."""

import asyncio
from typing import Any

import grpc
import pytest
from loyalty.ledger.v1 import earn_policy_pb2 as contract

from services.plumbing.pages import page_token
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_shop import (
    LONG_AGO_SECONDS,
    Shop,
    added,
    categories,
    common_database,
    earn_policy,
    line,
    moment,
    new_card,
    new_id,
    next_moment,
    publish,
    rule,
    sale,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    """On a ledger of its own, since what is published there holds for all."""
    url = databases.create("ledger")
    return Shop(await serve("ledger", url), tokens, url)


@pytest.fixture
async def running(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    """On the ledger that tests share: nothing may be published there."""
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


async def get(shop: Shop, name: str) -> contract.EarnPolicy:
    request = contract.GetEarnPolicyRequest(name=name)
    answer = await shop.marketing.GetEarnPolicy(request, metadata=shop.everything)
    return answer.policy


async def list_policies(shop: Shop, **page: Any) -> contract.ListEarnPoliciesResponse:
    request = contract.ListEarnPoliciesRequest(**page)
    return await shop.marketing.ListEarnPolicies(request, metadata=shop.everything)


def rich() -> contract.EarnPolicy:
    """A policy with a value in every field a caller may set."""
    at = contract.SaleCondition(
        stores=["31", "7"],
        days_of_week=[1, 7],
        hour_from=22,
        hour_until=2,
        time_zone="Europe/Berlin",
    )
    chosen = contract.LineCondition(
        categories=[contract.CategoryPattern(segments=["PRODUCE", "*"])],
        skus=["a", "b"],
        tags=["new", "organic"],
    )
    rules = [
        rule("base", eligible_minor_min=5, points_per_sale_max=100, priority=3),
        rule("times", multiplier="1.5", lines=chosen, stops_others=True),
        rule("gift", fixed_points=7, sale=at),
    ]
    for each in rules:
        # What is not said is written as what it stands for.
        each.lines.SetInParent()
        each.sale.time_zone = each.sale.time_zone or "UTC"
    return earn_policy(
        *rules,
        description="spring",
        eligible_minor_min=100,
        points_per_sale_max=500,
        settings=contract.EarnSettings(
            counting=contract.EarnSettings.COUNTING_PER_LINE,
            rounding=contract.EarnSettings.ROUNDING_HALF_UP,
            rounding_moment=contract.EarnSettings.ROUNDING_MOMENT_BEFORE_MULTIPLIER,
            combination=contract.EarnSettings.COMBINATION_HIGHEST_ONLY,
            tax_basis=contract.EarnSettings.TAX_BASIS_NET,
            discount_basis=contract.EarnSettings.DISCOUNT_BASIS_BEFORE,
            clawback=contract.EarnSettings.CLAWBACK_ALLOW_NEGATIVE,
            shipping_earns=True,
            services_earn=True,
        ),
        life=contract.PointLife(
            pending_days=14,
            expiry=contract.PointLife.EXPIRY_QUARTER_END,
            expiry_count=12,
            last_day_counts=True,
            burn_order=contract.PointLife.BURN_ORDER_OLDEST,
            shortfall=contract.PointLife.SHORTFALL_CLAMP,
            refund_grace_days=60,
        ),
    )


async def test_a_policy_is_read_as_it_was_published(shop: Shop) -> None:
    published = await shop.publish(rich())
    assert (published.name, published.version) == ("earnPolicies/1", 1)
    assert published.publisher == "tester"
    assert published.publish_time.seconds > LONG_AGO_SECONDS
    assert await get(shop, "earnPolicies/1") == published
    for output_only in ("name", "version", "publisher", "publish_time"):
        published.ClearField(output_only)
    assert published == rich()


async def test_versions_are_counted_and_listed_newest_first(shop: Shop) -> None:
    for _ in range(5):
        await shop.publish(earn_policy())
    names, token = [], ""
    for _ in range(3):
        page = await list_policies(shop, page_size=2, page_token=token)
        names += [policy.version for policy in page.policies]
        token = page.next_page_token
    assert (names, token) == ([5, 4, 3, 2, 1], "")
    assert len((await list_policies(shop)).policies) == 5


async def test_a_page_token_or_version_there_is_not_is_refused(running: Shop) -> None:
    for token in ("x", page_token("1"), page_token(1, 2)):
        assert (await refused(list_policies(running, page_token=token))).reason == (
            "PAGE_TOKEN_INVALID"
        )
    for name in ("earnPolicies/0", "earnPolicies/999999999"):
        found = await refused(get(running, name))
        assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "POLICY_NOT_FOUND")


async def test_a_publication_sent_again_is_one_and_another_under_its_id_is_refused(
    shop: Shop,
) -> None:
    request_id = new_id()
    first = await shop.publish(rich(), request_id)
    before = shop.contents()
    assert await shop.publish(rich(), request_id) == first
    found = await refused(shop.publish(earn_policy(), request_id))
    assert (found.code, found.reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
    )
    assert added(before, shop.contents()) == {}


async def test_nothing_is_published_in_the_past_of_a_posted_sale(shop: Shop) -> None:
    await shop.publish(earn_policy())
    time = next_moment()
    await shop.record(sale(new_card(), business_time=time))
    before = shop.contents()
    for seconds in (time.seconds, time.seconds - 1, LONG_AGO_SECONDS):
        late = earn_policy(effective_time=moment(seconds))
        found = await refused(shop.publish(late))
        assert (found.code, found.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "EFFECTIVE_IN_THE_PAST",
        )
    assert added(before, shop.contents()) == {}
    await shop.publish(earn_policy(effective_time=moment(time.seconds + 1)))


async def test_a_refused_sale_does_not_hold_a_publication_back(shop: Shop) -> None:
    await shop.publish(earn_policy())
    await refused(shop.record(sale(new_card(), currency_code="EUR")))
    assert (await shop.publish(earn_policy())).version == 2


async def test_a_sale_earns_by_the_version_in_force_at_its_time(shop: Shop) -> None:
    begin, double = next_moment(), next_moment()
    await shop.publish(earn_policy(effective_time=begin))
    await shop.publish(earn_policy(rule("base", fixed_points=99), effective_time=double))
    card = new_card()
    found = await refused(shop.record(sale(card, business_time=moment(begin.seconds - 1))))
    assert found.reason == "NO_POLICY_IN_FORCE"
    later = await shop.record(sale(card, business_time=double))
    earlier = await shop.record(sale(card, business_time=begin))
    versions = [(each.points[0].policy_version, each.points[0].points) for each in (later, earlier)]
    assert versions == [(2, 99), (1, 10)]


async def test_a_sale_refused_for_want_of_a_policy_stays_refused(shop: Shop) -> None:
    sold, request_id = sale(new_card()), new_id()
    first = await refused(shop.record(sold, request_id))
    assert first.reason == "NO_POLICY_IN_FORCE"
    await shop.publish(earn_policy())
    assert await refused(shop.record(sold, request_id)) == first
    assert (await shop.record(sold)).balance.available == 10


BROKEN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("INVALID_REQUEST", "policy.rules", {"rules": []}),
    ("INVALID_REQUEST", "policy.currency_code", {"currency_code": "usd"}),
    ("INVALID_REQUEST", "policy.effective_time", {"effective_time": moment(2**60)}),
    ("INVALID_REQUEST", "policy.description", {"description": "a\x00b"}),
    ("INVALID_REQUEST", "policy.eligible_minor_min", {"eligible_minor_min": -1}),
    ("INVALID_REQUEST", "policy.rules[0].title", {"rules": [rule("base", title="\x00")]}),
    ("INVALID_REQUEST", "policy.rules[0].rule", {"rules": [rule("Base")]}),
    ("INVALID_REQUEST", "policy.rules[0].kinds", {"rules": [rule("base", kinds=[])]}),
    ("INVALID_REQUEST", "policy.rules[0].kinds[0]", {"rules": [rule("base", kinds=[7])]}),
    ("INVALID_REQUEST", "policy.rules[0].multiplier", {"rules": [rule("base", multiplier="-2")]}),
    (
        "INVALID_REQUEST",
        "policy.settings.rounding",
        {"settings": contract.EarnSettings(rounding=9)},  # type: ignore[arg-type]
    ),
    ("POLICY_INVALID", "policy.rules[1].rule", {"rules": [rule("base"), rule("base")]}),
    ("POLICY_INVALID", "policy.rules[0].multiplier", {"rules": [rule("base", multiplier="2")]}),
    ("POLICY_INVALID", "policy.exclusions[0]", {"exclusions": [contract.LineCondition()]}),
    (
        "POLICY_INVALID",
        "policy.rules[0].sale.time_zone",
        {"rules": [rule("base", sale=contract.SaleCondition(time_zone="America"))]},
    ),
    (
        "POLICY_INVALID",
        "policy.rules[0].sale.hour_until",
        {"rules": [rule("base", sale=contract.SaleCondition(hour_from=22))]},
    ),
)


async def test_a_policy_that_cannot_be_right_is_refused_with_the_field(
    running: Shop, subtests: pytest.Subtests
) -> None:
    before = running.contents()
    for reason, blamed, change in BROKEN:
        with subtests.test(blamed):
            broken = earn_policy()
            for name, value in change.items():
                broken.ClearField(name)  # type: ignore[arg-type]
                broken.MergeFrom(contract.EarnPolicy(**{name: value}))
            found = await refused(running.publish(broken))
            assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
            assert found.fields == (blamed,)
    assert added(before, running.contents()) == {}


async def test_while_sales_are_posted_every_version_applies_from_its_time_on(shop: Shop) -> None:
    """Publications race with sales: each is refused, or holds for every sale at or after it."""
    await shop.publish(earn_policy(rule("base", fixed_points=1)))
    versions = {1: LONG_AGO_SECONDS}
    first = next_moment().seconds
    recorded: dict[int, list[int]] = {}

    async def ring_up(worker: int) -> None:
        card = new_card()
        for step in range(25):
            seconds = first + step * 3 + worker % 3 - 100
            answer = await shop.record(sale(card, business_time=moment(seconds)))
            recorded.setdefault(seconds, []).append(answer.points[0].policy_version)

    async def announce() -> None:
        for step in range(12):
            seconds = first + step * 7 - 90
            draft = earn_policy(rule("base", fixed_points=step + 2), effective_time=moment(seconds))
            try:
                published = await shop.publish(draft)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
            else:
                versions[published.version] = seconds

    await asyncio.gather(*(ring_up(worker) for worker in range(6)), announce())
    assert sum(map(len, recorded.values())) == 150
    for seconds, found in recorded.items():
        in_force = max((begin, v) for v, begin in versions.items() if begin <= seconds)[1]
        assert set(found) == {in_force}


async def test_every_server_applies_a_version_at_once(
    shop: Shop, serve: Serve, tokens: Tokens
) -> None:
    other = Shop(await serve("ledger", shop.database_url), tokens, shop.database_url)
    for version in range(1, 6):
        time = next_moment()
        draft = earn_policy(rule("base", fixed_points=version), effective_time=time)
        await shop.publish(draft)
        for each in (other, shop):
            answer = await each.record(sale(new_card(), business_time=time))
            assert [points.policy_version for points in answer.points] == [version]


async def test_the_policys_currency_is_the_programmes(
    databases: Databases, serve: Serve, tokens: Tokens
) -> None:
    url = databases.create("ledger")
    yen = rule("base", lines=categories(("FOOD",)))
    yen.per_amount.per_minor = 200
    publish(url, earn_policy(yen, currency_code="JPY"))
    shop = Shop(await serve("ledger", url), tokens, url)
    answer = await shop.record(sale(new_card(), line(1180, "FOOD"), currency_code="JPY"))
    assert [each.explanation for each in answer.points] == ["5 points for 1180 JPY: Rule base"]
    assert (await refused(shop.record(sale(new_card())))).metadata == {
        "expected": "JPY",
        "given": "USD",
    }
