"""Requests to the domain's words, and members to messages."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from loyalty.members.v1 import members_pb2

from services.members.domain import identities, members
from services.members.domain.consents import Consent
from services.members.domain.identities import Identity, IdentityKind
from services.members.domain.members import (
    Card,
    CardState,
    Details,
    Enrolment,
    Member,
    MemberState,
)
from services.members.domain.names import household_name, member_name
from services.members.domain.refusals import MemberNotFound
from services.plumbing.pages import PageTokenInvalid, page_token, read_page_token
from services.plumbing.timestamps import read_timestamp, timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CARD_STATES = {
    CardState.ACTIVE: members_pb2.Card.STATE_ACTIVE,
    CardState.REPLACED: members_pb2.Card.STATE_REPLACED,
    CardState.BLOCKED: members_pb2.Card.STATE_BLOCKED,
}
STATES = {
    MemberState.ACTIVE: members_pb2.Member.STATE_ACTIVE,
    MemberState.BLOCKED: members_pb2.Member.STATE_BLOCKED,
    MemberState.MERGED: members_pb2.Member.STATE_MERGED,
    MemberState.ERASED: members_pb2.Member.STATE_ERASED,
}


def read_enrolment(request: members_pb2.EnrolMemberRequest) -> Enrolment:
    """Refuses: RawCardNumber, InvalidCardToken, InvalidPhone, Invalid."""
    token, phone = request.card_token, request.phone
    joined = request.enrol_time if request.HasField("enrol_time") else None
    return Enrolment(
        details=Details(
            given_name=request.given_name,
            family_name=request.family_name,
            email=identities.email(request.email),
            phone=identities.phone(phone, request.region_code) if phone else "",
            preferences=dict(request.preferences),
        ),
        card_token=identities.new_card_token(token) if token else "",
        consents=tuple(
            read_consent(said, field=f"consents[{position}]")
            for position, said in enumerate(request.consents)
        ),
        enrol_time=read_timestamp(joined, field="enrol_time") if joined else None,
    )


def read_mask(request: members_pb2.UpdateMemberRequest) -> frozenset[str]:
    """The fields to change. Refuses: UnknownField."""
    populated = {field.name for field, _ in request.member.ListFields()}
    return members.fields_to_change(request.update_mask.paths, populated)


def read_details(member: members_pb2.Member, fields: Collection[str], region_code: str) -> Details:
    """What an update brings; a phone is read only where it is to change. Refuses: InvalidPhone."""
    phone = member.phone if "phone" in fields else ""
    return Details(
        given_name=member.given_name,
        family_name=member.family_name,
        email=identities.email(member.email),
        phone=identities.phone(phone, region_code, field="member.phone") if phone else "",
        preferences=dict(member.preferences),
    )


def read_identity(request: members_pb2.FindMemberRequest) -> Identity:
    """Refuses: RawCardNumber, InvalidPhone, InvalidMembershipNumber, MemberNotFound."""
    kind = IdentityKind(request.WhichOneof("identity") or "")
    if kind is IdentityKind.CARD:
        token = identities.issued_card_token(request.card_token, missing=MemberNotFound)
        return Identity(kind, token)
    if kind is IdentityKind.EMAIL:
        return Identity(kind, identities.email(request.email))
    if kind is IdentityKind.PHONE:
        return Identity(kind, identities.phone(request.phone, request.region_code))
    return Identity(kind, identities.read_membership_number(request.membership_number))


def read_consent(said: members_pb2.Consent, *, field: str) -> Consent:
    """Refuses: Invalid."""
    return Consent(
        purpose=said.purpose,
        channel=said.channel,
        granted=said.granted,
        time=read_timestamp(said.time, field=f"{field}.time"),
        method=said.method,
        source=said.source,
    )


def member(found: Member) -> members_pb2.Member:
    details = found.details
    standing = found.standing
    # The number of who is erased would lead to whoever has kept it.
    erased = found.state is MemberState.ERASED
    return members_pb2.Member(
        name=member_name(found.id),
        membership_number="" if erased else found.membership_number,
        given_name=details.given_name,
        family_name=details.family_name,
        email=details.email,
        phone=details.phone,
        cards=cards(found),
        preferences=details.preferences,
        consents=map(consent, found.consents),
        enrol_time=timestamp(found.enrol_time),
        update_time=timestamp(found.update_time),
        etag=found.etag,
        state=STATES[found.state],
        merged_into=member_name(standing.merged_into) if standing.merged_into else "",
        household=household_name(standing.household_id) if standing.household_id else "",
        block_reason=standing.block_reason or "",
    )


def cards(found: Member) -> list[members_pb2.Card]:
    """A member's own cards and those of who is merged into them, in the order of their issue."""
    held = [(each, "") for each in found.cards]
    if found.merged_cards:
        held += [(each.card, member_name(each.member_id)) for each in found.merged_cards]
        held.sort(key=lambda each: (each[0].issue_time, each[0].token))
    return [card(each, merged_from) for each, merged_from in held]


def card(held: Card, merged_from: str) -> members_pb2.Card:
    return members_pb2.Card(
        card_token=held.token,
        state=CARD_STATES[held.state],
        issue_time=timestamp(held.issue_time),
        end_time=timestamp(held.end_time) if held.end_time else None,
        merged_from=merged_from,
    )


def consent(said: Consent) -> members_pb2.Consent:
    return members_pb2.Consent(
        purpose=said.purpose,
        channel=said.channel,
        granted=said.granted,
        time=timestamp(said.time),
        method=said.method,
        source=said.source,
    )


def place_token(time: datetime, recorded: int) -> str:
    """A page token of where a list by time and id ended."""
    return page_token((time - EPOCH) // MICROSECOND, recorded)


def read_place(token: str) -> tuple[datetime, int] | None:
    """Where the last page ended. Refuses: PageTokenInvalid."""
    keys = read_page_token(token, int, int)
    if keys is None:
        return None
    try:
        return EPOCH + int(keys[0]) * MICROSECOND, int(keys[1])
    except OverflowError:
        raise PageTokenInvalid from None
