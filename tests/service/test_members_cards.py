"""Cards: issued, replaced, blocked, and never a second time."""

import grpc
import pytest
from loyalty.members.v1 import events_pb2

from tests.service.contents import contents
from tests.service.members_calls import Members, active, cards
from tests.service.refusals import refused

NOBODY = "members/00000000-0000-4000-8000-000000000000"


async def test_issued_card_joins_the_member_s_others(members: Members) -> None:
    enrolled = await members.enrol(card_token="card-1")
    changed = await members.issue_card(enrolled.name, "card-2")
    assert cards(changed) == active("card-1", "card-2")
    assert changed.etag != enrolled.etag
    assert await members.get(enrolled.name) == changed
    assert members.announced_types() == ["MemberEnrolled", "CardIssued", "CardIssued"]


async def test_card_the_member_holds_is_not_issued_twice(members: Members) -> None:
    enrolled = await members.enrol(card_token="card-1")
    before = contents(members.database_url)
    assert await members.issue_card(enrolled.name, "card-1") == enrolled
    assert contents(members.database_url) == before


async def test_card_of_another_is_not_issued(members: Members) -> None:
    await members.enrol(card_token="card-1")
    other = await members.enrol()
    before = contents(members.database_url)
    refusal = await refused(members.issue_card(other.name, "card-1"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDENTITY_TAKEN")
    assert refusal.metadata == {"kind": "card_token"}
    assert contents(members.database_url) == before


async def test_card_is_not_issued_to_nobody(members: Members) -> None:
    before = contents(members.database_url)
    refusal = await refused(members.issue_card(NOBODY, "card-1"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND")
    assert contents(members.database_url) == before


async def test_replacement_ends_the_old_card_and_names_both(members: Members) -> None:
    enrolled = await members.enrol(card_token="card-1")
    changed = await members.replace_card("card-1", "card-2")
    assert changed.name == enrolled.name
    assert cards(changed) == [("card-1", "STATE_REPLACED"), ("card-2", "STATE_ACTIVE")]
    assert changed.cards[0].end_time == changed.cards[1].issue_time
    assert await members.get(enrolled.name) == changed
    announced = members.announced()
    assert len(announced) == 3
    assert events_pb2.CardReplaced.FromString(announced[2].data) == events_pb2.CardReplaced(
        member=enrolled.name, old_card_token="card-1", new_card_token="card-2"
    )


async def test_the_same_replacement_again_changes_nothing(members: Members) -> None:
    await members.enrol(card_token="card-1")
    changed = await members.replace_card("card-1", "card-2")
    before = contents(members.database_url)
    assert await members.replace_card("card-1", "card-2") == changed
    assert contents(members.database_url) == before


async def test_ended_cards_are_neither_replaced_nor_issued_again(members: Members) -> None:
    enrolled = await members.enrol(card_token="card-1")
    await members.replace_card("card-1", "card-2")
    await members.block_card("card-2")
    other = await members.enrol()
    before = contents(members.database_url)
    for token in ("card-1", "card-2"):
        refusal = await refused(members.replace_card(token, "card-3"))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "CARD_BLOCKED",
        )
        for name in (enrolled.name, other.name):
            assert (await refused(members.issue_card(name, token))).reason == "IDENTITY_TAKEN"
        assert (await refused(members.enrol(card_token=token))).reason == "IDENTITY_TAKEN"
    assert contents(members.database_url) == before


async def test_replacement_by_a_card_somebody_holds_is_refused(members: Members) -> None:
    await members.enrol(card_token="card-1")
    await members.enrol(card_token="card-2")
    before = contents(members.database_url)
    for new in ("card-1", "card-2"):
        assert (await refused(members.replace_card("card-1", new))).reason == "IDENTITY_TAKEN"
    assert contents(members.database_url) == before


async def test_block_ends_a_card_once(members: Members) -> None:
    await members.enrol(card_token="card-1")
    changed = await members.block_card("card-1", "stolen")
    assert cards(changed) == [("card-1", "STATE_BLOCKED")]
    assert members.announced_types() == ["MemberEnrolled", "CardIssued", "CardBlocked"]
    before = contents(members.database_url)
    assert await members.block_card("card-1", "lost") == changed
    assert contents(members.database_url) == before


async def test_unknown_card_is_not_found(members: Members) -> None:
    before = contents(members.database_url)
    for call in (members.block_card("card-9"), members.replace_card("card-9", "card-1")):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")
    assert (await refused(members.block_card("a\x00"))).reason == "CARD_NOT_FOUND"
    assert contents(members.database_url) == before


@pytest.mark.parametrize("token", ["ab", "with space", "zürich"])
async def test_token_that_no_till_could_send_is_not_issued(members: Members, token: str) -> None:
    enrolled = await members.enrol(card_token="card-1")
    before = contents(members.database_url)
    for call in (members.issue_card(enrolled.name, token), members.replace_card("card-1", token)):
        assert (await refused(call)).reason == "INVALID_CARD_TOKEN"
    assert contents(members.database_url) == before
