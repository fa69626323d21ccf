"""What happens when several callers come at the same moment."""

import asyncio
import uuid
from collections import Counter

import grpc
from loyalty.members.v1 import events_pb2, members_pb2

from services.plumbing.database import engine, transaction
from tests.service.contents import contents
from tests.service.members_calls import Members, active, cards
from tests.service.refusals import Refusal, refused
from tests.service.waiting import until, waits_for_a_lock

TOGETHER = 16


async def outcome(call: object) -> members_pb2.Member | Refusal:
    """The member or the refusal."""
    try:
        return await call  # type: ignore[misc, no-any-return]
    except grpc.aio.AioRpcError as error:
        return await refused(_raise(error))


async def _raise(error: grpc.aio.AioRpcError) -> None:
    raise error


async def test_one_of_many_gets_an_identity(members: Members) -> None:
    calls = [
        outcome(members.enrol(given_name=str(n), email="ada@example.com", phone="+41446681800"))
        for n in range(TOGETHER)
    ]
    outcomes = await asyncio.gather(*calls)
    enrolled = [each for each in outcomes if isinstance(each, members_pb2.Member)]
    reasons = Counter(each.reason for each in outcomes if isinstance(each, Refusal))
    assert len(enrolled) == 1
    assert reasons == {"IDENTITY_TAKEN": TOGETHER - 1}
    assert list((await members.list_members()).members) == enrolled
    assert members.announced_types() == ["MemberEnrolled"]


async def test_one_request_sent_many_times_at_once_enrols_one_member(members: Members) -> None:
    request_id = str(uuid.uuid4())
    calls = [
        members.enrol(request_id=request_id, given_name="Ada", card_token="card-1")
        for _ in range(TOGETHER)
    ]
    enrolled = await asyncio.gather(*calls)
    assert {member.name for member in enrolled} == {enrolled[0].name}
    assert list((await members.list_members()).members) == [enrolled[0]]
    assert members.announced_types() == ["MemberEnrolled", "CardIssued"]


async def test_retry_beside_a_refused_enrolment_is_answered_by_itself(members: Members) -> None:
    await members.enrol(email="ada@example.com")
    before = contents(members.database_url)
    request_id = str(uuid.uuid4())
    calls = [
        refused(members.enrol(request_id=request_id, email="ada@example.com"))
        for _ in range(TOGETHER)
    ]
    assert {each.reason for each in await asyncio.gather(*calls)} == {"IDENTITY_TAKEN"}
    assert contents(members.database_url) == before


async def test_one_of_many_replacements_of_a_card_is_done(members: Members) -> None:
    enrolled = await members.enrol(card_token="card-0")
    calls = [outcome(members.replace_card("card-0", f"card-{n}")) for n in range(1, TOGETHER)]
    outcomes = await asyncio.gather(*calls)
    reasons = Counter(each.reason for each in outcomes if isinstance(each, Refusal))
    assert reasons == {"CARD_BLOCKED": TOGETHER - 2}
    held = cards(await members.get(enrolled.name))
    assert [state for _, state in held] == ["STATE_REPLACED", "STATE_ACTIVE"]
    assert members.announced_types() == ["MemberEnrolled", "CardIssued", "CardReplaced"]


async def test_two_members_who_swap_addresses_do_not_wait_for_each_other(members: Members) -> None:
    one = await members.enrol(email="a@example.com", phone="+41446681801")
    two = await members.enrol(email="b@example.com", phone="+41446681802")
    for _ in range(10):
        swapped = [
            outcome(members.update(members_pb2.Member(name=m.name, email=o.email, phone=o.phone)))
            for m, o in ((one, two), (two, one))
        ]
        # Both keep what they have, for neither gave anything up before the other asked.
        reasons = [
            each.reason for each in await asyncio.gather(*swapped) if isinstance(each, Refusal)
        ]
        assert set(reasons) <= {"IDENTITY_TAKEN"}
        one, two = await members.get(one.name), await members.get(two.name)
        assert one.email != two.email
        assert one.phone != two.phone


async def test_no_update_is_lost_where_etags_are_sent(members: Members) -> None:
    enrolled = await members.enrol()

    async def add(preference: str) -> None:
        while True:
            read = await members.get(enrolled.name)
            read.preferences[preference] = "yes"
            answered = await outcome(members.update(read, "preferences"))
            if isinstance(answered, members_pb2.Member):
                return
            assert answered.reason == "STALE_ETAG"

    wanted = [f"preference-{n}" for n in range(8)]
    await asyncio.gather(*map(add, wanted))
    assert set((await members.get(enrolled.name)).preferences) == set(wanted)


async def test_events_of_one_member_stand_in_the_order_they_happened(members: Members) -> None:
    enrolled = await members.enrol(card_token="card-0")
    tokens = [f"card-{n}" for n in range(1, 41)]
    changed = await asyncio.gather(*(members.issue_card(enrolled.name, t) for t in tokens))
    # The etag counts the changes of the member, whoever asked for them first.
    by_version = sorted(changed, key=lambda member: int(member.etag.removeprefix("v")))
    happened = [member.cards[-1].card_token for member in by_version]
    announced = [events_pb2.CardIssued.FromString(event.data) for event in members.announced()[1:]]
    assert [event.card_token for event in announced] == ["card-0", *happened]


async def test_enrolment_whose_caller_left_is_whole_and_answers_the_retry(
    members: Members,
) -> None:
    request = members_pb2.EnrolMemberRequest(request_id=str(uuid.uuid4()), card_token="card-1")
    blocking = engine(members.database_url, pool_size=1)
    with transaction(blocking) as connection:
        connection.exec_driver_sql("LOCK TABLE identities IN SHARE MODE")
        call = members.stub.EnrolMember(request, metadata=members.everything)
        await until(lambda: waits_for_a_lock(members.database_url))
        assert call.cancel()
    blocking.dispose()
    answered = await members.stub.EnrolMember(request, metadata=members.everything)
    assert cards(answered.member) == active("card-1")
    assert list((await members.list_members()).members) == [answered.member]
    assert members.announced_types() == ["MemberEnrolled", "CardIssued"]
