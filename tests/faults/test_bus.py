"""The bus dies in the middle of its events; every card is attached to its member exactly once."""

import asyncio
import uuid
from collections import Counter
from contextlib import ExitStack
from typing import Any

import grpc
from loyalty.ledger.v1 import events_pb2, ledger_pb2, ledger_pb2_grpc
from loyalty.members.v1 import members_pb2, members_pb2_grpc

from tests.faults.programme import Programme, connect
from tests.faults.proof import prove_exactly_once, told
from tests.faults.tills import NAMESPACE, OPTIONS, Tills, at_work, points_of, sales
from tests.service.waiting import until

# The first half of the cards earned before anybody enrolled with them.
CARDS, EARNING = 60, 30
DIES_AT = (5, 25, 45)
EVENTS = 2 * CARDS
OWNERS = "SELECT member_id::text FROM wallet_owners"
RESTART_SECONDS_MAX = 60.0


def card_token(number: int) -> str:
    return f"enrolling-{number}"


async def enrol_all(programme: Programme) -> list[str]:
    """Enrol a member for each card, in their order. Returns the ids of the members."""
    address, token = programme.platform.grpc_address("members"), programme.bearer("members.write")
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        stub = members_pb2_grpc.MembersServiceStub(channel)
        ids = []
        for number in range(CARDS):
            request = members_pb2.EnrolMemberRequest(
                request_id=str(uuid.uuid5(NAMESPACE, f"enrolment {number}")),
                card_token=card_token(number),
            )
            answer = await stub.EnrolMember(request, metadata=token, timeout=30)
            ids.append(answer.member.name.removeprefix("members/"))
    return ids


def bus_stuck_at(programme: Programme, member_id: str) -> Any:
    """A connection until whose end no event of a member can be applied."""
    connection = connect(programme.ledger_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('member ' || %s, 0))", (member_id,)
        )
    return connection


async def available(programme: Programme, member_ids: list[str]) -> list[int]:
    """What each member can spend."""
    token = programme.bearer("wallets.read")
    async with grpc.aio.insecure_channel(programme.ledger_address, options=OPTIONS) as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        names = [f"members/{member_id}/wallet" for member_id in member_ids]
        requests = [ledger_pb2.GetWalletRequest(name=name) for name in names]
        answers = [await stub.GetWallet(each, metadata=token, timeout=30) for each in requests]
    return [answer.wallet.available for answer in answers]


async def test_bus_killed_in_the_middle_of_events_attaches_each_card_once(
    programme: Programme,
) -> None:
    applied = "SELECT count(*) FROM inbox WHERE consumer = 'ledger' AND source = 'members'"
    before, restarts = programme.count(applied), programme.restarts("bus")
    strangers = {member for (member,) in programme.rows(OWNERS)}
    async with at_work(
        sales("enrolling", tills=6, each=20, cards=EARNING),
        address=programme.ledger_address,
        metadata=programme.bearer("sales.write"),
    ) as tills:
        pass
    programme.process("bus").suspend()
    members = await enrol_all(programme)
    with ExitStack() as ends:
        # All at first: a bus that goes on must not have passed the next before it is locked.
        stuck = [bus_stuck_at(programme, members[number]) for number in DIES_AT]
        for each in stuck:
            ends.callback(each.close)
        programme.process("bus").resume()
        # The session of a bus that was killed goes on waiting until its lock is free.
        orphans = set[int]()
        for each in stuck:
            await until(lambda: programme.sessions_waiting() - orphans, RESTART_SECONDS_MAX)
            orphans.update(programme.sessions_waiting())
            await asyncio.to_thread(programme.end, "bus")
            each.close()
    await until(lambda: programme.count(applied) == before + EVENTS, RESTART_SECONDS_MAX)
    assert programme.restarts("bus") == restarts + len(DIES_AT)
    assert programme.count("SELECT count(*) FROM inbox_parked") == 0
    assert_attached_once(programme, members, strangers, tills)
    earned = Counter[str]()
    for request in tills.requests:
        earned[request.sale.card_token] += points_of(request)
    assert await available(programme, members) == [earned[card_token(n)] for n in range(CARDS)]
    prove_exactly_once(programme.ledger_url, tills.requests, tills.answers)


def assert_attached_once(
    programme: Programme, members: list[str], strangers: set[str], tills: Tills
) -> None:
    """Every member has one wallet, that of the card, which it had before, and it was said once."""
    cards = {
        token: (member, wallet)
        for token, member, wallet in programme.rows(
            "SELECT card_token, member_id::text, wallet_id FROM cards"
            " JOIN wallet_owners USING (wallet_id) WHERE known AND card_token LIKE 'enrolling-%'"
        )
    }
    expected = {card_token(number): member for number, member in enumerate(members)}
    assert {token: member for token, (member, _) in cards.items()} == expected
    for request in tills.requests:
        before = told(request.request_id, tills.answers[request.request_id]).wallet
        assert cards[request.sale.card_token][1] == before
    owners = [member for (member,) in programme.rows(OWNERS)]
    assert sorted(member for member in owners if member not in strangers) == sorted(members)
    attached = events_pb2.WalletAttached.DESCRIPTOR.full_name
    announced = programme.rows(f"SELECT subject FROM outbox WHERE type = '{attached}'")
    named = [subject.removeprefix("members/") for (subject,) in announced]
    assert sorted(member for member in named if member not in strangers) == sorted(members)
