"""Members who are blocked, and unblocked."""

import uuid

import pytest
from loyalty.members.v1 import events_pb2, members_pb2

from tests.service.contents import contents
from tests.service.members_calls import Members
from tests.service.members_together import Together
from tests.service.refusals import refused

NOBODY = "members/00000000-0000-4000-8000-000000000000"
ACTIVE, BLOCKED = members_pb2.Member.STATE_ACTIVE, members_pb2.Member.STATE_BLOCKED


@pytest.fixture
def together(members: Members) -> Together:
    return Together(members)


async def test_blocked_member_is_announced_and_says_why(
    members: Members, together: Together
) -> None:
    enrolled = await members.enrol(card_token="card-1")
    blocked = await together.block(enrolled.name)
    assert (blocked.state, blocked.block_reason) == (BLOCKED, "cards under suspicion")
    assert blocked.etag != enrolled.etag
    assert await members.get(enrolled.name) == blocked
    unblocked = (await together.ask("UnblockMember", name=enrolled.name)).member
    assert (unblocked.state, unblocked.block_reason) == (ACTIVE, "")
    assert list(unblocked.cards) == list(enrolled.cards)
    assert members.announced_types()[2:] == ["MemberBlocked", "MemberUnblocked"]
    event = events_pb2.MemberBlocked.FromString(members.announced()[2].data)
    assert (event.member, event.block_time) == (enrolled.name, blocked.update_time)


async def test_blocking_twice_changes_nothing_more(members: Members, together: Together) -> None:
    name = (await members.enrol()).name
    asked = {"request_id": str(uuid.uuid4()), "name": name, "reason": "suspicion"}
    blocked = (await together.ask("BlockMember", **asked)).member
    before = contents(members.database_url)
    assert (await together.ask("BlockMember", **asked)).member == blocked
    reused = await refused(together.ask("BlockMember", **{**asked, "reason": "another"}))
    assert reused.reason == "REQUEST_ID_REUSED"
    assert (await refused(together.block(NOBODY))).reason == "MEMBER_NOT_FOUND"
    assert contents(members.database_url) == before
    # Under another request nothing is changed but that it was asked.
    assert await together.block(name) == blocked
    await together.ask("UnblockMember", name=name)
    await together.ask("UnblockMember", name=name)
    # What was asked long ago is not done again.
    assert (await together.ask("BlockMember", **asked)).member.state == ACTIVE
    assert members.announced_types()[1:] == ["MemberBlocked", "MemberUnblocked"]


async def test_blocked_member_is_still_cared_for(members: Members, together: Together) -> None:
    name = (await members.enrol(card_token="card-1")).name
    await together.block(name)
    updated = await members.update(members_pb2.Member(name=name, email="ada@example.com"))
    assert updated.state == BLOCKED
    replaced = await members.replace_card("card-1", "card-2")
    assert replaced.state == BLOCKED
    assert (await members.find(email="ada@example.com")) == replaced
