"""Whose token opens what: scopes, stores, and a member's own."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from loyalty.ledger.v1 import earn_policy_pb2, ledger_pb2, night_pb2, points_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.plumbing.grpc_client import bearer
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_members import new_member, told, wallet_name
from tests.service.ledger_shop import (
    EVERYTHING,
    Shop,
    added,
    common_database,
    earn_policy,
    new_card,
    new_id,
    next_moment,
    sale,
    wallet_of,
)
from tests.service.refusals import Refusal, refused
from tests.service.tokens import Metadata, Tokens

DENIED = grpc.StatusCode.PERMISSION_DENIED
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
Call = Callable[[Metadata], Awaitable[object]]


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


def every_call(shop: Shop) -> dict[str, tuple[str, Call]]:
    """A good request to each method, and the scope it needs."""
    wallet, sold = "wallets/1", "wallets/1/sales/1"
    common = {"request_id": new_id(), "store": "31", "terminal": "1"}
    back = {**common, "business_time": next_moment(), "sale": sold}
    requests: dict[str, tuple[str, Call]] = {}

    def add(scope: str, stub: object, method: str, request: object) -> None:
        requests[method] = scope, lambda token: getattr(stub, method)(request, metadata=token)

    one = pos.RecordSaleRequest(request_id=new_id(), sale=sale(new_card()))
    add("sales.write", shop.tills, "RecordSale", one)
    add("sales.write", shop.tills, "BatchRecordSales", pos.BatchRecordSalesRequest(requests=[one]))
    add("sales.write", shop.tills, "QuoteSale", pos.QuoteSaleRequest(sale=sale(new_card())))
    returned = pos.RecordReturnRequest(**back, receipt_number="B1")  # type: ignore[arg-type]
    add("sales.write", shop.tills, "RecordReturn", returned)
    add("sales.write", shop.tills, "VoidSale", pos.VoidSaleRequest(**back))  # type: ignore[arg-type]
    publish = earn_policy_pb2.PublishEarnPolicyRequest(request_id=new_id(), policy=earn_policy())
    add("policies.write", shop.marketing, "PublishEarnPolicy", publish)
    get = earn_policy_pb2.GetEarnPolicyRequest(name="earnPolicies/1")
    add("policies.read", shop.marketing, "GetEarnPolicy", get)
    listing = earn_policy_pb2.ListEarnPoliciesRequest()
    add("policies.read", shop.marketing, "ListEarnPolicies", listing)
    add("wallets.read", shop.care, "GetWallet", ledger_pb2.GetWalletRequest(name=wallet))
    add("wallets.read", shop.care, "ListEntries", ledger_pb2.ListEntriesRequest(parent=wallet))
    add("wallets.read", shop.care, "ListSales", ledger_pb2.ListSalesRequest(parent=wallet))
    explain = ledger_pb2.ExplainEntryRequest(name=f"{wallet}/entries/1-1")
    add("wallets.read", shop.care, "ExplainEntry", explain)
    adjust = ledger_pb2.AdjustPointsRequest(
        request_id=new_id(),
        wallet=wallet,
        points=5,
        kind=pos.POINT_KIND_REDEEMABLE,
        reason="goodwill",
    )
    add("points.adjust", shop.care, "AdjustPoints", adjust)
    accounts = ledger_pb2.GetProgrammeAccountsRequest()
    add("accounts.read", shop.care, "GetProgrammeAccounts", accounts)
    return requests | spending_calls(shop)


def spending_calls(shop: Shop) -> dict[str, tuple[str, Call]]:
    """The same of what spends points, and of the night."""
    hold, burn, step = "wallets/1/holds/1", "wallets/1/burns/1", night_pb2.NIGHT_STEP_EXPIRE_LOTS
    holding = points_pb2.HoldPointsRequest(
        request_id=new_id(), wallet="wallets/1", points=1, purpose="a coffee"
    )
    capturing = points_pb2.CapturePointsRequest(request_id=new_id(), hold=hold)
    asked: dict[str, tuple[str, Any]] = {
        "HoldPoints": ("points.hold", holding),
        "CapturePoints": ("points.hold", capturing),
        "BatchHoldPoints": (
            "points.hold",
            points_pb2.BatchHoldPointsRequest(requests=[holding]),
        ),
        "BatchCapturePoints": (
            "points.hold",
            points_pb2.BatchCapturePointsRequest(requests=[capturing]),
        ),
        "ReleaseHold": (
            "points.hold",
            points_pb2.ReleaseHoldRequest(request_id=new_id(), hold=hold),
        ),
        "RefundPoints": (
            "points.hold",
            points_pb2.RefundPointsRequest(request_id=new_id(), burn=burn, reason="out of stock"),
        ),
        "GetHold": ("wallets.read", points_pb2.GetHoldRequest(name=hold)),
        "ListHolds": ("wallets.read", points_pb2.ListHoldsRequest(parent="wallets/1")),
        "ListLots": ("wallets.read", points_pb2.ListLotsRequest(parent="wallets/1")),
        "GetNightStep": ("days.read", night_pb2.GetNightStepRequest(step=step)),
        "RunNightStep": (
            "days.write",
            night_pb2.RunNightStepRequest(step=step, day="2026-01-01"),
        ),
    }

    def call_of(method: str, request: object) -> Call:
        stub = shop.nights if method.endswith("NightStep") else shop.spending
        return lambda token: getattr(stub, method)(request, metadata=token)

    return {method: (scope, call_of(method, request)) for method, (scope, request) in asked.items()}


async def test_a_method_opens_to_its_scope_alone(
    shop: Shop, tokens: Tokens, subtests: pytest.Subtests
) -> None:
    before = shop.contents()
    for method, (scope, call) in every_call(shop).items():
        with subtests.test(method):
            found = await refused(call(tokens.bearer(*(set(EVERYTHING) - {scope}))))
            assert (found.code, found.reason) == (DENIED, "MISSING_SCOPE")
            assert found.metadata == {"scope": scope}
    assert added(before, shop.contents()) == {}


async def test_no_method_opens_without_a_good_token(
    shop: Shop, tokens: Tokens, subtests: pytest.Subtests
) -> None:
    before = shop.contents()
    expired = bearer(tokens.mint(*EVERYTHING, lifetime_seconds=-60))
    foreign = bearer(tokens.mint(*EVERYTHING)[:-10] + "AAAAAAAAAA")
    bad = {
        "TOKEN_MISSING": (),
        "TOKEN_EXPIRED": expired,
        "TOKEN_INVALID": foreign,
    }
    for method, (_, call) in every_call(shop).items():
        for reason, metadata in bad.items():
            with subtests.test(f"{method} {reason}"):
                found = await refused(call(metadata))
                assert (found.code, found.reason) == (UNAUTHENTICATED, reason)
    assert added(before, shop.contents()) == {}


async def test_a_stores_token_rings_up_and_takes_back_there_alone(
    shop: Shop, tokens: Tokens
) -> None:
    local = tokens.bearer("sales.write", stores=["31", "32"])
    recorded = await shop.record(sale(new_card()), metadata=local)
    await shop.record(sale(new_card(), store="32"), metadata=local)
    before = shop.contents()
    foreign = sale(new_card(), store="33")
    quote = pos.QuoteSaleRequest(sale=foreign)
    void = pos.VoidSaleRequest(
        request_id=new_id(),
        sale=recorded.sale,
        store="33",
        terminal="1",
        business_time=next_moment(),
    )
    calls = (
        shop.record(foreign, metadata=local),
        shop.tills.QuoteSale(quote, metadata=local),
        shop.give_back(sale=recorded.sale, store="33", metadata=local),
        shop.tills.VoidSale(void, metadata=local),
    )
    for call in calls:
        found = await refused(call)
        assert (found.code, found.reason) == (DENIED, "FOREIGN_STORE")
        assert found.metadata == {"store": "33"}
    assert added(before, shop.contents()) == {}
    back = await shop.give_back(sale=recorded.sale, store="32", metadata=local)
    assert back.balance.available == 0


async def test_a_token_of_no_store_rings_up_nothing(shop: Shop, tokens: Tokens) -> None:
    nowhere = tokens.bearer("sales.write", stores=[])
    found = await refused(shop.record(sale(new_card()), metadata=nowhere))
    assert found.reason == "FOREIGN_STORE"


async def test_a_member_sees_their_own_wallets_and_no_others(shop: Shop, tokens: Tokens) -> None:
    member, other = new_member(), new_member()
    sales = {}
    with told(shop.database_url) as ledger:
        for each in (member, other):
            ledger.enrolled(each)
            card = new_card()
            ledger.issued(each, card)
            sales[each] = (await shop.record(sale(card))).sale
    unknown = (await shop.record(sale(new_card()))).sale
    own = tokens.bearer("wallets.read.own", subject=member)
    for name in (wallet_name(member), wallet_of(sales[member])):
        assert (await shop.wallet(name, own)).available == 10
        for reason in await refusals_of_reading(shop, name, sales[member], own):
            assert reason is None
    not_theirs = (
        (wallet_name(other), sales[other]),
        (wallet_of(sales[other]), sales[other]),
        (wallet_of(unknown), unknown),
        (f"members/{uuid.uuid4()}/wallet", "wallets/999999999/sales/1"),
        ("wallets/999999999", "wallets/999999999/sales/1"),
    )
    for name, sold in not_theirs:
        for found in await refusals_of_reading(shop, name, sold, own):
            assert found is not None
            assert (found.code, found.reason) == (DENIED, "NOT_YOURS")


async def refusals_of_reading(
    shop: Shop, name: str, sold: str, metadata: Metadata
) -> list[Refusal | None]:
    """What each method that reads answers for a wallet; None where it answers."""
    wallet, document = wallet_of(sold), sold.split("/")[-1]
    calls = (
        shop.care.GetWallet(ledger_pb2.GetWalletRequest(name=name), metadata=metadata),
        shop.care.ListEntries(ledger_pb2.ListEntriesRequest(parent=name), metadata=metadata),
        shop.care.ListSales(ledger_pb2.ListSalesRequest(parent=name), metadata=metadata),
        shop.care.ExplainEntry(
            ledger_pb2.ExplainEntryRequest(name=f"{wallet}/entries/{document}-1"),
            metadata=metadata,
        ),
    )
    found: list[Refusal | None] = []
    for call in calls:
        try:
            await call
        except grpc.aio.AioRpcError:
            found.append(await refused(call))
        else:
            found.append(None)
    return found


async def test_a_members_own_scope_moves_no_points(shop: Shop, tokens: Tokens) -> None:
    member = new_member()
    with told(shop.database_url) as ledger:
        ledger.enrolled(member)
    own = tokens.bearer("wallets.read.own", subject=member)
    request = ledger_pb2.AdjustPointsRequest(
        request_id=new_id(),
        wallet=wallet_name(member),
        points=5,
        kind=pos.POINT_KIND_REDEEMABLE,
        reason="a gift",
    )
    found = await refused(shop.care.AdjustPoints(request, metadata=own))
    assert (found.code, found.reason) == (DENIED, "MISSING_SCOPE")


async def test_a_subject_that_is_no_member_owns_nothing(shop: Shop, tokens: Tokens) -> None:
    recorded = await shop.record(sale(new_card()))
    for subject in ("till-1", "members/", "members/%", "None"):
        own = tokens.bearer("wallets.read.own", subject=subject)
        found = await refused(shop.wallet(wallet_of(recorded.sale), own))
        assert found.reason == "NOT_YOURS"
