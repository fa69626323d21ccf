"""Households: who is in one, who owns it, what its members share, and what others are told."""

import uuid

import grpc
import pytest
from loyalty.members.v1 import members_pb2

from tests.service.contents import contents
from tests.service.members_calls import Members
from tests.service.members_together import Together, own, who
from tests.service.refusals import refused
from tests.service.tokens import Tokens

NOBODY = "members/00000000-0000-4000-8000-000000000000"
NOWHERE = "households/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def together(members: Members) -> Together:
    return Together(members)


async def enrolled(members: Members, count: int) -> list[str]:
    return [(await members.enrol(given_name=f"Member {n}")).name for n in range(count)]


async def test_every_change_is_announced_whole_in_its_order(
    members: Members, together: Together
) -> None:
    ada, eve, bob = await enrolled(members, 3)
    states = [await together.household(ada)]
    states.append(await together.join(states[0].name, eve))
    states.append((await together.ask("SetShare", member=eve, points_limit=500)).household)
    handing = {"household": states[0].name, "member": eve}
    states.append((await together.ask("HandOverHousehold", **handing)).household)
    states.append(await together.join(states[0].name, bob))
    leaving = {"household": states[0].name, "member": ada}
    states.append((await together.ask("RemoveHouseholdMember", **leaving)).household)
    await together.ask("LeaveHousehold", member=bob)
    states.append(await together.read(states[0].name))
    await together.ask("LeaveHousehold", member=eve)
    states.append(await together.read(states[0].name))
    assert [(state.owner, who(state)) for state in states] == [
        (ada, [ada]),
        (ada, [ada, eve]),
        (ada, [ada, eve]),
        (eve, [ada, eve]),
        (eve, [ada, eve, bob]),
        (eve, [eve, bob]),
        (eve, [eve]),
        ("", []),
    ]
    assert [state.HasField("end_time") for state in states] == [False] * 7 + [True]
    assert [state.revision for state in states] == list(range(1, 9))
    announced = together.households_announced()
    assert [event.revision for event in announced] == list(range(1, 9))
    for state, event in zip(states, announced, strict=True):
        assert event.household == state.name
        assert [(e.member, e.points_limit, e.join_time) for e in event.members] == [
            (e.member, e.points_limit, e.join_time) for e in state.members
        ]


async def test_member_reads_their_household_and_who_is_in_it(
    members: Members, together: Together
) -> None:
    ada, eve = await enrolled(members, 2)
    household = await together.household(ada, eve)
    assert (await members.get(eve)).household == household.name
    assert [(each.given_name, each.points_limit) for each in household.members] == [
        ("Member 0", 0),
        ("Member 1", 0),
    ]
    await members.update(members_pb2.Member(name=eve, given_name="Evelyn"))
    assert (await together.read(household.name)).members[1].given_name == "Evelyn"
    await together.ask("LeaveHousehold", member=eve)
    assert (await members.get(eve)).household == ""
    # Nothing keeps who left from another household.
    assert who(await together.household(eve)) == [eve]


async def test_share_is_each_members_own_and_can_be_withdrawn(
    members: Members, together: Together, tokens: Tokens
) -> None:
    ada, eve = await enrolled(members, 2)
    household = await together.household(ada, eve)
    asked = {"member": eve, "points_limit": 300}
    given = (await together.ask("SetShare", own(tokens, eve), **asked)).household
    assert [each.points_limit for each in given.members] == [0, 300]
    before = contents(members.database_url)
    # Not even by the owner.
    refusal = await refused(together.ask("SetShare", own(tokens, ada), **asked))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOURS")
    for limit in (-1, 1_000_000_001):
        refusal = await refused(together.ask("SetShare", member=eve, points_limit=limit))
        assert refusal.fields == ("points_limit",)
    assert contents(members.database_url) == before
    await together.block(eve)
    raised = await refused(together.ask("SetShare", member=eve, points_limit=301))
    assert raised.reason == "MEMBER_BLOCKED"
    withdrawn = await together.ask("SetShare", own(tokens, eve), member=eve, points_limit=0)
    assert [each.points_limit for each in withdrawn.household.members] == [0, 0]
    # The same share again is no change.
    again = (await together.ask("SetShare", member=eve, points_limit=0)).household
    assert again == withdrawn.household
    assert again.revision == household.revision + 2
    # What was said is kept, also when the member has left.
    await together.ask("LeaveHousehold", member=eve)
    listed = await together.ask("ListShareConsents", own(tokens, eve), parent=eve, page_size=1)
    assert [(each.household, each.points_limit) for each in listed.share_consents] == [
        (household.name, 0)
    ]
    page = {"parent": eve, "page_token": listed.next_page_token}
    rest = await together.ask("ListShareConsents", **page)
    assert [each.points_limit for each in rest.share_consents] == [300]
    assert rest.next_page_token == ""


async def test_what_cannot_be_is_refused_and_changes_nothing(
    members: Members, together: Together
) -> None:
    ada, eve, bob, blocked, erased = await enrolled(members, 5)
    name = (await together.household(ada, eve)).name
    await together.block(blocked)
    await together.erase(erased)
    ended = await together.household(bob)
    await together.ask("LeaveHousehold", member=bob)
    before = contents(members.database_url)
    ask = together.ask
    for call, reason in (
        (ask("CreateHousehold", owner=ada), "MEMBER_IN_HOUSEHOLD"),
        (ask("CreateHousehold", owner=NOBODY), "MEMBER_NOT_FOUND"),
        (ask("CreateHousehold", owner=blocked), "MEMBER_BLOCKED"),
        (ask("CreateHousehold", owner=erased), "MEMBER_ERASED"),
        (ask("GetHousehold", name=NOWHERE), "HOUSEHOLD_NOT_FOUND"),
        (ask("LeaveHousehold", member=ada), "OWNER_MUST_HAND_OVER"),
        (ask("LeaveHousehold", member=bob), "NOT_IN_HOUSEHOLD"),
        (ask("RemoveHouseholdMember", household=name, member=ada), "OWNER_MUST_HAND_OVER"),
        (ask("RemoveHouseholdMember", household=name, member=bob), "NOT_IN_HOUSEHOLD"),
        (ask("RemoveHouseholdMember", household=NOWHERE, member=eve), "HOUSEHOLD_NOT_FOUND"),
        (ask("SetShare", member=bob, points_limit=1), "NOT_IN_HOUSEHOLD"),
        (ask("HandOverHousehold", household=name, member=bob), "NOT_IN_HOUSEHOLD"),
        (ask("HandOverHousehold", household=NOWHERE, member=eve), "HOUSEHOLD_NOT_FOUND"),
        (together.invite(ended.name), "HOUSEHOLD_ENDED"),
        (ask("RemoveHouseholdMember", household=ended.name, member=bob), "NOT_IN_HOUSEHOLD"),
    ):
        assert (await refused(call)).reason == reason
    assert contents(members.database_url) == before


async def test_household_is_not_handed_to_a_blocked_member(
    members: Members, together: Together
) -> None:
    ada, eve = await enrolled(members, 2)
    household = await together.household(ada, eve)
    await together.block(eve)
    handing = together.ask("HandOverHousehold", household=household.name, member=eve)
    assert (await refused(handing)).reason == "MEMBER_BLOCKED"
    assert await together.read(household.name) == household


async def test_what_is_asked_again_is_done_once(members: Members, together: Together) -> None:
    ada, eve = await enrolled(members, 2)

    async def twice(method: str, **fields: object) -> object:
        fields["request_id"] = str(uuid.uuid4())
        first = await together.ask(method, **fields)
        before = contents(members.database_url)
        assert await together.ask(method, **fields) == first
        another = "owner" if "owner" in fields else "member"
        if another in fields:
            changed = together.ask(method, **{**fields, another: NOBODY})
            assert (await refused(changed)).reason == "REQUEST_ID_REUSED"
        assert contents(members.database_url) == before
        return first

    await twice("CreateHousehold", owner=ada)
    household = (await members.get(ada)).household
    await twice("CreateInvitation", household=household, member=eve)
    listed = await together.ask("ListInvitations", parent=eve)
    await twice("AcceptInvitation", member=eve, invitation=listed.invitations[0].name)
    await twice("SetShare", member=eve, points_limit=5)
    await twice("HandOverHousehold", household=household, member=eve)
    await twice("RemoveHouseholdMember", household=household, member=ada)
    await twice("LeaveHousehold", member=eve)
    assert [len(event.members) for event in together.households_announced()] == [1, 2, 2, 2, 1, 0]


async def test_members_see_and_change_what_is_theirs(
    members: Members, together: Together, tokens: Tokens
) -> None:
    ada, eve, stranger = await enrolled(members, 3)
    name = (await together.household(ada, eve)).name
    before = contents(members.database_url)
    ask = together.ask
    invitation = f"{name}/invitations/{uuid.uuid4()}"
    for caller, method, fields in (
        (stranger, "GetHousehold", {"name": name}),
        (stranger, "GetHousehold", {"name": NOWHERE}),
        (stranger, "CreateHousehold", {"owner": ada}),
        (stranger, "CreateInvitation", {"household": name}),
        (eve, "CreateInvitation", {"household": name}),
        (eve, "CreateInvitation", {"household": NOWHERE}),
        (eve, "RemoveHouseholdMember", {"household": name, "member": ada}),
        (eve, "HandOverHousehold", {"household": name, "member": eve}),
        (eve, "LeaveHousehold", {"member": ada}),
        (eve, "AcceptInvitation", {"member": stranger, "code": "code"}),
        (eve, "DeclineInvitation", {"member": stranger, "invitation": invitation}),
        (eve, "WithdrawInvitation", {"invitation": invitation}),
        (eve, "ListInvitations", {"parent": name}),
        (eve, "ListInvitations", {"parent": ada}),
        (eve, "ListShareConsents", {"parent": ada}),
        ("terminals/31/4", "GetHousehold", {"name": name}),
        (ada.upper().replace("MEMBERS", "members"), "GetHousehold", {"name": name}),
    ):
        refusal = await refused(ask(method, own(tokens, caller), **fields))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOURS")
    assert contents(members.database_url) == before
    seen = await ask("GetHousehold", own(tokens, eve), name=name)
    assert who(seen.household) == [ada, eve]
    await ask("HandOverHousehold", own(tokens, ada), household=name, member=eve)
    await ask("RemoveHouseholdMember", own(tokens, eve), household=name, member=ada)
    await ask("LeaveHousehold", own(tokens, eve), member=eve)
    assert who((await ask("CreateHousehold", own(tokens, ada), owner=ada)).household) == [ada]
    # Who has left sees it no more.
    assert (await refused(ask("GetHousehold", own(tokens, eve), name=name))).reason == "NOT_YOURS"
