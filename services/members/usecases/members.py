"""Who is a member, by which cards and contacts, and what they agreed to."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Engine

from services.members.domain import members
from services.members.domain.consents import Consent, Recorded
from services.members.domain.identities import Identity
from services.members.domain.members import Details, Enrolment, Member
from services.members.domain.requests import Request
from services.members.domain.standing import require_present, require_unmerged
from services.members.events import announce
from services.members.storage import cards, consents, identities, merges, requests
from services.members.storage import members as rows
from services.members.usecases.locking import locked
from services.plumbing.database import transaction


def enrol_member(
    database: Engine, enrolment: Enrolment, *, request_id: UUID, now: datetime
) -> Member:
    """A new member; asked again under the same request_id, the one enrolled the first time.

    Refuses: RequestIdReused, TimeInFuture, IdentityTaken. A refusal leaves nothing behind.
    """
    request = Request(request_id, members.fingerprint(enrolment))
    member_id = uuid4()
    with transaction(database) as connection:
        sequence = requests.note_enrolment(connection, request, member_id)
        if sequence is None:
            first = requests.subject_of(connection, request)
            return rows.read_member(connection, first)
        member, happened = members.enrol(enrolment, member_id=member_id, sequence=sequence, now=now)
        rows.add_member(connection, member)
        consents.add_consents(connection, member_id, enrolment.consents)
        announce(connection, member_id, happened, now=now)
    return member


def get_member(database: Engine, member_id: UUID) -> Member:
    """Refuses: MemberNotFound."""
    with transaction(database) as connection:
        return rows.read_member(connection, member_id)


def find_member(database: Engine, identity: Identity) -> Member:
    """Whom an identity leads to, at the end of all merges. Refuses: MemberNotFound."""
    with transaction(database) as connection:
        return rows.member_of_identity(connection, identity)


def list_members(database: Engine, *, after: int, limit: int) -> list[Member]:
    """The next members in the order they enrolled."""
    with transaction(database) as connection:
        return rows.members_after(connection, after, limit=limit)


def update_member(
    database: Engine,
    member_id: UUID,
    details: Details,
    fields: Collection[str],
    *,
    etag: str,
    now: datetime,
) -> Member:
    """Replace some of a member's details.

    Refuses: MemberNotFound, MemberMerged, MemberErased, StaleEtag, IdentityTaken.
    """
    with transaction(database) as connection:
        member = locked(connection, member_id)
        require_present(member)
        changed = members.change_details(member, details, fields, etag=etag, now=now)
        if changed.version != member.version:
            identities.change_contacts(
                connection, member_id, old=member.contacts, new=changed.contacts
            )
            rows.update_member(connection, changed)
    return changed


def issue_card(database: Engine, member_id: UUID, token: str, *, now: datetime) -> Member:
    """Refuses: MemberNotFound, MemberMerged, MemberErased, IdentityTaken."""
    with transaction(database) as connection:
        member = locked(connection, member_id)
        require_present(member)
        changed, happened = members.issue_card(member, token, now=now)
        if happened:
            cards.issue_card(connection, member_id, changed.held_card(token))
            rows.update_member(connection, changed)
            announce(connection, member_id, happened, now=now)
    return changed


def replace_card(database: Engine, old_token: str, new_token: str, *, now: datetime) -> Member:
    """A merged member's card too: the new one is theirs. Answers whom they count as.

    Refuses: CardNotFound, CardBlocked, IdentityTaken.
    """
    with transaction(database) as connection:
        member = locked(connection, rows.member_id_of_card(connection, old_token))
        changed, happened = members.replace_card(member, old_token, new_token, now=now)
        if happened:
            cards.issue_card(connection, member.id, changed.held_card(new_token))
            cards.end_card(connection, changed.held_card(old_token))
            rows.update_member(connection, changed)
            announce(connection, member.id, happened, now=now)
        return rows.counted(connection, changed)


def block_card(database: Engine, token: str, *, reason: str, now: datetime) -> Member:
    """A merged member's card too: a lost one must not wait. Answers whom they count as.

    Refuses: CardNotFound.
    """
    with transaction(database) as connection:
        member = locked(connection, rows.member_id_of_card(connection, token))
        changed, happened = members.block_card(member, token, reason=reason, now=now)
        if happened:
            cards.end_card(connection, changed.held_card(token))
            rows.update_member(connection, changed)
            announce(connection, member.id, happened, now=now)
        return rows.counted(connection, changed)


def record_consent(database: Engine, member_id: UUID, said: Consent, *, now: datetime) -> Consent:
    """Keep what a member said, with its proof.

    Refuses: MemberNotFound, MemberMerged, MemberErased, TimeInFuture.
    """
    with transaction(database) as connection:
        member = locked(connection, member_id)
        require_present(member)
        changed, happened = members.record_consent(member, said, now=now)
        if consents.add_consents(connection, member_id, [said]):
            if changed.version != member.version:
                rows.update_member(connection, changed)
            announce(connection, member_id, happened, now=now)
    return said


def list_consents(
    database: Engine, member_id: UUID, *, before: tuple[datetime, int] | None, limit: int
) -> list[Recorded]:
    """What a member, or who is merged into them, ever said, newest first.

    Refuses: MemberNotFound, MemberMerged.
    """
    with transaction(database) as connection:
        require_unmerged(rows.read_member(connection, member_id))
        sources = [source_id for _, source_id in merges.merged_into(connection, [member_id])]
        return consents.consents_before(connection, [member_id, *sources], before, limit=limit)
