"""Merges, households and erasures that come at the same moment."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import grpc
import pytest
from loyalty.members.v1 import members_pb2

from services.plumbing.grpc_client import error_info
from tests.service.members_calls import Members
from tests.service.members_together import Together, who

ROUNDS = 10
MERGED = members_pb2.Member.STATE_MERGED


@pytest.fixture
def together(members: Members) -> Together:
    return Together(members)


async def reasons(*calls: Coroutine[Any, Any, object]) -> list[str]:
    """The reason each is refused for, all sent at once; empty for what is answered."""

    async def reason(call: Coroutine[Any, Any, object]) -> str:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            info = error_info(error)
            assert info is not None
            return str(info.reason)
        return ""

    return list(await asyncio.gather(*map(reason, calls)))


async def enrolled(members: Members, count: int) -> list[str]:
    return [(await members.enrol()).name for _ in range(count)]


async def test_one_of_two_opposite_merges_is_made(members: Members, together: Together) -> None:
    for _ in range(ROUNDS):
        ada, eve = await enrolled(members, 2)
        answered = await reasons(together.merge(ada, eve), together.merge(eve, ada))
        assert sorted(answered) == ["", "MEMBER_MERGED"]
        states = [(await members.get(name)).state for name in (ada, eve)]
        assert states.count(MERGED) == 1


async def test_merge_asked_many_times_at_once_is_made_once(
    members: Members, together: Together
) -> None:
    ada, eve = await enrolled(members, 2)
    asked = {"request_id": str(uuid.uuid4()), "source": ada, "target": eve, "reason": "twice"}
    answers = await asyncio.gather(*(together.ask("MergeMembers", **asked) for _ in range(8)))
    assert {answer.merge.name for answer in answers} == {answers[0].merge.name}
    assert members.announced_types().count("MembersMerged") == 1


async def test_merges_in_a_ring_leave_one_member(members: Members, together: Together) -> None:
    names = await enrolled(members, 6)
    ring = list(zip(names, names[1:] + names[:1], strict=True))
    answered = await reasons(*(together.merge(source, target) for source, target in ring))
    assert set(answered) == {"", "MEMBER_MERGED"}
    found = [await members.get(name) for name in names]
    roots = {member.name for member in found if member.state != MERGED}
    assert len(roots) == answered.count("MEMBER_MERGED")
    assert {member.merged_into for member in found} - {""} <= roots


async def test_merge_beside_its_members_other_changes_is_whole(
    members: Members, together: Together
) -> None:
    for _ in range(ROUNDS):
        ada, eve = await enrolled(members, 2)
        merged, created, erased = await reasons(
            together.merge(ada, eve),
            together.ask("CreateHousehold", owner=ada),
            together.erase(eve),
        )
        source, target = await members.get(ada), await members.get(eve)
        assert merged in {"", "MEMBER_IN_HOUSEHOLD", "MEMBER_ERASED"}
        assert created in {"", "MEMBER_MERGED", "MEMBER_ERASED"}
        assert erased == ""
        assert not (source.merged_into and source.household)
        if not merged:
            # Merged before: erased with whom they counted as.
            assert (source.state, source.merged_into) == (target.state, eve)


async def test_one_of_many_gets_in_by_a_code(members: Members, together: Together) -> None:
    ada, *others = await enrolled(members, 9)
    household = await together.household(ada)
    code = (await together.invite(household.name)).code
    joining = (together.ask("AcceptInvitation", member=name, code=code) for name in others)
    assert Counter(await reasons(*joining)) == {"": 1, "INVITATION_ENDED": 7}
    assert len(who(await together.read(household.name))) == 2


async def test_member_joins_one_of_many_households(members: Members, together: Together) -> None:
    bob, *owners = await enrolled(members, 7)
    households = [await together.household(owner) for owner in owners]
    invitations = [await together.invite(each.name, bob) for each in households]
    joining = (
        together.ask("AcceptInvitation", member=bob, invitation=each.name) for each in invitations
    )
    assert Counter(await reasons(*joining)) == {"": 1, "MEMBER_IN_HOUSEHOLD": 5}
    found = [who(await together.read(each.name)) for each in households]
    assert sum(bob in names for names in found) == 1


async def test_who_is_sent_away_and_erased_at_once_is_gone_once(
    members: Members, together: Together
) -> None:
    ada, *others = await enrolled(members, 9)
    household = await together.household(ada, *others)
    for name in others:
        away = together.ask("RemoveHouseholdMember", household=household.name, member=name)
        answered = await reasons(together.erase(name), away)
        assert answered in (["", ""], ["", "NOT_IN_HOUSEHOLD"])
    left = await together.read(household.name)
    assert (who(left), left.revision) == ([ada], household.revision + 8)


async def test_household_is_announced_in_the_order_it_changed(
    members: Members, together: Together
) -> None:
    names = await enrolled(members, 6)
    household = await together.household(*names)
    await reasons(
        *(together.ask("SetShare", member=name, points_limit=n) for n, name in enumerate(names, 1)),
        together.ask("LeaveHousehold", member=names[5]),
        together.ask("HandOverHousehold", household=household.name, member=names[1]),
        together.erase(names[0]),
        together.ask("RemoveHouseholdMember", household=household.name, member=names[2]),
    )
    announced = together.households_announced()
    assert [event.revision for event in announced] == list(range(1, len(announced) + 1))
    left = await together.read(household.name)
    assert [(e.member, e.points_limit) for e in left.members] == [
        (e.member, e.points_limit) for e in announced[-1].members
    ]
    assert left.owner in who(left)
    assert names[0] not in who(left)
