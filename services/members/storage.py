"""Members in PostgreSQL: rows to domain and back.

Who changes a member locks their row before writing anything else, in a statement of its own: only
statements after it see what the one who held the lock before has committed.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.consents import Consent, Recorded
from services.members.domain.identities import Identity, IdentityKind
from services.members.domain.members import Card, CardState, Details, Member
from services.members.domain.refusals import (
    CardNotFound,
    IdentityTaken,
    MemberNotFound,
    RequestIdReused,
)
from services.plumbing.database import array, text_array


def note_request(
    connection: Connection, request_id: UUID, fingerprint: bytes, member_id: UUID
) -> int | None:
    """Reserve a request_id for a member to be. Returns the sequence to enrol them with.

    Waits while another enrolment under the same request_id is under way; None when it was done.
    """
    noted: int | None = connection.exec_driver_sql(
        "INSERT INTO enrolment_requests (request_id, fingerprint, member_id)"
        " VALUES (%s::uuid, %s, %s::uuid) ON CONFLICT DO NOTHING RETURNING nextval('enrolments')",
        (str(request_id), fingerprint, str(member_id)),
    ).scalar_one_or_none()
    return noted


def member_of_request(connection: Connection, request_id: UUID, fingerprint: bytes) -> Member:
    """The member enrolled under a request_id noted before. Refuses: RequestIdReused."""
    row = connection.exec_driver_sql(
        "SELECT member_id, fingerprint FROM enrolment_requests WHERE request_id = %s::uuid",
        (str(request_id),),
    ).one()
    if bytes(row[1]) != fingerprint:
        raise RequestIdReused
    return member(connection, row[0])


def add_member(connection: Connection, added: Member) -> None:
    """Refuses: IdentityTaken."""
    details = added.details
    connection.exec_driver_sql(
        "INSERT INTO members (id, sequence, given_name, family_name, preferences, enrol_time,"
        " update_time, version) VALUES (%s::uuid, %s, %s, %s, %s::jsonb, %s, %s, %s)",
        (
            str(added.id),
            added.sequence,
            details.given_name,
            details.family_name,
            json.dumps(dict(details.preferences)),
            added.enrol_time,
            added.update_time,
            added.version,
        ),
    )
    add_identities(connection, added.id, added.identities)
    for card in added.cards:
        add_card(connection, added.id, card)


def add_identities(
    connection: Connection, member_id: UUID, identities: Collection[Identity]
) -> None:
    """Refuses: IdentityTaken, decided by the unique key, whoever came at the same moment."""
    # In key order: two members who want the same two identities must not wait for each other.
    wanted = sorted(identities)
    rows = connection.exec_driver_sql(
        "INSERT INTO identities (kind, value, member_id)"
        " SELECT kind, value, %s::uuid FROM unnest(%s::text[], %s::text[]) AS wanted (kind, value)"
        " ON CONFLICT (kind, value) DO NOTHING RETURNING kind, value",
        (
            str(member_id),
            text_array(identity.kind for identity in wanted),
            text_array(identity.value for identity in wanted),
        ),
    )
    got = {Identity(IdentityKind(kind), value) for kind, value in rows}
    for identity in wanted:
        if identity not in got:
            raise IdentityTaken(identity.kind)


def change_contacts(
    connection: Connection,
    member_id: UUID,
    *,
    old: Collection[Identity],
    new: Collection[Identity],
) -> None:
    """Give up some identities and take others. Refuses: IdentityTaken."""
    # One by one in key order: two members who swap what they have must not wait for each other.
    for identity in sorted(set(old) ^ set(new)):
        if identity in new:
            add_identities(connection, member_id, [identity])
        else:
            connection.exec_driver_sql(
                "DELETE FROM identities WHERE kind = %s AND value = %s",
                (identity.kind.value, identity.value),
            )


def add_card(connection: Connection, member_id: UUID, card: Card) -> None:
    """A card whose identity the member has."""
    connection.exec_driver_sql(
        "INSERT INTO cards (token, member_id, state, issue_time) VALUES (%s, %s::uuid, %s, %s)",
        (card.token, str(member_id), card.state.value, card.issue_time),
    )


def issue_card(connection: Connection, member_id: UUID, card: Card) -> None:
    """Refuses: IdentityTaken."""
    add_identities(connection, member_id, [Identity(IdentityKind.CARD, card.token)])
    add_card(connection, member_id, card)


def end_card(connection: Connection, card: Card) -> None:
    connection.exec_driver_sql(
        "UPDATE cards SET state = %s, end_time = %s, replaced_by = %s, block_reason = %s"
        " WHERE token = %s",
        (card.state.value, card.end_time, card.replaced_by, card.block_reason, card.token),
    )


def update_member(connection: Connection, changed: Member) -> None:
    """Write what stands in the member's own row."""
    details = changed.details
    connection.exec_driver_sql(
        "UPDATE members SET given_name = %s, family_name = %s, preferences = %s::jsonb,"
        " update_time = %s, version = %s WHERE id = %s::uuid",
        (
            details.given_name,
            details.family_name,
            json.dumps(dict(details.preferences)),
            changed.update_time,
            changed.version,
            str(changed.id),
        ),
    )


def add_consents(connection: Connection, member_id: UUID, said: Iterable[Consent]) -> int:
    """Record consents in the order given. Returns how many were not recorded before."""
    return sum(_add_consent(connection, member_id, consent) for consent in said)


def _add_consent(connection: Connection, member_id: UUID, said: Consent) -> int:
    return connection.exec_driver_sql(
        "INSERT INTO consents (member_id, purpose, channel, granted, time, method, source)"
        " VALUES (%s::uuid, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            str(member_id),
            said.purpose,
            said.channel,
            said.granted,
            said.time,
            said.method,
            said.source,
        ),
    ).rowcount


def lock_member(connection: Connection, member_id: UUID) -> Member:
    """The member, whom nobody else changes until this transaction ends. Refuses: MemberNotFound."""
    connection.exec_driver_sql(
        "SELECT id FROM members WHERE id = %s::uuid FOR NO KEY UPDATE", (str(member_id),)
    )
    return member(connection, member_id)


def lock_member_of_card(connection: Connection, token: str) -> Member:
    """The member who holds a card, locked as by lock_member. Refuses: CardNotFound."""
    member_id = connection.exec_driver_sql(
        "SELECT members.id FROM cards JOIN members ON members.id = cards.member_id"
        " WHERE cards.token = %s FOR NO KEY UPDATE OF members",
        (token,),
    ).scalar_one_or_none()
    if member_id is None:
        raise CardNotFound
    return member(connection, member_id)


def require_member(connection: Connection, member_id: UUID) -> None:
    """Refuses: MemberNotFound."""
    found = connection.exec_driver_sql(
        "SELECT FROM members WHERE id = %s::uuid", (str(member_id),)
    ).one_or_none()
    if found is None:
        raise MemberNotFound


def member(connection: Connection, member_id: UUID) -> Member:
    """Refuses: MemberNotFound."""
    found = _members(connection, "members.id = %s::uuid", (str(member_id),))
    if not found:
        raise MemberNotFound
    return found[0]


def member_of_identity(connection: Connection, identity: Identity) -> Member:
    """Refuses: MemberNotFound."""
    found = _members(
        connection,
        "members.id = (SELECT member_id FROM identities WHERE kind = %s AND value = %s)",
        (identity.kind.value, identity.value),
    )
    if not found:
        raise MemberNotFound
    return found[0]


def members_after(connection: Connection, sequence: int, *, limit: int) -> list[Member]:
    """The next members in the order they enrolled."""
    condition = "members.sequence > %s ORDER BY members.sequence LIMIT %s"
    return _members(connection, condition, (sequence, limit))


def consents_before(
    connection: Connection, member_id: UUID, before: tuple[datetime, int] | None, *, limit: int
) -> list[Recorded]:
    """What a member said, newest first, from before a time and the id recorded then."""
    time, recorded = before or (None, None)
    rows = connection.exec_driver_sql(
        "SELECT id, purpose, channel, granted, time, method, source FROM consents"
        " WHERE member_id = %s::uuid AND (%s::timestamptz IS NULL OR (time, id) < (%s, %s))"
        " ORDER BY time DESC, id DESC LIMIT %s",
        (str(member_id), time, time, recorded, limit),
    )
    return [Recorded(row[0], Consent(*row[1:])) for row in rows]


def _members(
    connection: Connection, condition: str, parameters: tuple[object, ...]
) -> list[Member]:
    """Members with their cards and the consents in force."""
    rows = connection.exec_driver_sql(
        # The condition is one of the few above; what a caller sent is in the parameters.
        "SELECT members.id, sequence, given_name, family_name, coalesce(email.value, ''),"  # noqa: S608
        " coalesce(phone.value, ''), preferences, enrol_time, update_time, version FROM members"
        " LEFT JOIN identities AS email"
        " ON email.member_id = members.id AND email.single_kind = 'email'"
        " LEFT JOIN identities AS phone"
        f" ON phone.member_id = members.id AND phone.single_kind = 'phone' WHERE {condition}",
        parameters,
    ).all()
    ids = [row[0] for row in rows]
    cards = _cards(connection, ids)
    consents = _consents(connection, ids)
    return [
        Member(
            id=row[0],
            sequence=row[1],
            details=Details(*row[2:7]),
            enrol_time=row[7],
            update_time=row[8],
            version=row[9],
            cards=tuple(cards.get(row[0], ())),
            consents=tuple(consents.get(row[0], ())),
        )
        for row in rows
    ]


def _cards(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[Card]]:
    rows = connection.exec_driver_sql(
        "SELECT member_id, token, state, issue_time, end_time, replaced_by, block_reason FROM cards"
        " WHERE member_id = ANY(%s::uuid[]) ORDER BY issue_time, token",
        (array(ids),),
    )
    cards: dict[UUID, list[Card]] = {}
    for member_id, token, state, *rest in rows:
        cards.setdefault(member_id, []).append(Card(token, CardState(state), *rest))
    return cards


def _consents(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[Consent]]:
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT ON (member_id, purpose, channel)"
        " member_id, purpose, channel, granted, time, method, source FROM consents"
        " WHERE member_id = ANY(%s::uuid[])"
        " ORDER BY member_id, purpose, channel, time DESC, id DESC",
        (array(ids),),
    )
    consents: dict[UUID, list[Consent]] = {}
    for member_id, *said in rows:
        consents.setdefault(member_id, []).append(Consent(*said))
    return consents
