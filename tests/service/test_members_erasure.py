"""What of a member is left when they are erased: nothing that leads to a person."""

import uuid

import pytest
from loyalty.members.v1 import events_pb2, members_pb2

from services.plumbing.database import engine, transaction
from tests.service.contents import contents
from tests.service.members_calls import Members, consent, moment
from tests.service.members_together import Together, who
from tests.service.refusals import refused

ERASED = members_pb2.Member.STATE_ERASED
# All that was ever said by or about the member, but what for and by which way they consented.
PERSONAL = (
    "Ada",
    "Countess",
    "Lovelace",
    "ada@example.com",
    "countess@example.com",
    "41446681800",
    "seat-by-the-window",
    "vegetarian",
    "checkbox-of-ada",
    "app-of-ada",
    "lost-by-ada",
    "suspected-of-ada",
    "is-ada-too",
)
TOKENS = ("card-of-ada-1", "card-of-ada-2", "card-of-ada-3")


@pytest.fixture
def together(members: Members) -> Together:
    return Together(members)


def everything(url: str, *, but: str = "") -> str:
    """What every column of every table holds, as text; of bytes what letters are in them."""
    reading = engine(url, pool_size=1)
    try:
        with transaction(reading) as connection:
            tables = connection.exec_driver_sql(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> %s",
                (but,),
            ).scalars()
            texts = []
            for table in tables.all():
                for row in connection.exec_driver_sql(f"SELECT * FROM {table}"):
                    values = (bytes(v) if isinstance(v, memoryview) else v for v in row)
                    texts.append(repr(tuple(values)))
            return "\n".join(texts)
    finally:
        reading.dispose()


async def a_life(members: Members, together: Together) -> str:
    """A member of whom something stands in every table."""
    said = consent(method="checkbox-of-ada", source="app-of-ada")
    ada = await members.enrol(
        given_name="Ada",
        family_name="Lovelace",
        email="ada@example.com",
        phone="+41446681800",
        preferences={"seat-by-the-window": "vegetarian"},
        card_token="card-of-ada-1",
        consents=[said],
    )
    # Told apart by the proof alone.
    await members.record_consent(ada.name, consent(method="checkbox-of-ada", source="app-of-ada 2"))
    changed = members_pb2.Member(name=ada.name, given_name="Countess", email="countess@example.com")
    await members.update(changed)
    await members.replace_card("card-of-ada-1", "card-of-ada-2")
    await members.block_card("card-of-ada-2", reason="lost-by-ada")
    await members.issue_card(ada.name, "card-of-ada-3")
    host = (await members.enrol()).name
    await together.invite((await together.household(host)).name, ada.name)
    merged = await members.enrol()
    merge = await together.ask(
        "MergeMembers", source=merged.name, target=ada.name, reason="is-ada-too"
    )
    await together.undo(merge.merge.name)
    name: str = ada.name
    return name


async def test_nothing_a_member_gave_is_in_any_table(members: Members, together: Together) -> None:
    name = await a_life(members, together)
    await together.ask("BlockMember", name=name, reason="suspected-of-ada")
    number = (await members.get(name)).membership_number
    full = everything(members.database_url)
    replaced = ["Ada", "ada@example.com"]
    assert [text for text in (*PERSONAL, *TOKENS, number) if text not in full] == replaced
    await together.erase(name)
    left = everything(members.database_url)
    assert [text for text in (*PERSONAL, number) if text in left] == []
    # Events say which cards tills refuse; the outbox forgets them with its retention.
    kept = everything(members.database_url, but="outbox")
    assert [token for token in TOKENS if token in kept] == []


async def test_erased_member_is_known_by_name_alone(members: Members, together: Together) -> None:
    name = await a_life(members, together)
    was = await members.get(name)
    erased = await together.erase(name)
    assert erased == members_pb2.Member(
        name=name,
        consents=[consent(method="erased", source="erased")],
        enrol_time=was.enrol_time,
        update_time=erased.update_time,
        etag=erased.etag,
        state=ERASED,
    )
    assert await members.get(name) == erased
    for identity in (
        {"card_token": "card-of-ada-3"},
        {"email": "countess@example.com"},
        {"phone": "+41446681800"},
        {"membership_number": was.membership_number},
    ):
        assert (await refused(members.find(**identity))).reason == "MEMBER_NOT_FOUND"
    assert (await refused(members.block_card("card-of-ada-3"))).reason == "CARD_NOT_FOUND"
    listed = (await members.list_members()).members
    assert listed[-1] == erased
    assert len({member.name for member in listed}) == len(listed)
    # That they consented, for what and when, stays proven.
    assert list((await members.list_consents(name)).consents) == list(erased.consents)
    assert list((await together.ask("ListInvitations", parent=name)).invitations) == []


async def test_tills_hear_of_the_cards_before_the_member_is_gone(
    members: Members, together: Together
) -> None:
    name = await a_life(members, together)
    before = len(members.announced())
    erased = await together.erase(name)
    happened = members.announced()[before:]
    assert [event.type.rpartition(".")[2] for event in happened] == ["CardBlocked", "MemberErased"]
    blocked = events_pb2.CardBlocked.FromString(happened[0].data)
    assert (blocked.member, blocked.card_token) == (name, "card-of-ada-3")
    gone = events_pb2.MemberErased.FromString(happened[1].data)
    assert (gone.member, gone.erase_time) == (name, erased.update_time)


async def test_erased_member_does_nothing_more(members: Members, together: Together) -> None:
    name = (await members.enrol()).name
    asked = {"request_id": str(uuid.uuid4()), "name": name, "reason": "own_request"}
    erased = (await together.ask("EraseMember", **asked)).member
    before = contents(members.database_url)
    assert (await together.ask("EraseMember", **asked)).member == erased
    for call in (
        members.update(members_pb2.Member(name=name, given_name="Ada")),
        members.issue_card(name, "card-1"),
        members.record_consent(name, consent()),
        together.block(name),
        together.ask("UnblockMember", name=name),
    ):
        assert (await refused(call)).reason == "MEMBER_ERASED"
    worded = together.ask("EraseMember", name=name, reason="Ada called and asked for it")
    assert (await refused(worded)).fields == ("reason",)
    assert contents(members.database_url) == before
    assert await together.erase(name) == erased
    assert members.announced_types() == ["MemberEnrolled", "MemberErased"]


async def test_what_an_erased_member_had_can_be_had_again(
    members: Members, together: Together
) -> None:
    fields = {"email": "ada@example.com", "phone": "+41446681800", "card_token": "card-1"}
    first = await members.enrol(**fields)
    await together.erase(first.name)
    again = await members.enrol(**fields)
    assert again.name != first.name
    assert again.membership_number != first.membership_number
    assert await members.find(card_token="card-1") == again


async def test_whoever_is_merged_into_an_erased_member_is_erased_too(
    members: Members, together: Together
) -> None:
    one, two, three = [
        (await members.enrol(given_name="Ada", card_token=f"card-{n}")).name for n in range(3)
    ]
    merges = [await together.merge(one, two), await together.merge(two, three)]
    before = len(members.announced())
    await together.erase(three)
    for name in (one, two, three):
        left = await members.get(name)
        assert (left.state, left.given_name, list(left.cards)) == (ERASED, "", [])
    assert (await members.get(one)).merged_into == three
    happened = [(e.type.rpartition(".")[2], e.subject) for e in members.announced()[before:]]
    assert sorted(happened[:4]) == sorted(
        (kind, name) for name in (one, two) for kind in ("CardBlocked", "MemberErased")
    )
    assert happened[4:] == [("CardBlocked", three), ("MemberErased", three)]
    before_undo = contents(members.database_url)
    for merge in merges:
        assert (await refused(together.undo(merge.name))).reason == "MEMBER_ERASED"
    assert contents(members.database_url) == before_undo


async def test_household_of_an_erased_owner_goes_to_who_has_been_in_it_longest(
    members: Members, together: Together
) -> None:
    ada, eve, bob = [(await members.enrol()).name for _ in range(3)]
    household = await together.household(ada, eve, bob)
    await together.erase(ada)
    left = await together.read(household.name)
    assert (left.owner, who(left), left.revision) == (eve, [eve, bob], household.revision + 1)
    assert [each.member for each in together.households_announced()[-1].members] == [eve, bob]
    await together.erase(bob)
    await together.erase(eve)
    ended = await together.read(household.name)
    assert (ended.owner, who(ended), ended.HasField("end_time")) == ("", [], True)
    assert list(together.households_announced()[-1].members) == []


async def test_two_proofs_of_one_consent_become_one(members: Members, together: Together) -> None:
    name = (await members.enrol(consents=[consent(source="app"), consent(source="till")])).name
    later = moment("2026-02-01T00:00:00Z")
    await members.record_consent(name, consent(granted=False, time=later))
    await together.erase(name)
    kept = (await members.list_consents(name)).consents
    assert [(each.granted, each.source) for each in kept] == [(False, "erased"), (True, "erased")]
