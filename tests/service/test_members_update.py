"""Updates: by mask and etag, and an identity that is given up is free again."""

import grpc
import pytest
from loyalty.members.v1 import members_pb2

from tests.service.contents import contents
from tests.service.members_calls import Members
from tests.service.refusals import refused

ADA = {
    "given_name": "Ada",
    "family_name": "Lovelace",
    "email": "ada@example.com",
    "phone": "+41446681800",
    "preferences": {"language": "de"},
}


def changes(member: members_pb2.Member, **fields: object) -> members_pb2.Member:
    return members_pb2.Member(name=member.name, **fields)  # type: ignore[arg-type]


async def test_without_a_mask_what_is_set_is_replaced(members: Members) -> None:
    enrolled = await members.enrol(**ADA)
    changed = await members.update(changes(enrolled, email="Countess@Example.com"))
    assert (changed.email, changed.given_name, changed.phone) == (
        "countess@example.com",
        "Ada",
        "+41446681800",
    )
    assert changed.etag == "v2"
    assert changed.update_time.ToNanoseconds() > enrolled.update_time.ToNanoseconds()
    assert await members.get(enrolled.name) == changed


async def test_mask_clears_what_it_names_and_leaves_the_rest(members: Members) -> None:
    enrolled = await members.enrol(**ADA)
    changed = await members.update(
        changes(enrolled, given_name="ignored", preferences={"colour": "red"}),
        "phone",
        "preferences",
    )
    assert (changed.phone, changed.given_name) == ("", "Ada")
    assert dict(changed.preferences) == {"colour": "red"}


async def test_star_replaces_every_field(members: Members) -> None:
    enrolled = await members.enrol(**ADA, card_token="card-1")
    changed = await members.update(changes(enrolled, given_name="Augusta"), "*")
    assert (changed.given_name, changed.family_name, changed.email, changed.phone) == (
        "Augusta",
        "",
        "",
        "",
    )
    assert dict(changed.preferences) == {}
    assert list(changed.cards) == list(enrolled.cards)
    assert changed.membership_number == enrolled.membership_number


async def test_national_phone_is_read_by_its_region(members: Members) -> None:
    enrolled = await members.enrol()
    changed = await members.update(changes(enrolled, phone="044 668 18 00"), region_code="CH")
    assert changed.phone == "+41446681800"


async def test_update_to_what_it_was_changes_nothing(members: Members) -> None:
    enrolled = await members.enrol(**ADA)
    before = contents(members.database_url)
    assert await members.update(changes(enrolled, **ADA), "*") == enrolled
    assert contents(members.database_url) == before


async def test_current_etag_is_taken_and_a_stale_one_refused(members: Members) -> None:
    enrolled = await members.enrol(**ADA)
    await members.update(changes(enrolled, given_name="Augusta", etag=enrolled.etag))
    before = contents(members.database_url)
    refusal = await refused(
        members.update(changes(enrolled, given_name="Byron", etag=enrolled.etag))
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "STALE_ETAG")
    assert contents(members.database_url) == before


async def test_a_card_makes_the_etag_stale_too(members: Members) -> None:
    enrolled = await members.enrol(**ADA)
    await members.issue_card(enrolled.name, "card-1")
    refusal = await refused(members.update(changes(enrolled, phone="", etag=enrolled.etag), "*"))
    assert refusal.reason == "STALE_ETAG"


@pytest.mark.parametrize("field", ["email", "phone"])
async def test_identity_of_another_is_refused_and_changes_nothing(
    members: Members, field: str
) -> None:
    await members.enrol(**ADA)
    other = await members.enrol(email="eve@example.com", phone="+41446681801")
    before = contents(members.database_url)
    refusal = await refused(members.update(changes(other, given_name="Eve", **{field: ADA[field]})))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDENTITY_TAKEN")
    assert refusal.metadata == {"kind": field}
    assert contents(members.database_url) == before


async def test_identity_that_was_given_up_is_free(members: Members) -> None:
    enrolled = await members.enrol(**ADA)
    await members.update(changes(enrolled, email="countess@example.com"))
    other = await members.enrol(email="ada@example.com")
    assert (await members.find(email="ada@example.com")).name == other.name
    assert (await members.find(email="countess@example.com")).name == enrolled.name


@pytest.mark.parametrize(
    "path", ["colour", "name", "cards", "consents", "membership_number", "etag", "enrol_time"]
)
async def test_mask_with_another_path_is_refused(members: Members, path: str) -> None:
    enrolled = await members.enrol(**ADA)
    before = contents(members.database_url)
    refusal = await refused(members.update(changes(enrolled, email="e@example.com"), "email", path))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_FIELD")
    assert refusal.fields == ("update_mask",)
    assert contents(members.database_url) == before


@pytest.mark.parametrize(
    ("wrong", "reason", "field"),
    [
        ({"phone": "12"}, "INVALID_PHONE", "member.phone"),
        ({"email": "no address"}, "INVALID_REQUEST", "member.email"),
        ({"family_name": "L" * 101}, "INVALID_REQUEST", "member.family_name"),
        ({"preferences": {"": "x"}}, "INVALID_REQUEST", "member.preferences[]"),
    ],
)
async def test_wrong_field_is_refused_by_its_name(
    members: Members, wrong: dict[str, object], reason: str, field: str
) -> None:
    enrolled = await members.enrol(**ADA)
    before = contents(members.database_url)
    refusal = await refused(members.update(changes(enrolled, **wrong)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert refusal.fields == (field,)
    assert contents(members.database_url) == before


async def test_nobody_is_not_updated(members: Members) -> None:
    nobody = members_pb2.Member(name="members/00000000-0000-4000-8000-000000000000", email="a@b.c")
    refusal = await refused(members.update(nobody))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND")
