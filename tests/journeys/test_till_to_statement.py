"""From the till to the member's statement, through the processes of a running platform."""

import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import pytest
from loyalty.ledger.v1 import ledger_pb2
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.members.v1 import members_pb2

from services.cli.audit import run_audit
from tests.faults.programme import Programme
from tests.journeys.chain import (
    APPLES,
    BREAD,
    BUS_SECONDS_MAX,
    CAKE,
    CIGARETTES,
    QUALIFYING,
    REDEEMABLE,
    Chain,
    basket,
    points,
    reason_of,
    return_of,
    void_of,
)
from tests.processes import wait_for


@pytest.fixture
def chain(programme: Programme) -> Iterator[Chain]:
    with ExitStack() as opened:
        ledger, members = (
            opened.enter_context(grpc.insecure_channel(programme.platform.grpc_address(service)))
            for service in ("ledger", "members")
        )
        yield Chain(
            programme,
            ledger_channel=ledger,
            members_channel=members,
            till=programme.bearer("sales.write", subject="terminals/31/4"),
            desk=programme.bearer("wallets.read", "accounts.read", "members.write", subject="desk"),
        )


def refusal(call: Callable[[], object]) -> str:
    """The reason a call is refused for."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return reason_of(caught.value)


def test_member_shops_returns_voids_and_reads_why(chain: Chain) -> None:
    before = chain.issued()
    member = chain.enrol("journey-1")
    shopping = basket("journey-1", 1, BREAD, APPLES, CIGARETTES)
    earned = {("base", REDEEMABLE): 7, ("base", QUALIFYING): 7, ("produce-extra", REDEEMABLE): 3}

    quoted = chain.at_till("QuoteSale", pos.QuoteSaleRequest(sale=shopping))
    assert points(quoted) == earned
    assert chain.points_of(member) == (0, 0)

    sold = chain.record(shopping)
    assert points(sold) == earned
    assert (sold.balance, sold.receipt_texts) == (quoted.balance, quoted.receipt_texts)
    assert list(sold.receipt_texts) == ["You earned 10 points.", "Your balance: 10 points."]
    assert list(sold.flags) == []
    assert chain.points_of(member) == (10, 7)

    back = chain.at_till("RecordReturn", return_of(sold.sale, line=2))
    assert points(back) == dict.fromkeys(earned, -3)
    assert list(back.receipt_texts) == ["Taken back: 6 points.", "Your balance: 4 points."]
    assert chain.points_of(member) == (4, 4)

    mistaken = chain.record(basket("journey-1", 3, CAKE))
    assert chain.points_of(member) == (16, 16)
    voided = chain.at_till("VoidSale", void_of(mistaken.sale))
    assert points(voided) == {("base", REDEEMABLE): -12, ("base", QUALIFYING): -12}
    assert chain.points_of(member) == (4, 4)

    assert_statement_explains_itself(chain, member, kept=sold.sale, voided=mistaken.sale)
    given = chain.issued()
    given.subtract(before)
    assert given == {REDEEMABLE: 4, QUALIFYING: 4}
    assert run_audit(chain.programme.ledger_url).ok


def assert_statement_explains_itself(chain: Chain, member: str, *, kept: str, voided: str) -> None:
    """What the member reads with a token of their own adds up, and nobody else can read it."""
    own = chain.programme.bearer("wallets.read.own", subject=member)
    parent = f"{member}/wallet"
    asked = ledger_pb2.ListEntriesRequest(parent=parent)
    entries = chain.at_ledger("ListEntries", asked, own).entries
    kinds = [ledger_pb2.EntryType.Name(entry.type) for entry in entries]
    assert list(dict.fromkeys(kinds)) == [
        "ENTRY_TYPE_VOID",
        "ENTRY_TYPE_EARN",
        "ENTRY_TYPE_RETURN",
    ]
    totals: Counter[pos.PointKind.ValueType] = Counter()
    for entry in entries:
        totals[entry.kind] += entry.points
        why = chain.at_ledger("ExplainEntry", ledger_pb2.ExplainEntryRequest(name=entry.name), own)
        assert why.entry == entry
        assert (why.recomputed_points, why.recomputation_agrees) == (entry.points, True)
        assert entry.explanation
        assert why.rule_title in entry.explanation
    assert totals == {REDEEMABLE: 4, QUALIFYING: 4}

    sales = chain.at_ledger("ListSales", ledger_pb2.ListSalesRequest(parent=parent), own).sales
    assert [(sale.name, sale.voided) for sale in sales] == [(voided, True), (kept, False)]
    assert [line.sku for line in sales[1].sale.lines] == ["bread", "apples", "cigarettes"]

    stranger = chain.programme.bearer("wallets.read.own", subject=f"members/{uuid.uuid4()}")
    assert refusal(lambda: chain.at_ledger("ListEntries", asked, stranger)) == "NOT_YOURS"


def test_replaced_card_is_refused_and_the_balance_stays(chain: Chain) -> None:
    member = chain.enrol("journey-old")
    chain.record(basket("journey-old", 1, CAKE))
    replacing = members_pb2.ReplaceCardRequest(
        old_card_token="journey-old", new_card_token="journey-new"
    )
    chain.at_members("ReplaceCard", replacing)
    old = basket("journey-old", 2, BREAD)

    receipts = itertools.count(100)

    def is_refused() -> bool:
        # Earns nothing while the till's server has not heard of it yet.
        smoke = basket("journey-old", next(receipts), CIGARETTES)
        try:
            chain.record(smoke)
        except grpc.RpcError as error:
            return reason_of(error) == "CARD_BLOCKED"
        return False

    wait_for(is_refused, what="the refusal of the old card", seconds=BUS_SECONDS_MAX)
    assert refusal(lambda: chain.record(old)) == "CARD_BLOCKED"
    assert chain.points_of(member) == (12, 12)

    sold = chain.record(basket("journey-new", 3, BREAD))
    assert (list(sold.flags), sold.balance.available) == ([], 16)
    assert chain.points_of(member) == (16, 16)
    assert run_audit(chain.programme.ledger_url).ok


def test_unknown_card_earns_first_and_is_attached_by_enrolment(chain: Chain) -> None:
    earned = chain.record(basket("journey-unknown", 1, CAKE))
    assert list(earned.flags) == [pos.FLAG_UNKNOWN_CARD]
    assert earned.balance.available == 12

    member = chain.enrol("journey-unknown")
    wallet = chain.wallet(member)
    assert wallet is not None
    assert earned.sale.startswith(f"{wallet.name}/")
    assert (wallet.member, wallet.available, wallet.lifetime) == (member, 12, 12)

    known = basket("journey-unknown", 2, BREAD)

    def is_known() -> bool:
        quoted = chain.at_till("QuoteSale", pos.QuoteSaleRequest(sale=known))
        return list(quoted.flags) == []

    wait_for(is_known, what="the till's knowledge of the card", seconds=BUS_SECONDS_MAX)
    assert chain.record(known).balance.available == 16
    assert chain.points_of(member) == (16, 16)
    assert run_audit(chain.programme.ledger_url).ok
