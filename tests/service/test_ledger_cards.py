"""Cards: unknown, issued, replaced, blocked; and numbers that never should have been sent."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import grpc
import pytest
from loyalty.ledger.v1 import events_pb2 as announced
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger import events
from services.ledger.reactions import member_id_of
from services.ledger.storage import directory
from services.ledger.usecases import attach
from services.plumbing import outbox
from services.plumbing.database import engine, transaction
from services.plumbing.telemetry import JsonLines
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_members import Told, new_member, told, wallet_name
from tests.service.ledger_shop import (
    Shop,
    added,
    common_database,
    eventually,
    line,
    new_card,
    new_id,
    sale,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens

CARD_NUMBERS = ("4111111111111111", "4111-1111-1111-1111", "378282246310005")


@pytest.fixture
async def shop(databases: Databases, serve: Serve, tokens: Tokens) -> Shop:
    url = common_database(databases)
    return Shop(await serve("ledger", url), tokens, url)


@pytest.fixture
def ledger(shop: Shop) -> Iterator[Told]:
    with told(shop.database_url) as reactions:
        yield reactions


async def test_a_real_card_number_is_refused_and_stands_in_no_log_and_no_table(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = shop.contents()
    for number in CARD_NUMBERS:
        receipt = pos.ReceiptReference(
            card_token=number, store="31", terminal="1", receipt_number="R1"
        )
        for call in (
            shop.record(sale(number)),
            shop.quote(sale(number)),
            shop.give_back(receipt=receipt),
            shop.void(receipt=receipt),
        ):
            found = await refused(call)
            assert found.code == grpc.StatusCode.INVALID_ARGUMENT
            assert found.reason == "RAW_CARD_NUMBER"
            assert number not in f"{found}"
        [outcome] = await shop.record_all(
            pos.RecordSaleRequest(request_id=new_id(), sale=sale(number))
        )
        assert outcome.refused.reason == "RAW_CARD_NUMBER"
        assert number not in f"{outcome}"
    after = shop.contents()
    assert added(before, after) == {}
    logged = "\n".join(map(JsonLines().format, caplog.records))
    assert "RAW_CARD_NUMBER" in logged
    for number in CARD_NUMBERS:
        assert number not in f"{logged}{caplog.text}{after}"


async def test_an_unknown_card_earns_at_once_into_a_wallet_of_its_own(shop: Shop) -> None:
    card = new_card()
    first, second = await shop.record(sale(card)), await shop.record(sale(card))
    assert list(first.flags) == list(second.flags) == [pos.FLAG_UNKNOWN_CARD]
    wallet = await shop.wallet(wallet_of(first.sale))
    assert (wallet.available, wallet.member) == (20, "")


async def test_sales_of_an_unknown_card_at_two_servers_meet_in_one_wallet(
    shop: Shop, serve: Serve, tokens: Tokens
) -> None:
    other = Shop(await serve("ledger", shop.database_url), tokens, shop.database_url)
    card = new_card()
    answers = await asyncio.gather(*(each.record(sale(card)) for each in (shop, other) * 5))
    [wallet] = {wallet_of(answer.sale) for answer in answers}
    assert (await shop.wallet(wallet)).available == 100


async def test_enrolling_with_an_unknown_card_brings_its_points_along(
    shop: Shop, ledger: Told
) -> None:
    card, member = new_card(), new_member()
    first = await shop.record(sale(card))
    ledger.enrolled(member)
    ledger.issued(member, card)
    await eventually(lambda: is_known(shop, card), what="the card being known")
    wallet = await shop.wallet(wallet_name(member))
    assert (wallet.name, wallet.member) == (wallet_of(first.sale), member)
    again = await shop.record(sale(card))
    assert list(again.flags) == []
    assert (await shop.wallet(wallet_name(member))).available == again.balance.available


async def is_known(shop: Shop, card: str) -> bool:
    return not (await shop.record(sale(card, line(0)))).flags


async def test_a_new_members_card_credits_a_new_wallet(shop: Shop, ledger: Told) -> None:
    card, member = new_card(), new_member()
    ledger.enrolled(member)
    assert (await shop.wallet(wallet_name(member))).available == 0
    ledger.issued(member, card)
    answer = await shop.record(sale(card))
    assert list(answer.flags) == []
    wallet = await shop.wallet(wallet_name(member))
    assert (wallet.name, wallet.available) == (wallet_of(answer.sale), 10)


async def test_a_members_further_card_credits_the_first_wallet(shop: Shop, ledger: Told) -> None:
    cards, member = [new_card(), new_card()], new_member()
    for card in cards:
        ledger.issued(member, card)
    answers = [await shop.record(sale(card)) for card in cards]
    assert answers[1].balance.available == 20
    assert wallet_of(answers[0].sale) == wallet_of(answers[1].sale)


async def test_a_further_card_with_points_of_its_own_keeps_its_wallet(
    shop: Shop, ledger: Told
) -> None:
    first, second, member = new_card(), new_card(), new_member()
    ledger.issued(member, first)
    answers = [await shop.record(sale(card)) for card in (first, second)]
    ledger.issued(member, second)
    wallet = await shop.wallet(wallet_name(member))
    assert (wallet.name, wallet.available, wallet.lifetime) == (wallet_of(answers[0].sale), 20, 20)
    assert wallet_of(answers[1].sale) != wallet.name
    assert (await shop.wallet(wallet_of(answers[1].sale))).member == member


async def test_a_replaced_card_keeps_the_balance_and_is_refused_itself(
    shop: Shop, ledger: Told
) -> None:
    old, new, member = new_card(), new_card(), new_member()
    ledger.issued(member, old)
    first = await shop.record(sale(old))
    ledger.replaced(member, old, new)
    await shop.has_heard(old, "CARD_BLOCKED")
    found = await refused(shop.record(sale(old)))
    assert (found.code, found.metadata) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        {"state": "REPLACED"},
    )
    assert (await refused(shop.quote(sale(old)))).reason == "CARD_BLOCKED"
    answer = await shop.record(sale(new))
    assert (answer.balance.available, list(answer.flags)) == (20, [])
    assert wallet_of(answer.sale) == wallet_of(first.sale)


async def test_goods_bought_with_the_old_card_come_back_with_the_new_one(
    shop: Shop, ledger: Told
) -> None:
    old, new, member = new_card(), new_card(), new_member()
    ledger.issued(member, old)
    sold = sale(old)
    await shop.record(sold)
    ledger.replaced(member, old, new)
    for card in (new, old):
        receipt = pos.ReceiptReference(
            card_token=card, store="31", terminal="1", receipt_number=sold.receipt_number
        )
        if card == new:
            assert (await shop.give_back(receipt=receipt)).balance.available == 0
        else:
            assert (await refused(shop.give_back(receipt=receipt))).reason == "RETURN_EXCEEDS_SALE"


async def test_a_new_card_already_used_at_a_till_brings_its_points_to_the_member(
    shop: Shop, ledger: Told
) -> None:
    old, new, member = new_card(), new_card(), new_member()
    ledger.issued(member, old)
    for card in (old, new):
        await shop.record(sale(card))
    ledger.replaced(member, old, new)
    assert (await shop.wallet(wallet_name(member))).available == 20
    await shop.has_heard(old, "CARD_BLOCKED")
    assert list((await shop.record(sale(new))).flags) == []
    assert (await shop.wallet(wallet_name(member))).available == 30


async def test_a_blocked_card_is_refused_and_its_points_stay(shop: Shop, ledger: Told) -> None:
    card, member = new_card(), new_member()
    ledger.issued(member, card)
    await shop.record(sale(card))
    ledger.blocked(member, card)
    await shop.has_heard(card, "CARD_BLOCKED")
    assert (await refused(shop.record(sale(card)))).metadata == {"state": "BLOCKED"}
    assert (await shop.wallet(wallet_name(member))).available == 10


async def test_an_event_told_twice_is_applied_once(shop: Shop, ledger: Told) -> None:
    old, new, member = new_card(), new_card(), new_member()
    received: list[tuple[str, bytes]] = []
    for reaction in ("member_enrolled", "card_issued", "card_replaced"):
        method = getattr(ledger.reactions, reaction)

        def note(data: bytes, name: str = reaction, method: object = method) -> None:
            received.append((name, data))
            method(data)  # type: ignore[operator]

        setattr(ledger.reactions, reaction, note)
    ledger.enrolled(member)
    ledger.issued(member, old)
    ledger.replaced(member, old, new)
    before = shop.contents()
    for name, data in received:
        getattr(type(ledger.reactions), name)(ledger.reactions, data)
    assert added(before, shop.contents()) == {}


async def test_an_attached_wallet_is_announced_once(shop: Shop, ledger: Told) -> None:
    first, second, member = new_card(), new_card(), new_member()
    answer = await shop.record(sale(first))
    ledger.issued(member, first)
    ledger.issued(member, second)
    found = [
        announced.WalletAttached.FromString(event.data)
        for event in events_of(shop)
        if event.type == announced.WalletAttached.DESCRIPTOR.full_name
    ]
    wallets = [f"wallets/{each.wallet}" for each in found if each.member == member]
    assert wallets == [wallet_of(answer.sale)]


def events_of(shop: Shop) -> list[outbox.Event]:
    reading = engine(shop.database_url, pool_size=1)
    with transaction(reading) as connection:
        stored = outbox.read(connection, "public", outbox.START, limit=10_000)
    reading.dispose()
    return [each.event for each in stored]


@pytest.mark.parametrize("how", ["issued", "replaced"])
async def test_a_card_given_a_wallet_by_a_till_just_now_keeps_it_when_it_is_attached(
    shop: Shop, ledger: Told, how: str
) -> None:
    """The till has made the wallet and will credit it, but has not committed yet."""
    card, old, member = new_card(), new_card(), new_member()
    if how == "replaced":
        ledger.issued(member, old)
    till = engine(shop.database_url, pool_size=1)
    with transaction(till) as connection:
        made = directory.add_unknown_cards(connection, [card])[card]
        tell = partial(ledger.issued, member)
        if how == "replaced":
            tell = partial(ledger.replaced, member, old)
        telling = asyncio.create_task(asyncio.to_thread(tell, card))
        await eventually(shop.waiting_for_locks, what="the reaction waiting for the till")
    till.dispose()
    await telling
    answer = await shop.record(sale(card))
    assert wallet_of(answer.sale) == f"wallets/{made.wallet_id}"
    assert (await shop.wallet(wallet_name(member))).available == 10


async def test_cards_heard_of_together_are_issued_as_one_after_the_other(shop: Shop) -> None:
    fresh, twice, sold, shared, late = (new_member() for _ in range(5))
    cards = [new_card() for _ in range(5)]
    provisional = wallet_of((await shop.record(sale(cards[3]))).sale)
    told = [
        *((fresh, cards[0]), (twice, cards[1]), (twice, cards[2])),
        *((sold, cards[3]), (shared, cards[4]), (late, cards[4])),
    ]
    news: list[attach.Enrolled | attach.Issued] = [
        *(attach.Enrolled(member_id_of(member), datetime.now(UTC)) for member, _ in told),
        *(attach.Issued(member_id_of(member), card) for member, card in told),
    ]
    pool = engine(shop.database_url, pool_size=1)
    with transaction(pool) as connection:
        now = datetime.now(UTC)
        attach.welcome(connection, news, now=now, announce=events.wallet_attached)
        known = directory.find_cards(connection, cards)
        owned = {
            member: directory.wallets_of_member(connection, member_id_of(member))
            for member, _ in told
        }
    pool.dispose()
    assert owned[fresh] == [known[cards[0]].wallet_id]
    assert owned[twice] == [known[cards[1]].wallet_id] == [known[cards[2]].wallet_id]
    assert [f"wallets/{wallet}" for wallet in owned[sold]] == [provisional]
    assert len(owned[shared]) == 1
    # Issued anew it credits whom it was given to last.
    assert owned[late] == [known[cards[4]].wallet_id] != owned[shared]
    assert all(card.known for card in known.values())
    for member in (fresh, twice, sold):
        found = await shop.wallet(wallet_name(member))
        assert (found.member, found.available) == (member, 10 if member == sold else 0)


async def test_of_wallets_attached_at_once_the_first_stays_the_first(shop: Shop) -> None:
    """Who waits for a member's lock may have begun before who holds it, yet comes after."""
    card, member = new_card(), new_member()
    member_id = member.removeprefix("members/")
    answer = await shop.record(sale(card))
    pool = engine(shop.database_url, pool_size=2)
    issue = partial(attach.issue_card, now=datetime.now(UTC), announce=events.wallet_attached)
    with transaction(pool) as waiting:
        assert directory.wallets_of_member(waiting, member_id) == []
        with transaction(pool) as holding:
            directory.lock_members(holding, [member_id])
            issuing = asyncio.create_task(asyncio.to_thread(issue, waiting, member_id, card))
            await eventually(shop.waiting_for_locks, what="waiting for the member")
            first = directory.next_wallet(holding)
            directory.own(holding, first, member_id)
        await issuing
    pool.dispose()
    assert (await shop.wallet(wallet_name(member))).name == f"wallets/{first}"
    assert (await shop.wallet(wallet_of(answer.sale))).member == member
