"""Lists by keyset pages, and finding a member by any identity."""

import grpc
import pytest

from services.plumbing.pages import page_token
from tests.service.members_calls import Members, consent, moment
from tests.service.refusals import refused


async def test_members_are_listed_in_the_order_they_enrolled(members: Members) -> None:
    enrolled = [
        await members.enrol(
            given_name=str(number), card_token=f"card-{number}", consents=[consent()]
        )
        for number in range(5)
    ]
    page = await members.list_members()
    assert list(page.members) == enrolled
    assert page.next_page_token == ""


async def test_pages_hold_every_member_once_and_end_without_a_token(members: Members) -> None:
    names = [(await members.enrol()).name for _ in range(6)]
    seen, token, sizes = [], "", []
    while True:
        page = await members.list_members(page_size=2, page_token=token)
        seen += [member.name for member in page.members]
        sizes.append(len(page.members))
        token = page.next_page_token
        if not token:
            break
    assert seen == names
    assert sizes == [2, 2, 2]


async def test_member_who_enrols_meanwhile_is_on_the_last_page(members: Members) -> None:
    first = [(await members.enrol()).name for _ in range(2)]
    page = await members.list_members(page_size=1)
    late = (await members.enrol()).name
    rest = await members.list_members(page_size=10, page_token=page.next_page_token)
    assert [member.name for member in rest.members] == [first[1], late]


async def test_no_members_are_an_empty_last_page(members: Members) -> None:
    page = await members.list_members(page_size=100_000)
    assert (list(page.members), page.next_page_token) == ([], "")


@pytest.mark.parametrize("token", ["?", "bm90IGpzb24=", page_token("a"), page_token(2**70)])
async def test_page_token_of_another_make_is_refused(members: Members, token: str) -> None:
    refusal = await refused(members.list_members(page_token=token))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "PAGE_TOKEN_INVALID",
    )


async def test_negative_page_size_is_refused(members: Members) -> None:
    assert (await refused(members.list_members(page_size=-1))).fields == ("page_size",)


@pytest.mark.parametrize(
    "identity",
    [
        {"membership_number": "1000000000017"},
        {"membership_number": "1000 0000 0001 7"},
        {"card_token": "card-1"},
        {"email": "ADA@example.com"},
        {"phone": "+41 44 668 18 00"},
        {"phone": "044 668 18 00", "region_code": "CH"},
    ],
)
async def test_member_is_found_by_any_identity(members: Members, identity: dict[str, str]) -> None:
    enrolled = await members.enrol(
        email="ada@example.com", phone="+41446681800", card_token="card-1"
    )
    await members.enrol()
    assert await members.find(**identity) == enrolled


async def test_member_is_found_by_an_ended_card(members: Members) -> None:
    enrolled = await members.enrol(card_token="card-1")
    await members.replace_card("card-1", "card-2")
    for token in ("card-1", "card-2"):
        assert (await members.find(card_token=token)).name == enrolled.name


@pytest.mark.parametrize(
    ("identity", "code", "reason"),
    [
        ({"email": "eve@example.com"}, grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND"),
        ({"phone": "+41446681801"}, grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND"),
        ({"membership_number": "1000000000025"}, grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND"),
        ({"card_token": "card-9"}, grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND"),
        ({"card_token": "no card"}, grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND"),
        (
            {"card_token": "4111 1111 1111 1111"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "RAW_CARD_NUMBER",
        ),
        ({"phone": "044 668 18 00"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PHONE"),
        (
            {"membership_number": "1000000000018"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_MEMBERSHIP_NUMBER",
        ),
        ({}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    ],
)
async def test_what_names_nobody_is_refused(
    members: Members, identity: dict[str, str], code: grpc.StatusCode, reason: str
) -> None:
    await members.enrol(email="ada@example.com")
    refusal = await refused(members.find(**identity))
    assert (refusal.code, refusal.reason) == (code, reason)


@pytest.mark.parametrize(
    "name", ["members/00000000-0000-4000-8000-000000000000", "members/" + "-" * 36]
)
async def test_nobody_is_not_got(members: Members, name: str) -> None:
    refusal = await refused(members.get(name))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND")


async def test_consents_are_listed_newest_first_in_pages(members: Members) -> None:
    enrolled = await members.enrol()
    said = [consent(time=moment(f"2026-01-0{day}T00:00:00Z")) for day in (2, 1, 3)]
    said.append(consent(channel="sms", time=moment("2026-01-03T00:00:00Z")))
    for each in said:
        await members.record_consent(enrolled.name, each)
    first = await members.list_consents(enrolled.name, page_size=2)
    second = await members.list_consents(
        enrolled.name, page_size=2, page_token=first.next_page_token
    )
    # Of two said at the same moment, the one recorded later comes first.
    assert [*first.consents, *second.consents] == [said[3], said[2], said[0], said[1]]
    assert second.next_page_token == ""


async def test_consents_after_a_time_that_is_none_are_refused(members: Members) -> None:
    enrolled = await members.enrol()
    token = page_token(2**62, 1)
    refusal = await refused(members.list_consents(enrolled.name, page_token=token))
    assert refusal.reason == "PAGE_TOKEN_INVALID"
