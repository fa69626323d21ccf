"""What may become of a member, their cards and their consents."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.members.domain import events, members
from services.members.domain.consents import Consent, in_force
from services.members.domain.identities import Identity, IdentityKind
from services.members.domain.members import Card, CardState, Details, Enrolment, Member
from services.members.domain.refusals import (
    CardBlocked,
    CardNotFound,
    IdentityTaken,
    StaleEtag,
    TimeInFuture,
    UnknownField,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ID = UUID("6f1c1a52-9f0e-4a53-8f33-0d3a3a0d7a11")
DETAILS = Details(given_name="Ada", email="ada@example.com", phone="+41446681800")


def consent(*, granted: bool = True, time: datetime = NOW, channel: str = "email") -> Consent:
    return Consent("marketing", channel, granted, time, "checkbox", "app")


def enrol(enrolment: Enrolment) -> members.Decision:
    return members.enrol(enrolment, member_id=ID, sequence=7, now=NOW)


def member(*tokens: str, consents: tuple[Consent, ...] = ()) -> Member:
    cards = tuple(Card(token, CardState.ACTIVE, NOW) for token in tokens)
    return Member(ID, 7, DETAILS, NOW, NOW, cards=cards, consents=consents)


def test_enrolment_is_announced_before_the_card_and_the_consents() -> None:
    said = consent()
    enrolled, happened = enrol(Enrolment(DETAILS, "card-1", (said,)))
    assert enrolled.cards == (Card("card-1", CardState.ACTIVE, NOW),)
    assert happened == [
        events.MemberEnrolled(NOW),
        events.CardIssued("card-1"),
        events.ConsentChanged(said),
    ]


def test_enrolment_without_a_card_announces_the_member_alone() -> None:
    enrolled, happened = enrol(Enrolment())
    assert enrolled.cards == ()
    assert happened == [events.MemberEnrolled(NOW)]


def test_enrolment_keeps_the_day_the_member_joined() -> None:
    joined = datetime(2017, 1, 1, tzinfo=UTC)
    enrolled, _ = enrol(Enrolment(enrol_time=joined))
    assert (enrolled.enrol_time, enrolled.update_time) == (joined, NOW)


@pytest.mark.parametrize(
    ("enrolment", "field"),
    [
        (Enrolment(enrol_time=NOW + timedelta(seconds=301)), "enrol_time"),
        (Enrolment(consents=(consent(), consent(time=LATER))), "consents[1].time"),
    ],
)
def test_enrolment_in_the_future_is_refused(enrolment: Enrolment, field: str) -> None:
    with pytest.raises(TimeInFuture) as refusal:
        enrol(enrolment)
    assert refusal.value.metadata == {"field": field}


def test_a_clock_five_minutes_ahead_is_believed() -> None:
    enrolled, _ = enrol(Enrolment(enrol_time=NOW + timedelta(seconds=300)))
    assert enrolled.enrol_time == NOW + timedelta(seconds=300)


def test_identities_are_the_number_the_contacts_and_every_card() -> None:
    assert member("card-1", "card-2").identities == {
        Identity(IdentityKind.MEMBERSHIP_NUMBER, "1000000000074"),
        Identity(IdentityKind.EMAIL, "ada@example.com"),
        Identity(IdentityKind.PHONE, "+41446681800"),
        Identity(IdentityKind.CARD, "card-1"),
        Identity(IdentityKind.CARD, "card-2"),
    }


def test_fingerprint_is_the_same_however_preferences_are_ordered() -> None:
    one = Enrolment(Details(preferences={"a": "1", "b": "2"}), consents=(consent(),))
    other = Enrolment(Details(preferences={"b": "2", "a": "1"}), consents=(consent(),))
    assert members.fingerprint(one) == members.fingerprint(other)
    assert len(members.fingerprint(one)) == members.FINGERPRINT_BYTES


@pytest.mark.parametrize(
    "other",
    [
        Enrolment(Details(given_name="A", family_name="B")),
        Enrolment(Details(given_name="B", family_name="A", email="a@b.example")),
        Enrolment(Details(given_name="B", family_name="A", preferences={"a": "1"})),
        Enrolment(Details(given_name="B", family_name="A"), card_token="card-1"),
        Enrolment(Details(given_name="B", family_name="A"), consents=(consent(),)),
        Enrolment(Details(given_name="B", family_name="A"), enrol_time=NOW),
    ],
)
def test_fingerprint_differs_where_anything_differs(other: Enrolment) -> None:
    one = Enrolment(Details(given_name="B", family_name="A"))
    assert members.fingerprint(one) != members.fingerprint(other)


def test_fingerprint_does_not_depend_on_the_time_zone() -> None:
    zurich = NOW.astimezone(tz=None)
    assert members.fingerprint(Enrolment(enrol_time=NOW)) == members.fingerprint(
        Enrolment(enrol_time=zurich)
    )


def test_no_mask_changes_what_is_populated() -> None:
    assert members.fields_to_change([], {"name", "etag", "email"}) == {"email"}


def test_star_changes_every_field() -> None:
    assert members.fields_to_change(["*"], {"email"}) == members.CHANGEABLE


def test_mask_changes_what_it_names() -> None:
    assert members.fields_to_change(["email", "phone"], set()) == {"email", "phone"}


@pytest.mark.parametrize(
    "path", ["colour", "name", "cards", "etag", "membership_number", "preferences.language", ""]
)
def test_mask_with_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(UnknownField):
        members.fields_to_change(["email", path], {"email"})


def test_star_beside_another_path_is_refused() -> None:
    with pytest.raises(UnknownField):
        members.fields_to_change(["*", "email"], set())


def test_change_replaces_the_named_fields_alone() -> None:
    changed = members.change_details(
        member(), Details(given_name="Grace"), {"given_name", "phone"}, etag="v1", now=LATER
    )
    assert changed.details == replace(DETAILS, given_name="Grace", phone="")
    assert (changed.version, changed.etag, changed.update_time) == (2, "v2", LATER)


def test_change_to_what_it_was_leaves_the_etag() -> None:
    unchanged = member()
    assert (
        members.change_details(unchanged, DETAILS, members.CHANGEABLE, etag="", now=LATER)
        is unchanged
    )


def test_stale_etag_is_refused() -> None:
    with pytest.raises(StaleEtag):
        members.change_details(member(), Details(), {"email"}, etag="v0", now=LATER)


def test_issued_card_joins_the_others() -> None:
    changed, happened = members.issue_card(member("card-1"), "card-2", now=LATER)
    assert changed.cards[1] == Card("card-2", CardState.ACTIVE, LATER)
    assert happened == [events.CardIssued("card-2")]
    assert changed.version == 2


def test_card_the_member_holds_is_not_issued_twice() -> None:
    held = member("card-1")
    assert members.issue_card(held, "card-1", now=LATER) == (held, [])


def test_ended_card_is_never_issued_again() -> None:
    replaced, _ = members.replace_card(member("card-1"), "card-1", "card-2", now=LATER)
    blocked, _ = members.block_card(replaced, "card-2", reason="lost", now=LATER)
    for token in ("card-1", "card-2"):
        with pytest.raises(IdentityTaken) as refusal:
            members.issue_card(blocked, token, now=LATER)
        assert refusal.value.metadata == {"kind": "card_token"}


def test_replacement_ends_the_old_card_and_issues_the_new() -> None:
    changed, happened = members.replace_card(member("card-1"), "card-1", "card-2", now=LATER)
    assert changed.cards == (
        Card("card-1", CardState.REPLACED, NOW, LATER, replaced_by="card-2"),
        Card("card-2", CardState.ACTIVE, LATER),
    )
    assert happened == [events.CardReplaced("card-1", "card-2")]


def test_the_same_replacement_again_changes_nothing() -> None:
    changed, _ = members.replace_card(member("card-1"), "card-1", "card-2", now=NOW)
    assert members.replace_card(changed, "card-1", "card-2", now=LATER) == (changed, [])


def test_card_replaced_by_another_cannot_be_replaced_again() -> None:
    changed, _ = members.replace_card(member("card-1"), "card-1", "card-2", now=NOW)
    with pytest.raises(CardBlocked):
        members.replace_card(changed, "card-1", "card-3", now=LATER)


def test_blocked_card_cannot_be_replaced() -> None:
    blocked, _ = members.block_card(member("card-1"), "card-1", reason="stolen", now=NOW)
    with pytest.raises(CardBlocked):
        members.replace_card(blocked, "card-1", "card-2", now=LATER)


def test_card_cannot_be_replaced_by_one_the_member_holds() -> None:
    for new_token in ("card-1", "card-2"):
        with pytest.raises(IdentityTaken):
            members.replace_card(member("card-1", "card-2"), "card-1", new_token, now=LATER)


def test_unknown_card_is_not_found() -> None:
    with pytest.raises(CardNotFound):
        members.block_card(member("card-1"), "card-2", reason="lost", now=LATER)


def test_block_ends_a_card_once() -> None:
    blocked, happened = members.block_card(member("card-1"), "card-1", reason="lost", now=NOW)
    ended = Card("card-1", CardState.BLOCKED, NOW, NOW, block_reason="lost")
    assert blocked.cards == (ended,)
    assert happened == [events.CardBlocked("card-1")]
    assert members.block_card(blocked, "card-1", reason="stolen", now=LATER) == (blocked, [])


def test_block_leaves_a_replaced_card_as_it_is() -> None:
    replaced, _ = members.replace_card(member("card-1"), "card-1", "card-2", now=NOW)
    assert members.block_card(replaced, "card-1", reason="lost", now=LATER) == (replaced, [])


def test_last_said_is_in_force_whatever_the_order() -> None:
    yes, no = consent(time=NOW), consent(granted=False, time=LATER)
    assert in_force([yes, no]) == in_force([no, yes]) == (no,)


def test_of_two_said_at_once_the_one_recorded_later_is_in_force() -> None:
    assert in_force([consent(), consent(granted=False)]) == (consent(granted=False),)


def test_each_channel_has_its_own_answer() -> None:
    sms = consent(channel="sms", granted=False)
    assert in_force([sms, consent()]) == (consent(), sms)


def test_first_consent_is_announced_even_when_it_is_a_no() -> None:
    said = consent(granted=False)
    changed, happened = members.record_consent(member(), said, now=NOW)
    assert changed.consents == (said,)
    assert happened == [events.ConsentChanged(said)]


def test_consent_that_repeats_the_answer_is_in_force_but_not_announced() -> None:
    again = consent(time=LATER)
    changed, happened = members.record_consent(member(consents=(consent(),)), again, now=LATER)
    assert changed.consents == (again,)
    assert changed.version == 2
    assert happened == []


def test_consent_that_arrives_late_changes_nothing_in_force() -> None:
    withdrawn = member(consents=(consent(granted=False, time=LATER),))
    assert members.record_consent(withdrawn, consent(), now=LATER) == (withdrawn, [])


def test_consent_of_the_future_is_refused() -> None:
    with pytest.raises(TimeInFuture):
        members.record_consent(member(), consent(time=LATER), now=NOW)
