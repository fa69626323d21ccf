"""Invitations into households: for whom they are, how long, how many, and how they end."""

import uuid
from datetime import timedelta

import pytest
from loyalty.members.v1 import households_pb2

from services.plumbing.database import engine, transaction
from tests.service.conftest import Serve
from tests.service.contents import contents
from tests.service.members_calls import Members
from tests.service.members_together import Together, own, who
from tests.service.refusals import refused
from tests.service.tokens import Tokens

States = households_pb2.Invitation


@pytest.fixture
def together(members: Members) -> Together:
    return Together(members)


async def enrolled(members: Members, count: int) -> list[str]:
    return [(await members.enrol()).name for _ in range(count)]


def let_expire(members: Members) -> None:
    """Let every open invitation have been made so long ago that it is over."""
    writing = engine(members.database_url, pool_size=1)
    with transaction(writing) as connection:
        connection.exec_driver_sql(
            "UPDATE invitations SET create_time = create_time - interval '14 days',"
            " expire_time = expire_time - interval '14 days' WHERE state = 'open'"
        )
    writing.dispose()


async def test_code_lets_one_member_in(
    members: Members, together: Together, tokens: Tokens
) -> None:
    ada, eve, bob = await enrolled(members, 3)
    household = await together.household(ada)
    invited = await together.ask("CreateInvitation", own(tokens, ada), household=household.name)
    invitation = invited.invitation
    assert (invitation.member, invitation.state) == ("", States.STATE_OPEN)
    assert len(invitation.code.replace("-", "")) == 20
    typed = invitation.code.lower().replace("-", " ")
    joined = await together.ask("AcceptInvitation", own(tokens, eve), member=eve, code=typed)
    assert who(joined.household) == [ada, eve]
    before = contents(members.database_url)
    refusal = await refused(together.ask("AcceptInvitation", member=bob, code=invitation.code))
    assert (refusal.reason, refusal.metadata) == ("INVITATION_ENDED", {"state": "accepted"})
    refusal = await refused(together.ask("AcceptInvitation", member=bob, code="no such code"))
    assert refusal.reason == "INVITATION_NOT_FOUND"
    assert contents(members.database_url) == before


async def test_invited_member_sees_and_answers_the_invitation(
    members: Members, together: Together, tokens: Tokens
) -> None:
    ada, eve, bob = await enrolled(members, 3)
    household = await together.household(ada)
    invitation = await together.invite(household.name, eve)
    assert invitation.code == ""
    seen = await together.ask("ListInvitations", own(tokens, eve), parent=eve)
    assert (list(seen.invitations), seen.next_page_token) == ([invitation], "")
    before = contents(members.database_url)
    for method in ("AcceptInvitation", "DeclineInvitation"):
        foreign = together.ask(method, own(tokens, bob), member=bob, invitation=invitation.name)
        assert (await refused(foreign)).reason == "INVITATION_NOT_FOUND"
    again = await refused(together.invite(household.name, eve))
    assert again.reason == "ALREADY_INVITED"
    assert contents(members.database_url) == before
    declining = {"member": eve, "invitation": invitation.name}
    declined = await together.ask("DeclineInvitation", own(tokens, eve), **declining)
    assert declined.invitation.state == States.STATE_DECLINED
    refusal = await refused(together.ask("AcceptInvitation", **declining))
    assert (refusal.reason, refusal.metadata) == ("INVITATION_ENDED", {"state": "declined"})
    assert list((await together.ask("ListInvitations", parent=eve)).invitations) == []
    # One who declined may be invited once more.
    assert who(await together.join(household.name, eve)) == [ada, eve]
    assert (await refused(together.invite(household.name, eve))).reason == "MEMBER_IN_HOUSEHOLD"


async def test_expired_invitation_lets_nobody_in(members: Members, together: Together) -> None:
    ada, eve = await enrolled(members, 2)
    household = await together.household(ada)
    coded, named = await together.invite(household.name), await together.invite(household.name, eve)
    made = named.expire_time.ToDatetime() - named.create_time.ToDatetime()
    assert made == timedelta(days=14)
    let_expire(members)
    before = contents(members.database_url)
    for key in ({"code": coded.code}, {"invitation": named.name}):
        refusal = await refused(together.ask("AcceptInvitation", member=eve, **key))
        assert refusal.reason == "INVITATION_EXPIRED"
    declining = together.ask("DeclineInvitation", member=eve, invitation=named.name)
    assert (await refused(declining)).reason == "INVITATION_EXPIRED"
    assert list((await together.ask("ListInvitations", parent=eve)).invitations) == []
    assert contents(members.database_url) == before
    # It is in nobody's way.
    assert who(await together.join(household.name, eve)) == [ada, eve]


async def test_member_of_a_household_joins_no_other(members: Members, together: Together) -> None:
    ada, eve, bob = await enrolled(members, 3)
    await together.household(ada, bob)
    other = await together.household(eve)
    invitation = await together.invite(other.name, bob)
    before = contents(members.database_url)
    joining = together.ask("AcceptInvitation", member=bob, invitation=invitation.name)
    assert (await refused(joining)).reason == "MEMBER_IN_HOUSEHOLD"
    await together.block(eve)
    blocked = contents(members.database_url)
    assert before["public.invitations"] == blocked["public.invitations"]
    assert before["public.household_members"] == blocked["public.household_members"]
    await together.ask("LeaveHousehold", member=bob)
    await together.ask("AcceptInvitation", member=bob, invitation=invitation.name)
    assert who(await together.read(other.name)) == [eve, bob]


async def test_withdrawn_invitation_lets_nobody_in(
    members: Members, together: Together, tokens: Tokens
) -> None:
    ada, eve = await enrolled(members, 2)
    household = await together.household(ada)
    first, second = [await together.invite(household.name) for _ in range(2)]
    listed = await together.ask("ListInvitations", own(tokens, ada), parent=household.name)
    assert list(listed.invitations) == [second, first]
    withdrawing = {"request_id": str(uuid.uuid4()), "invitation": first.name}
    ended = await together.ask("WithdrawInvitation", own(tokens, ada), **withdrawing)
    assert ended.invitation.state == States.STATE_WITHDRAWN
    assert await together.ask("WithdrawInvitation", **withdrawing) == ended
    assert await together.ask("WithdrawInvitation", invitation=first.name) == ended
    before = contents(members.database_url)
    refusal = await refused(together.ask("AcceptInvitation", member=eve, code=first.code))
    assert (refusal.reason, refusal.metadata) == ("INVITATION_ENDED", {"state": "withdrawn"})
    elsewhere = await refused(
        together.ask(
            "WithdrawInvitation",
            invitation=f"{(household.name)}/invitations/{uuid.uuid4()}",
        )
    )
    assert elsewhere.reason == "INVITATION_NOT_FOUND"
    assert contents(members.database_url) == before
    await together.ask("AcceptInvitation", member=eve, code=second.code)
    accepted = await refused(together.ask("WithdrawInvitation", invitation=second.name))
    assert (accepted.reason, accepted.metadata) == ("INVITATION_ENDED", {"state": "accepted"})


async def test_invitations_and_members_are_bounded(
    serve: Serve, tokens: Tokens, members: Members
) -> None:
    url = members.database_url
    bounded = {"household_members_max": 2, "household_invitations_max": 2}
    small = Members(await serve("members", url, **bounded), tokens, url)
    together = Together(small)
    ada, eve, bob = await enrolled(members, 3)
    household = await together.household(ada)
    codes = [(await together.invite(household.name)).code for _ in range(2)]
    before = contents(url)
    refusal = await refused(together.invite(household.name, eve))
    assert (refusal.reason, refusal.metadata) == ("TOO_MANY_INVITATIONS", {"most": "2"})
    assert contents(url) == before
    await together.ask("AcceptInvitation", member=eve, code=codes[0])
    before = contents(url)
    full = ("HOUSEHOLD_FULL", {"most": "2"})
    refusal = await refused(together.ask("AcceptInvitation", member=bob, code=codes[1]))
    assert (refusal.reason, refusal.metadata) == full
    refusal = await refused(together.invite(household.name))
    assert (refusal.reason, refusal.metadata) == full
    assert contents(url) == before


async def test_invitations_end_with_their_household(members: Members, together: Together) -> None:
    ada, eve = await enrolled(members, 2)
    household = await together.household(ada)
    invitation = await together.invite(household.name, eve)
    await together.ask("LeaveHousehold", member=ada)
    joining = together.ask("AcceptInvitation", member=eve, invitation=invitation.name)
    assert (await refused(joining)).reason == "INVITATION_NOT_FOUND"
    assert contents(members.database_url)["public.invitations"] == []
