"""Members send each other points: once, within the limits, and what is sent arrives as it was."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import grpc
import pytest
from loyalty.ledger.v1 import earn_policy_pb2, ledger_pb2, transfers_pb2

from services.cli.audit import run_audit
from services.ledger.storage.merges import Merge
from services.ledger.usecases import together
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_history import problems_of
from tests.service.ledger_members import new_member, told, wallet_name
from tests.service.ledger_senders import Senders, senders_database
from tests.service.ledger_shop import (
    added,
    common_database,
    earn_policy,
    moment,
    new_card,
    new_id,
    sale,
    schema_of,
    wallet_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens

TransferRules = earn_policy_pb2.TransferRules
Call = Callable[[], Awaitable[object]]
State = transfers_pb2.Transfer.State
UNMET = grpc.StatusCode.FAILED_PRECONDITION
GREETING = 'Happy birthday, "Zoë"\n\\{},'


@pytest.fixture
async def senders(databases: Databases, serve: Serve, tokens: Tokens) -> Senders:
    url = senders_database(databases)
    return Senders(await serve("ledger", url), tokens, url)


async def test_what_is_sent_arrives_with_its_age_and_its_end(senders: Senders) -> None:
    ann, ben = await senders.member(30, 50), await senders.member()
    lots = await senders.lots_of(ann)
    sent = await senders.send(ann, ben, 40, message=GREETING)
    transfer = sent.transfer
    assert (transfer.state, transfer.points, transfer.message) == (State.STATE_DONE, 40, GREETING)
    assert (sent.balance.available, sent.balance.held) == (40, 0)
    (first, earned, ends), (_, *later) = lots
    assert await senders.lots_of(ben) == [(first, earned, ends), (10, *later)]
    assert await senders.lots_of(ann) == [(40, *later)]
    assert await senders.get(transfer.name) == transfer
    for member in (ann, ben):
        assert list((await senders.sent_by(member)).transfers) == [transfer]
    wallet = await senders.wallet(wallet_name(ben))
    assert (wallet.name, wallet.available) == (transfer.to_wallet, 40)
    # Neither earned nor counting for status: the other member earned them.
    assert (wallet.lifetime, wallet.qualifying) == (0, 0)
    assert (await senders.wallet(transfer.from_wallet)).lifetime == 80
    assert await senders.under_way() == 0


async def test_both_statements_say_what_happened(senders: Senders) -> None:
    ann, ben = await senders.member(10, 10), await senders.member()
    await senders.send(ann, ben, 15)
    [gone] = (await senders.entries(wallet_name(ann), page_size=1)).entries
    came = (await senders.entries(wallet_name(ben))).entries
    assert (gone.type, gone.points, gone.account) == (ledger_pb2.ENTRY_TYPE_SEND, -15, "transfer")
    assert [(entry.type, entry.points) for entry in came] == [
        (ledger_pb2.ENTRY_TYPE_RECEIVE, 10),
        (ledger_pb2.ENTRY_TYPE_RECEIVE, 5),
    ]
    for entry, sentence, lots in (
        (gone, "15 points sent to another member", [-10, -5]),
        (came[0], "10 points received from another member", [10]),
    ):
        request = ledger_pb2.ExplainEntryRequest(name=entry.name)
        explained = await senders.care.ExplainEntry(request, metadata=senders.everything)
        assert explained.entry.explanation == sentence
        assert [use.points for use in explained.lots] == lots
        assert explained.recomputation_agrees


async def test_a_request_is_done_once_and_answered_again_the_same(senders: Senders) -> None:
    ann, ben = await senders.member(100), await senders.member()
    used = new_id()
    first = await senders.send(ann, ben, 20, request_id=used, message="hello")
    await senders.send(ann, ben, 30)
    before = senders.contents()
    for same in (used, used.upper()):
        assert await senders.send(ann, ben, 20, request_id=same, message="hello") == first
    for attempt in (
        senders.send(ann, ben, 21, request_id=used, message="hello"),
        senders.send(ann, ben, 20, request_id=used),
        senders.send(ann, first.transfer.to_wallet, 20, request_id=used, message="hello"),
    ):
        assert (await refused(attempt)).reason == "REQUEST_ID_REUSED"
    assert added(before, senders.contents()) == {}
    # Another member's request is another one.
    assert (await senders.send(ben, ann, 10, request_id=used)).balance.available == 40


async def test_every_refusal_has_its_reason_and_moves_nothing(senders: Senders) -> None:
    ann, ben = await senders.member(500), await senders.member(3)
    nobody = wallet_of((await senders.record(sale(new_card()))).sale)
    own = (await senders.wallet(wallet_name(ann))).name
    kept = {"public.transfers": 1}
    journal = schema_of((await senders.wallet(wallet_name(ben))).name)
    attempts: dict[str, tuple[str, Call, dict[str, int]]] = {
        "too few": ("TRANSFER_TOO_SMALL", lambda: senders.send(ann, ben, 1), kept),
        "too many": ("TRANSFER_TOO_LARGE", lambda: senders.send(ann, ben, 101), kept),
        "to oneself": ("TRANSFER_TO_SELF", lambda: senders.send(ann, ann, 2), kept),
        "to one's own wallet": ("TRANSFER_TO_SELF", lambda: senders.send(ann, own, 2), kept),
        "more than there is": (
            "INSUFFICIENT_POINTS",
            lambda: senders.send(ben, ann, 4),
            kept | {"public.transfer_sources": 1, f"{journal}.batches": 1, f"{journal}.journal": 1},
        ),
        "from nobody": ("MEMBER_NEEDED", lambda: senders.send(nobody, ann, 2), {}),
        "to nobody": ("MEMBER_NEEDED", lambda: senders.send(ann, nobody, 2), {}),
        "to no member": ("WALLET_NOT_FOUND", lambda: senders.send(ann, new_member(), 2), {}),
        "from no member": ("WALLET_NOT_FOUND", lambda: senders.send(new_member(), ann, 2), {}),
        "to no wallet": ("WALLET_NOT_FOUND", lambda: senders.send(ann, "wallets/99999999", 2), {}),
        "to no number": ("WALLET_NOT_FOUND", lambda: senders.send(ann, f"wallets/{2**63}", 2), {}),
    }
    for reason, call, grown in attempts.values():
        before = senders.contents()
        assert (await refused(call())).reason == reason
        assert added(before, senders.contents()) == grown
    assert await senders.available(ann, ben) == [500, 3]
    assert (await senders.sent_by(ann)).transfers == []


async def test_a_refusal_is_remembered_and_counts_against_no_limit(senders: Senders) -> None:
    ann, ben = await senders.member(99), await senders.member()
    used = new_id()
    first = await refused(senders.send(ann, ben, 100, request_id=used))
    assert (first.code, first.metadata) == (UNMET, {"wanted": "100", "available": "99"})
    await senders.adjust(wallet_name(ann), 51)
    before = senders.contents()
    assert await refused(senders.send(ann, ben, 100, request_id=used)) == first
    assert added(before, senders.contents()) == {}
    await senders.send(ann, ben, 100)
    limited = await refused(senders.send(ann, ben, 51))
    assert limited.reason == "TRANSFER_LIMIT_REACHED"
    assert (limited.metadata["limit"], limited.metadata["left"]) == ("points_sent", "50")
    assert limited.metadata["until"].endswith("+00:00")
    await senders.send(ann, ben, 50)
    assert await senders.available(ann, ben) == [0, 150]


async def test_a_member_is_sent_no_more_than_the_limit(senders: Senders) -> None:
    friends = [await senders.member(100) for _ in range(5)]
    ben = await senders.member()
    for friend in friends[:4]:
        await senders.send(friend, ben, 99)
    limited = await refused(senders.send(friends[4], ben, 5))
    assert limited.metadata == {"limit": "points_received"}
    await senders.send(friends[4], ben, 4)
    assert await senders.available(ben) == [400]


async def test_no_policy_no_transfer(databases: Databases, serve: Serve, tokens: Tokens) -> None:
    url = common_database(databases)
    senders = Senders(await serve("ledger", url), tokens, url)
    ann, ben = await senders.member(10), await senders.member()
    assert (await refused(senders.send(ann, ben, 5))).reason == "TRANSFERS_OFF"
    assert await senders.available(ann, ben) == [10, 0]


async def test_a_policy_says_how_members_may_send(senders: Senders) -> None:
    later = moment(4_000_000_000)
    usual = TransferRules()
    published = await senders.publish(earn_policy(effective_time=later, transfers=usual))
    assert published.transfers == TransferRules(points_min=1, transfers_per_day_max=10)
    for rules, field in (
        (TransferRules(points_min=11, points_sent_max=10), "policy.transfers.points_min"),
        (TransferRules(points_max=-1), "policy.transfers.points_max"),
        (TransferRules(transfers_per_day_max=101), "policy.transfers.transfers_per_day_max"),
    ):
        before = senders.contents()
        wrong = earn_policy(effective_time=later, transfers=rules)
        assert (await refused(senders.publish(wrong))).fields == (field,)
        assert added(before, senders.contents()) == {}


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("request_id", {"request_id": "one"}),
        ("request_id", {"request_id": ""}),
        ("message", {"message": "x" * 281}),
        ("message", {"message": "a\0b"}),
        ("points", {"points": 0}),
        ("points", {"points": -5}),
        ("points", {"points": 2**62}),
        ("from_wallet", {"source": "wallets/one"}),
        ("from_wallet", {"source": ""}),
        ("to_wallet", {"target": "cards/1"}),
    ],
)
async def test_impossible_values_are_refused_field_by_field(
    senders: Senders, field: str, change: dict[str, str | int]
) -> None:
    ann, ben = await senders.member(10), await senders.member()
    before = senders.contents()
    asked: dict[str, object] = {"source": ann, "target": ben, "points": 5, **change}
    found = await refused(senders.send(**asked))  # type: ignore[arg-type]
    assert (found.code, found.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (field,))
    assert added(before, senders.contents()) == {}


async def test_members_send_and_see_their_own_alone(senders: Senders, tokens: Tokens) -> None:
    ann, ben, eve = [await senders.member(50) for _ in range(3)]
    wallet = (await senders.wallet(wallet_name(ann))).name
    as_ann = tokens.bearer("points.transfer.own", "wallets.read.own", subject=ann)
    as_eve = tokens.bearer("points.transfer.own", "wallets.read.own", subject=eve)
    as_ben = tokens.bearer("wallets.read.own", subject=ben)
    sent = (await senders.send(ann, ben, 5, as_ann)).transfer
    assert (await senders.send(wallet, ben, 5, as_ann)).balance.available == 40
    for token in (as_ann, as_ben):
        assert await senders.get(sent.name, token) == sent
    assert len((await senders.sent_by(ben, as_ben)).transfers) == 2
    before = senders.contents()
    for call in (
        senders.send(ann, eve, 5, as_eve),
        senders.send(wallet, eve, 5, as_eve),
        senders.send("wallets/99999999", eve, 5, as_eve),
        senders.get(sent.name, as_eve),
        senders.get("transfers/99999999", as_eve),
        senders.sent_by(ann, as_eve),
    ):
        assert (await refused(call)).reason == "NOT_YOURS"
    assert (await refused(senders.send(ben, ann, 5, as_ben))).reason == "MISSING_SCOPE"
    for name in ("transfers/99999999", f"transfers/{2**63}"):
        assert (await refused(senders.get(name))).reason == "TRANSFER_NOT_FOUND"
    assert added(before, senders.contents()) == {}


async def test_transfers_come_page_by_page_newest_first(senders: Senders) -> None:
    ann, ben = await senders.member(50), await senders.member(50)
    names = []
    for number in range(5):
        pair = (ann, ben) if number % 2 else (ben, ann)
        names.append((await senders.send(*pair, 3)).transfer.name)
    found: list[str] = []
    token = ""
    for _ in range(3):
        page = await senders.sent_by(ann, page_size=2, page_token=token)
        found += [transfer.name for transfer in page.transfers]
        token = page.next_page_token
    assert (found, token) == (names[::-1], "")
    for wrong in ("?", "bm9wZQ==", "WzFd", "WzkyMjMzNzIwMzY4NTQ3NzU4MDcsMV0="):
        found_wrong = await refused(senders.sent_by(ann, page_token=wrong))
        assert found_wrong.reason == "PAGE_TOKEN_INVALID"


async def test_a_limit_holds_however_many_ask_at_once(
    senders: Senders, serve: Serve, tokens: Tokens
) -> None:
    """At two servers: of 64 transfers of five points thirty make a hundred and fifty."""
    url = senders.database_url
    second = Senders(await serve("ledger", url), tokens, url)
    ann, ben = await senders.member(500), await senders.member()
    calls = [each.send(ann, ben, 5) for each in (senders, second) for _ in range(32)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    done = [each for each in answers if isinstance(each, transfers_pb2.TransferPointsResponse)]
    assert len(done) == 30
    assert await senders.available(ann, ben) == [350, 150]


async def test_points_sent_to_and_fro_at_once_are_neither_lost_nor_made(senders: Senders) -> None:
    ann, ben = await senders.member(60), await senders.member(60)
    calls = [senders.send(*pair, 7) for pair in ((ann, ben), (ben, ann)) for _ in range(10)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    done = [each for each in answers if isinstance(each, transfers_pb2.TransferPointsResponse)]
    assert len(done) >= 16
    left = await senders.available(ann, ben)
    assert sum(left) == 120
    assert await senders.under_way() == 0


async def test_the_same_request_at_once_is_one_transfer(senders: Senders) -> None:
    ann, ben = await senders.member(60), await senders.member()
    used = new_id()
    answers = await asyncio.gather(*[senders.send(ann, ben, 7, request_id=used) for _ in range(8)])
    assert {answer.transfer.name for answer in answers} == {answers[0].transfer.name}
    assert {answer.balance.available for answer in answers} == {53}
    assert await senders.available(ann, ben) == [53, 7]


async def test_a_member_with_two_wallets_sends_from_the_one_that_has_enough(
    senders: Senders,
) -> None:
    ann, ben, card = await senders.member(10), await senders.member(), new_card()
    for _ in range(4):
        recorded = await senders.record(sale(card))
    with told(senders.database_url) as ledger:
        ledger.issued(ann, card)
    used = new_id()
    first = await senders.send(ann, ben, 30, request_id=used)
    assert first.transfer.from_wallet == wallet_of(recorded.sale)
    # Both wallets are the same member's: neither can be sent to, and limits count both.
    assert (await refused(senders.send(ann, wallet_of(recorded.sale), 5))).reason == (
        "TRANSFER_TO_SELF"
    )
    await senders.adjust(wallet_name(ann), 120)
    assert await senders.send(ann, ben, 30, request_id=used) == first
    await senders.send(ann, ben, 100)
    assert (await refused(senders.send(ann, ben, 21))).metadata["left"] == "20"


async def test_a_member_with_two_wallets_sends_what_both_have(
    senders: Senders, tokens: Tokens
) -> None:
    ann, ben, card = await senders.member(10), await senders.member(), new_card()
    recorded = await senders.record(sale(card))
    with told(senders.database_url) as ledger:
        ledger.issued(ann, card)
    refusal = await refused(senders.send(ann, ben, 21))
    assert refusal.metadata == {"wanted": "21", "available": "20"}
    used = new_id()
    sent = await senders.send(ann, ben, 15, request_id=used)
    assert (sent.balance.available, sent.transfer.points) == (5, 15)
    assert await senders.send(ann, ben, 15, request_id=used) == sent
    assert await senders.available(ann, ben) == [5, 15]
    assert (await senders.wallet(wallet_of(recorded.sale))).available == 5
    assert list((await senders.sent_by(ann)).transfers) == [sent.transfer]
    as_ann = tokens.bearer("wallets.read.own", subject=ann)
    assert await senders.get(sent.transfer.name, as_ann) == sent.transfer


async def test_merged_members_send_as_one_and_apart_again(senders: Senders) -> None:
    ann, eve, ben = await senders.member(10), await senders.member(120), await senders.member()
    merge = Merge(new_id(), eve.removeprefix("members/"), ann.removeprefix("members/"))
    eves = (await senders.wallet(wallet_name(eve))).name
    with senders.changing() as connection:
        together.merge(connection, merge, datetime.now(UTC))
    for attempt in (senders.send(eve, ben, 5), senders.send(ben, eve, 5)):
        merged = await refused(attempt)
        assert (merged.reason, merged.metadata) == ("MEMBER_MERGED", {"into": ann})
    assert (await refused(senders.send(ann, eves, 5))).reason == "TRANSFER_TO_SELF"
    await senders.send(ann, ben, 100)
    await senders.send(eves, ben, 10)
    assert (await refused(senders.send(ann, ben, 41))).metadata["left"] == "40"
    with senders.changing() as connection:
        together.undo_merge(connection, merge, datetime.now(UTC))
    # Whatever was sent from a member's wallets, that member sent.
    assert [len((await senders.sent_by(each)).transfers) for each in (ann, eve)] == [0, 2]
    assert await senders.available(ann, eve, ben) == [10, 10, 110]
    assert (await refused(senders.send(eve, ben, 41))).metadata["left"] == "40"
    await senders.send(ann, eve, 10)


async def test_of_who_is_erased_no_word_is_left(senders: Senders) -> None:
    ann, ben = await senders.member(60), await senders.member()
    sent = (await senders.send(ann, ben, 7, message="Dear Ben")).transfer
    came = (await senders.send(ben, ann, 3, message="Dear Ann")).transfer
    with senders.changing() as connection:
        together.erase(connection, ann.removeprefix("members/"), datetime.now(UTC))
    for transfer in (sent, came):
        transfer.message = ""
        assert await senders.get(transfer.name) == transfer
    assert (await refused(senders.send(ben, ann, 3))).reason == "MEMBER_BLOCKED"


async def test_what_a_member_writes_stands_with_the_transfer_alone(senders: Senders) -> None:
    ann, ben = await senders.member(60), await senders.member()
    words = f"words-{new_id()}"
    await senders.send(ann, ben, 7, message=words)
    found = {
        table: [row for row in rows if words in row] for table, rows in senders.contents().items()
    }
    assert [table for table, rows in found.items() if rows] == ["public.transfers"]
    data = senders.rows(
        "SELECT count(*) FROM (SELECT data FROM ledger_00.outbox UNION ALL"
        " SELECT data FROM ledger_01.outbox) AS o WHERE position(%(words)s::bytea IN data) > 0",
        words=words.encode(),
    )
    assert data == [(0,)]


async def test_the_books_are_right_after_all_this(senders: Senders) -> None:
    assert problems_of((await asyncio.to_thread(run_audit, senders.database_url)).checks) == {}
    liability = await senders.liability()
    assert (liability.ties, liability.movement.transferred_points) == (True, 0)
