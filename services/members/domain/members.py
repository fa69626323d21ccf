"""A member, their cards and consents, and what may become of them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any
from uuid import UUID

from services.members.domain import events
from services.members.domain.consents import Consent, answer, in_force
from services.members.domain.identities import Identity, IdentityKind, membership_number
from services.members.domain.refusals import (
    CardBlocked,
    CardNotFound,
    IdentityTaken,
    StaleEtag,
    TimeInFuture,
    UnknownField,
)

# How far a caller's clock may run ahead of ours.
AHEAD_MAX = timedelta(seconds=300)
FINGERPRINT_BYTES = 16
CHANGEABLE = frozenset({"given_name", "family_name", "email", "phone", "preferences"})


class CardState(StrEnum):
    ACTIVE = "active"
    REPLACED = "replaced"
    BLOCKED = "blocked"


class MemberState(StrEnum):
    ACTIVE = "active"
    BLOCKED = "blocked"
    MERGED = "merged"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a member. Whoever was blocked before a merge or an erasure is not any more."""

    # When and why they were blocked; None when they are not.
    block_time: datetime | None = None
    block_reason: str | None = None
    erase_time: datetime | None = None
    # Whom they count as, at the end of all merges.
    merged_into: UUID | None = None
    household_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Card:
    token: str
    state: CardState
    issue_time: datetime
    end_time: datetime | None = None
    # The card that took its place.
    replaced_by: str | None = None
    # Why it was blocked.
    block_reason: str | None = None


@dataclass(frozen=True, slots=True)
class MergedCard:
    """A card of who was merged into a member."""

    member_id: UUID
    card: Card


@dataclass(frozen=True, slots=True)
class Details:
    """What a member may change. An e-mail or phone that is not known is empty."""

    given_name: str = ""
    family_name: str = ""
    email: str = ""
    phone: str = ""
    preferences: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What somebody asks for who wants to be a member."""

    details: Details = Details()
    card_token: str = ""
    consents: tuple[Consent, ...] = ()
    # When they joined; None is now.
    enrol_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Member:
    id: UUID
    # Which enrolment of the programme it was; the membership number is made of it.
    sequence: int
    details: Details
    enrol_time: datetime
    update_time: datetime
    version: int = 1
    # In the order they were issued.
    cards: tuple[Card, ...] = ()
    # Those in force, by purpose and channel.
    consents: tuple[Consent, ...] = ()
    standing: Standing = Standing()
    # Of who was merged into them; each stays its own member's.
    merged_cards: tuple[MergedCard, ...] = ()

    @property
    def membership_number(self) -> str:
        return membership_number(self.sequence)

    @property
    def state(self) -> MemberState:
        if self.standing.erase_time is not None:
            return MemberState.ERASED
        if self.standing.merged_into is not None:
            return MemberState.MERGED
        blocked = self.standing.block_time is not None
        return MemberState.BLOCKED if blocked else MemberState.ACTIVE

    @property
    def etag(self) -> str:
        return f"v{self.version}"

    @property
    def contacts(self) -> frozenset[Identity]:
        """The e-mail and the phone, where known."""
        known = ((IdentityKind.EMAIL, self.details.email), (IdentityKind.PHONE, self.details.phone))
        return frozenset(Identity(kind, value) for kind, value in known if value)

    @property
    def identities(self) -> frozenset[Identity]:
        number = Identity(IdentityKind.MEMBERSHIP_NUMBER, self.membership_number)
        tokens = {Identity(IdentityKind.CARD, card.token) for card in self.cards}
        return self.contacts | tokens | {number}

    def card(self, token: str) -> Card | None:
        return next((card for card in self.cards if card.token == token), None)

    def held_card(self, token: str) -> Card:
        """Refuses: CardNotFound."""
        card = self.card(token)
        if card is None:
            raise CardNotFound
        return card


# A member as they are now, and what is to be announced; nothing, where nothing changed.
Decision = tuple[Member, Sequence[events.Event]]


def fingerprint(enrolment: Enrolment) -> bytes:
    """The same for the same request, however its maps are ordered."""
    details = enrolment.details
    canonical = json.dumps(
        [
            [details.given_name, details.family_name, details.email, details.phone],
            sorted(details.preferences.items()),
            enrolment.card_token,
            [
                [
                    said.purpose,
                    said.channel,
                    said.granted,
                    _utc(said.time),
                    said.method,
                    said.source,
                ]
                for said in enrolment.consents
            ],
            _utc(enrolment.enrol_time),
        ]
    )
    return blake2b(canonical.encode(), digest_size=FINGERPRINT_BYTES).digest()


def enrol(enrolment: Enrolment, *, member_id: UUID, sequence: int, now: datetime) -> Decision:
    """A new member, announced before their card. Refuses: TimeInFuture."""
    enrol_time = enrolment.enrol_time or now
    require_past("enrol_time", enrol_time, now)
    for position, said in enumerate(enrolment.consents):
        require_past(f"consents[{position}].time", said.time, now)
    token = enrolment.card_token
    member = Member(
        id=member_id,
        sequence=sequence,
        details=enrolment.details,
        enrol_time=enrol_time,
        update_time=now,
        cards=(Card(token, CardState.ACTIVE, enrol_time),) if token else (),
        consents=in_force(enrolment.consents),
    )
    happened: list[events.Event] = [events.MemberEnrolled(enrol_time)]
    happened += [events.CardIssued(card.token) for card in member.cards]
    happened += [events.ConsentChanged(said) for said in member.consents]
    return member, happened


def require_past(name: str, time: datetime, now: datetime) -> None:
    """Refuses: TimeInFuture, where the caller's clock is further ahead than clocks are."""
    if time > now + AHEAD_MAX:
        raise TimeInFuture(name)


def fields_to_change(paths: Sequence[str], populated: Collection[str]) -> frozenset[str]:
    """What an update mask means: none is what is populated, "*" is all. Refuses: UnknownField."""
    if list(paths) == ["*"]:
        return CHANGEABLE
    if not CHANGEABLE.issuperset(paths):
        raise UnknownField
    return frozenset(paths) or CHANGEABLE.intersection(populated)


def change_details(
    member: Member, details: Details, fields: Collection[str], *, etag: str, now: datetime
) -> Member:
    """The member with the fields replaced. Refuses: StaleEtag, unless etag is empty."""
    if etag and etag != member.etag:
        raise StaleEtag
    changed = replace(member.details, **{name: getattr(details, name) for name in fields})
    return _changed(member, now, details=changed) if changed != member.details else member


def issue_card(member: Member, token: str, *, now: datetime) -> Decision:
    """One more card; one that is active already stays.

    Refuses: IdentityTaken for a card of theirs that ended: it is never issued again.
    """
    held = member.card(token)
    if held is not None and held.state is CardState.ACTIVE:
        return member, []
    if held is not None:
        raise IdentityTaken(IdentityKind.CARD)
    card = Card(token, CardState.ACTIVE, now)
    return _changed(member, now, cards=(*member.cards, card)), [events.CardIssued(token)]


def replace_card(member: Member, old_token: str, new_token: str, *, now: datetime) -> Decision:
    """A new card in the place of an active one; the same replacement again changes nothing.

    Refuses: CardBlocked when the old card ended, IdentityTaken when the member holds the new one.
    """
    old = member.held_card(old_token)
    if old.replaced_by == new_token:
        return member, []
    if old.state is not CardState.ACTIVE:
        raise CardBlocked
    if member.card(new_token) is not None:
        raise IdentityTaken(IdentityKind.CARD)
    ended = replace(old, state=CardState.REPLACED, end_time=now, replaced_by=new_token)
    cards = (*_with(member.cards, ended), Card(new_token, CardState.ACTIVE, now))
    replaced = events.CardReplaced(old_token, new_token)
    return _changed(member, now, cards=cards), [replaced]


def block_card(member: Member, token: str, *, reason: str, now: datetime) -> Decision:
    """The card ended for good; one that ended before stays as it is."""
    card = member.held_card(token)
    if card.state is not CardState.ACTIVE:
        return member, []
    ended = replace(card, state=CardState.BLOCKED, end_time=now, block_reason=reason)
    cards = _with(member.cards, ended)
    return _changed(member, now, cards=cards), [events.CardBlocked(token)]


def record_consent(member: Member, said: Consent, *, now: datetime) -> Decision:
    """The consent in force where it is the last said; announced where it changes the answer.

    Refuses: TimeInFuture.
    """
    require_past("consent.time", said.time, now)
    consents = in_force([*member.consents, said])
    if consents == member.consents:
        return member, []
    was = answer(member.consents, said.purpose, said.channel)
    happened = [events.ConsentChanged(said)] if was is not said.granted else []
    return _changed(member, now, consents=consents), happened


def _with(cards: Sequence[Card], ended: Card) -> tuple[Card, ...]:
    return tuple(ended if card.token == ended.token else card for card in cards)


def _changed(member: Member, now: datetime, **changes: Any) -> Member:
    return replace(member, version=member.version + 1, update_time=now, **changes)


def _utc(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time is not None else None
