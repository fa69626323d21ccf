"""Enrolment: what a member is afterwards, and what is refused without a trace."""

import uuid
from datetime import UTC, datetime

import grpc
import pytest
from loyalty.members.v1 import events_pb2, members_pb2

from tests.service.contents import contents
from tests.service.members_calls import Members, active, cards, consent, moment
from tests.service.refusals import refused

ADA = {
    "given_name": "Ada",
    "family_name": "Lovelace",
    "email": "Ada@Example.com",
    "phone": "044 668 18 00",
    "region_code": "CH",
    "card_token": "card-1",
    "preferences": {"language": "de", "favourite store": "31"},
    "enrol_time": moment("2017-01-01T00:00:00Z"),
}


async def test_member_is_enrolled_with_all_that_was_given(members: Members) -> None:
    said = consent()
    enrolled = await members.enrol(**ADA, consents=[said])
    assert enrolled.name.startswith("members/")
    assert enrolled.membership_number == "1000000000017"
    assert (enrolled.given_name, enrolled.family_name) == ("Ada", "Lovelace")
    assert (enrolled.email, enrolled.phone) == ("ada@example.com", "+41446681800")
    assert cards(enrolled) == active("card-1")
    assert dict(enrolled.preferences) == {"language": "de", "favourite store": "31"}
    assert list(enrolled.consents) == [said]
    assert enrolled.enrol_time == moment("2017-01-01T00:00:00Z")
    assert enrolled.etag == "v1"
    assert await members.get(enrolled.name) == enrolled


async def test_member_may_be_enrolled_with_nothing_but_a_request_id(members: Members) -> None:
    before = datetime.now(UTC)
    enrolled = await members.enrol()
    assert (enrolled.given_name, enrolled.email, enrolled.phone) == ("", "", "")
    assert (list(enrolled.cards), list(enrolled.consents)) == ([], [])
    assert before <= enrolled.enrol_time.ToDatetime(tzinfo=UTC) <= datetime.now(UTC)
    assert members.announced_types() == ["MemberEnrolled"]


async def test_enrolment_is_announced_before_the_card_without_personal_data(
    members: Members,
) -> None:
    enrolled = await members.enrol(**ADA, consents=[consent()])
    announced = members.announced()
    assert members.announced_types() == ["MemberEnrolled", "CardIssued", "ConsentChanged"]
    assert {event.subject for event in announced} == {enrolled.name}
    assert len({event.id for event in announced}) == 3
    first = events_pb2.MemberEnrolled.FromString(announced[0].data)
    assert (first.member, first.enrol_time) == (enrolled.name, enrolled.enrol_time)
    second = events_pb2.CardIssued.FromString(announced[1].data)
    assert (second.member, second.card_token) == (enrolled.name, "card-1")
    written = b"".join(event.data for event in announced).lower()
    for personal in (b"ada", b"lovelace", b"example.com", b"446681800"):
        assert personal not in written


async def test_membership_numbers_are_given_in_the_order_of_enrolment(members: Members) -> None:
    numbers = [(await members.enrol()).membership_number for _ in range(3)]
    assert numbers == ["1000000000017", "1000000000025", "1000000000033"]


async def test_the_same_request_again_answers_the_same_member(members: Members) -> None:
    request_id = str(uuid.uuid4())
    first = await members.enrol(request_id=request_id, **ADA)
    before = contents(members.database_url)
    assert await members.enrol(request_id=request_id.upper(), **ADA) == first
    assert contents(members.database_url) == before


async def test_a_retry_is_answered_after_the_card_was_replaced(members: Members) -> None:
    request_id = str(uuid.uuid4())
    first = await members.enrol(request_id=request_id, **ADA)
    await members.replace_card("card-1", "card-2")
    assert (await members.enrol(request_id=request_id, **ADA)).name == first.name


async def test_the_same_request_id_with_another_body_is_refused(members: Members) -> None:
    request_id = str(uuid.uuid4())
    await members.enrol(request_id=request_id, **ADA)
    before = contents(members.database_url)
    refusal = await refused(members.enrol(request_id=request_id, **{**ADA, "given_name": "Eve"}))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
    )
    assert contents(members.database_url) == before


@pytest.mark.parametrize(
    ("taken", "kind"),
    [
        ({"email": "ADA@example.com"}, "email"),
        ({"phone": "+41 44 668 18 00"}, "phone"),
        ({"card_token": "card-1"}, "card_token"),
        (
            {"email": "eve@example.com", "card_token": "card-1", "consents": [consent()]},
            "card_token",
        ),
    ],
)
async def test_identity_of_another_is_refused_and_names_the_kind_alone(
    members: Members, taken: dict[str, str], kind: str
) -> None:
    enrolled = await members.enrol(**ADA)
    before = contents(members.database_url)
    refusal = await refused(members.enrol(given_name="Eve", **taken))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDENTITY_TAKEN")
    assert refusal.metadata == {"kind": kind}
    assert enrolled.name.removeprefix("members/") not in refusal.message
    assert "ada" not in refusal.message
    assert contents(members.database_url) == before


async def test_a_refused_request_id_may_be_used_again(members: Members) -> None:
    await members.enrol(**ADA)
    request_id = str(uuid.uuid4())
    await refused(members.enrol(request_id=request_id, email="ada@example.com"))
    enrolled = await members.enrol(request_id=request_id, email="eve@example.com")
    assert enrolled.email == "eve@example.com"


@pytest.mark.parametrize(
    ("wrong", "reason", "field"),
    [
        ({"phone": "044 668 18 00"}, "INVALID_PHONE", "phone"),
        ({"card_token": "4111111111111111"}, "RAW_CARD_NUMBER", "card_token"),
        ({"card_token": "4111-1111 1111.1111"}, "RAW_CARD_NUMBER", "card_token"),
        ({"card_token": "a b"}, "INVALID_CARD_TOKEN", "card_token"),
        ({"enrol_time": moment("2999-01-01T00:00:00Z")}, "TIME_IN_FUTURE", "enrol_time"),
        (
            {"consents": [consent(time=moment("2999-01-01T00:00:00Z"))]},
            "TIME_IN_FUTURE",
            "consents[0].time",
        ),
        ({"email": "no address"}, "INVALID_REQUEST", "email"),
        ({"request_id": "1"}, "INVALID_REQUEST", "request_id"),
        ({"given_name": "A" * 101}, "INVALID_REQUEST", "given_name"),
        ({"given_name": "A\x00"}, "INVALID_REQUEST", "given_name"),
        ({"region_code": "Schweiz"}, "INVALID_REQUEST", "region_code"),
        ({"preferences": {"a": "\x00"}}, "INVALID_REQUEST", "preferences[a]"),
        ({"preferences": {str(n): "" for n in range(51)}}, "INVALID_REQUEST", "preferences"),
        ({"consents": [consent(purpose="")]}, "INVALID_REQUEST", "consents[0].purpose"),
        ({"consents": [consent(method="")]}, "INVALID_REQUEST", "consents[0].method"),
        ({"consents": [members_pb2.Consent(time=None)]}, "INVALID_REQUEST", "consents[0].time"),
    ],
)
async def test_wrong_field_is_refused_by_its_name(
    members: Members, wrong: dict[str, object], reason: str, field: str
) -> None:
    before = contents(members.database_url)
    refusal = await refused(members.enrol(**wrong))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert field in refusal.fields
    assert contents(members.database_url) == before


async def test_a_time_that_is_no_time_is_refused(members: Members) -> None:
    request = members_pb2.EnrolMemberRequest(request_id=str(uuid.uuid4()))
    request.enrol_time.seconds = 10**15
    refusal = await refused(members.stub.EnrolMember(request, metadata=members.everything))
    assert (refusal.code, refusal.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ("enrol_time",),
    )
