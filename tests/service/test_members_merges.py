"""Two members who are one person: what a merge shows, what it refuses, and how it is undone."""

import uuid

import grpc
import pytest
from loyalty.members.v1 import events_pb2, members_pb2

from services.members.settings import MembersSettings
from tests.service.conftest import Serve
from tests.service.contents import contents
from tests.service.members_calls import Members, active, cards, consent, moment
from tests.service.members_together import Together
from tests.service.refusals import refused
from tests.service.tokens import Tokens

NOBODY = "members/00000000-0000-4000-8000-000000000000"
MERGED = members_pb2.Member.STATE_MERGED


@pytest.fixture
def together(members: Members) -> Together:
    return Together(members)


async def test_merged_member_counts_as_the_target(members: Members, together: Together) -> None:
    ada = await members.enrol(email="ada@example.com", phone="+41446681800", card_token="card-1")
    eve = await members.enrol(given_name="Ada", card_token="card-2")
    merge = await together.merge(ada.name, eve.name)
    source, target = await members.get(ada.name), await members.get(eve.name)
    assert (source.state, source.merged_into) == (MERGED, eve.name)
    assert (target.state, target.merged_into) == (members_pb2.Member.STATE_ACTIVE, "")
    assert cards(target) == active("card-1", "card-2")
    assert [card.merged_from for card in target.cards] == [ada.name, ""]
    assert cards(source) == active("card-1")
    for identity in (
        {"card_token": "card-1"},
        {"email": "ada@example.com"},
        {"phone": "+41446681800"},
        {"membership_number": ada.membership_number},
    ):
        assert await members.find(**identity) == target
    announced = members.announced()[-1]
    assert announced.subject == eve.name
    assert events_pb2.MembersMerged.FromString(announced.data) == events_pb2.MembersMerged(
        merge=merge.name, source=ada.name, target=eve.name, merge_time=merge.merge_time
    )


async def test_undone_merge_leaves_both_as_they_were(members: Members, together: Together) -> None:
    ada = await members.enrol(
        given_name="Ada",
        email="ada@example.com",
        preferences={"language": "de"},
        card_token="card-1",
        consents=[consent()],
    )
    eve = await members.enrol(given_name="A.", phone="+41446681800", card_token="card-2")
    merge = await together.merge(ada.name, eve.name)
    undone = await together.undo(merge.name)
    assert undone.HasField("undo_time")
    assert await members.get(ada.name) == ada
    assert await members.get(eve.name) == eve
    assert await members.find(email="ada@example.com") == ada
    announced = members.announced()[-1]
    assert announced.subject == eve.name
    assert events_pb2.MergeUndone.FromString(announced.data) == events_pb2.MergeUndone(
        merge=merge.name, source=ada.name, target=eve.name, undo_time=undone.undo_time
    )


@pytest.mark.parametrize("first_undone", [0, 1])
async def test_chain_of_merges_is_undone_in_any_order(
    members: Members, together: Together, first_undone: int
) -> None:
    one, two, three = [await members.enrol(card_token=f"card-{n}") for n in range(3)]
    chain = [await together.merge(one.name, two.name), await together.merge(two.name, three.name)]
    for source in (one, two):
        assert (await members.get(source.name)).merged_into == three.name
    assert (await members.find(card_token="card-0")).name == three.name
    assert len((await members.get(three.name)).cards) == 3
    await together.undo(chain[first_undone].name)
    # What one was merged into is a member of its own again, or one alone is.
    into = two.name if first_undone else ""
    assert (await members.get(one.name)).merged_into == into
    await together.undo(chain[1 - first_undone].name)
    assert [await members.get(each.name) for each in (one, two, three)] == [one, two, three]


async def test_merged_member_changes_nothing(members: Members, together: Together) -> None:
    ada, eve, bob = [await members.enrol(card_token=f"card-{n}") for n in range(3)]
    await together.merge(ada.name, eve.name)
    await together.merge(eve.name, bob.name)
    before = contents(members.database_url)
    refusals = [
        await refused(call)
        for call in (
            members.update(members_pb2.Member(name=ada.name, given_name="Ada")),
            members.issue_card(ada.name, "card-9"),
            members.record_consent(ada.name, consent()),
            members.list_consents(ada.name),
            together.ask("ListInvitations", parent=ada.name),
            together.ask("ListShareConsents", parent=ada.name),
            together.block(ada.name),
            together.ask("UnblockMember", name=ada.name),
            together.erase(ada.name),
            together.ask("CreateHousehold", owner=ada.name),
            together.merge(ada.name, bob.name),
        )
    ]
    assert {(each.code, each.reason, each.metadata["into"]) for each in refusals} == {
        (grpc.StatusCode.FAILED_PRECONDITION, "MEMBER_MERGED", bob.name)
    }
    assert contents(members.database_url) == before


async def test_lost_card_of_a_merged_member_is_blocked_and_replaced(
    members: Members, together: Together
) -> None:
    ada = await members.enrol(card_token="card-1")
    await members.issue_card(ada.name, "card-2")
    eve = await members.enrol()
    merge = await together.merge(ada.name, eve.name)
    assert (await members.block_card("card-1")).name == eve.name
    shown = await members.replace_card("card-2", "card-3")
    assert (shown.name, [card.merged_from for card in shown.cards]) == (eve.name, [ada.name] * 3)
    await together.undo(merge.name)
    assert cards(await members.get(ada.name)) == [
        ("card-1", "STATE_BLOCKED"),
        ("card-2", "STATE_REPLACED"),
        ("card-3", "STATE_ACTIVE"),
    ]
    assert await members.get(eve.name) == eve


async def test_consents_of_a_merged_member_are_in_the_targets_record(
    members: Members, together: Together
) -> None:
    early, late = moment("2026-01-01T00:00:00Z"), moment("2026-02-01T00:00:00Z")
    ada = await members.enrol(consents=[consent(time=early)])
    eve = await members.enrol(consents=[consent(time=late, granted=False)])
    merge = await together.merge(ada.name, eve.name)
    recorded = (await members.list_consents(eve.name)).consents
    assert [(each.time, each.granted) for each in recorded] == [(late, False), (early, True)]
    await together.undo(merge.name)
    assert [each.time for each in (await members.list_consents(eve.name)).consents] == [late]


async def test_what_cannot_be_merged_is_refused(members: Members, together: Together) -> None:
    ada, eve, blocked, merged, erased, sharing = [await members.enrol() for _ in range(6)]
    await together.block(blocked.name)
    await together.merge(merged.name, eve.name)
    await together.erase(erased.name)
    await together.household(sharing.name)
    before = contents(members.database_url)
    for source, target, reason, metadata in (
        (ada.name, ada.name, "MERGE_WITH_SELF", {}),
        (NOBODY, ada.name, "MEMBER_NOT_FOUND", {}),
        (ada.name, NOBODY, "MEMBER_NOT_FOUND", {}),
        (ada.name, f"members/{'-' * 36}", "MEMBER_NOT_FOUND", {}),
        (ada.name, blocked.name, "MEMBER_BLOCKED", {}),
        (blocked.name, ada.name, "MEMBER_BLOCKED", {}),
        (merged.name, ada.name, "MEMBER_MERGED", {"into": eve.name}),
        (ada.name, merged.name, "MEMBER_MERGED", {"into": eve.name}),
        (eve.name, merged.name, "MEMBER_MERGED", {"into": eve.name}),
        (erased.name, ada.name, "MEMBER_ERASED", {}),
        (ada.name, erased.name, "MEMBER_ERASED", {}),
        (sharing.name, ada.name, "MEMBER_IN_HOUSEHOLD", {}),
    ):
        refusal = await refused(together.merge(source, target))
        assert (refusal.reason, refusal.metadata) == (reason, metadata)
    assert contents(members.database_url) == before
    # It is the source alone that must be free.
    await together.merge(ada.name, sharing.name)


async def test_members_beyond_the_most_are_not_merged(
    serve: Serve, tokens: Tokens, members: Members
) -> None:
    url = members.database_url
    together = Together(Members(await serve("members", url, merged_members_max=3), tokens, url))
    one, two, three, four = [(await members.enrol()).name for _ in range(4)]
    await together.merge(one, two)
    await together.merge(three, four)
    before = contents(url)
    refusal = await refused(together.merge(two, three))
    assert (refusal.reason, refusal.metadata) == ("MEMBER_MERGED", {"into": four})
    refusal = await refused(together.merge(two, four))
    assert (refusal.reason, refusal.metadata) == ("TOO_MANY_MERGED", {"most": "3"})
    assert contents(url) == before


def test_fifty_members_are_one_where_nothing_else_is_said() -> None:
    assert MembersSettings.model_fields["merged_members_max"].default == 50


async def test_merge_asked_again_is_answered_again(members: Members, together: Together) -> None:
    ada, eve, bob = [(await members.enrol()).name for _ in range(3)]
    asked = {"request_id": str(uuid.uuid4()), "source": ada, "target": eve, "reason": "twice"}
    first = (await together.ask("MergeMembers", **asked)).merge
    before = contents(members.database_url)
    assert (await together.ask("MergeMembers", **asked)).merge == first
    reused = await refused(together.ask("MergeMembers", **{**asked, "target": bob}))
    assert reused.reason == "REQUEST_ID_REUSED"
    assert contents(members.database_url) == before
    undoing = {"request_id": str(uuid.uuid4()), "name": first.name}
    undone = (await together.ask("UndoMerge", **undoing)).merge
    before = contents(members.database_url)
    assert (await together.ask("UndoMerge", **undoing)).merge == undone
    assert (await together.ask("MergeMembers", **asked)).merge == undone
    assert contents(members.database_url) == before
    # Undone before, by whichever request, it is answered as it is.
    assert await together.undo(first.name) == undone
    assert members.announced_types()[-2:] == ["MembersMerged", "MergeUndone"]


async def test_merges_of_a_member_are_listed_newest_first(
    members: Members, together: Together
) -> None:
    ada, eve, bob = [(await members.enrol()).name for _ in range(3)]
    first = await together.merge(ada, eve)
    undone = await together.undo(first.name)
    second = await together.merge(eve, bob)
    page = await together.ask("ListMerges", parent=eve, page_size=1)
    assert list(page.merges) == [second]
    rest = await together.ask(
        "ListMerges", parent=eve, page_size=1, page_token=page.next_page_token
    )
    assert (list(rest.merges), rest.next_page_token) == ([undone], "")
    assert list((await together.ask("ListMerges", parent=ada)).merges) == [undone]
    assert (await together.ask("GetMerge", name=second.name)).merge == second
    missing = f"merges/{uuid.uuid4()}"
    for call in (together.ask("GetMerge", name=missing), together.undo(missing)):
        assert (await refused(call)).reason == "MERGE_NOT_FOUND"
    assert (await refused(together.ask("ListMerges", parent=NOBODY))).reason == "MEMBER_NOT_FOUND"


async def test_merges_and_undos_in_any_order_lead_where_they_should(
    members: Members, together: Together
) -> None:
    names = [(await members.enrol()).name for _ in range(7)]
    into: dict[str, tuple[str, str]] = {}
    chains = 0

    def root(name: str) -> str:
        return root(into[name][0]) if name in into else name

    for step in range(42):
        # Squares and cubes modulo seven meet nearly every pair, in no plain order.
        source, target = names[(step * step + step // 7) % 7], names[(step**3 + 2 * step) % 7]
        if source == target or root(source) != source or root(target) != target:
            for merged in (source, target):
                if merged in into:
                    await together.undo(into.pop(merged)[1])
        else:
            into[source] = target, (await together.merge(source, target)).name
        listed = (await members.list_members()).members
        found = {member.name: member.merged_into or member.name for member in listed}
        assert found == {name: root(name) for name in names}
        chains += any(root(target) != target for target, _ in into.values())
    assert chains
