"""Members' own rows, read together with what belongs to them."""

import json
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.identities import Identity
from services.members.domain.members import Details, Member
from services.members.domain.refusals import CardNotFound, MemberNotFound
from services.members.storage.cards import cards_of
from services.members.storage.consents import consents_in_force
from services.members.storage.identities import require_all
from services.plumbing.database import text_array


def add_member(connection: Connection, added: Member) -> None:
    """A new member with their identities and cards, in one round trip. Refuses: IdentityTaken."""
    wanted = sorted(added.identities)
    rows = connection.exec_driver_sql(
        "WITH member AS (INSERT INTO members (id, sequence, given_name, family_name, preferences,"
        " enrol_time, update_time, version) VALUES (%(id)s::uuid, %(sequence)s, %(given_name)s,"
        " %(family_name)s, %(preferences)s::jsonb, %(enrol_time)s, %(update_time)s, %(version)s)),"
        " taken AS (INSERT INTO identities (kind, value, member_id)"
        " SELECT kind, value, %(id)s::uuid FROM unnest(%(kinds)s::text[], %(values)s::text[])"
        " AS wanted (kind, value) ON CONFLICT (kind, value) DO NOTHING RETURNING kind, value),"
        " issued AS (INSERT INTO cards (token, member_id, state, issue_time)"
        " SELECT value, %(id)s::uuid, 'active', %(enrol_time)s FROM taken"
        " WHERE kind = 'card_token') SELECT kind, value FROM taken",
        {
            **_own_columns(added),
            "sequence": added.sequence,
            "enrol_time": added.enrol_time,
            "kinds": text_array(identity.kind for identity in wanted),
            "values": text_array(identity.value for identity in wanted),
        },
    )
    require_all(wanted, rows)


def update_member(connection: Connection, changed: Member) -> None:
    """Write what may change in the member's own row."""
    connection.exec_driver_sql(
        "UPDATE members SET given_name = %(given_name)s, family_name = %(family_name)s,"
        " preferences = %(preferences)s::jsonb, update_time = %(update_time)s,"
        " version = %(version)s WHERE id = %(id)s::uuid",
        _own_columns(changed),
    )


def _own_columns(written: Member) -> dict[str, object]:
    return {
        "id": str(written.id),
        "given_name": written.details.given_name,
        "family_name": written.details.family_name,
        "preferences": json.dumps(dict(written.details.preferences)),
        "update_time": written.update_time,
        "version": written.version,
    }


def member_id_of_card(connection: Connection, token: str) -> UUID:
    """Whose card it is; that never changes. Refuses: CardNotFound."""
    member_id: UUID | None = connection.exec_driver_sql(
        "SELECT member_id FROM cards WHERE token = %s", (token,)
    ).scalar_one_or_none()
    if member_id is None:
        raise CardNotFound
    return member_id


def require_member(connection: Connection, member_id: UUID) -> None:
    """Refuses: MemberNotFound."""
    found = connection.exec_driver_sql(
        "SELECT FROM members WHERE id = %s::uuid", (str(member_id),)
    ).one_or_none()
    if found is None:
        raise MemberNotFound


def read_member(connection: Connection, member_id: UUID) -> Member:
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


def _members(
    connection: Connection, condition: str, parameters: tuple[object, ...]
) -> list[Member]:
    """Members with their cards and the consents in force."""
    rows = connection.exec_driver_sql(
        # The condition is one of the few above; what a caller sent is in the parameters.
        "SELECT members.id, sequence, given_name, family_name, coalesce(email.value, ''),"
        " coalesce(phone.value, ''), preferences, enrol_time, update_time, version FROM members"
        " LEFT JOIN identities AS email"
        " ON email.member_id = members.id AND email.single_kind = 'email'"
        " LEFT JOIN identities AS phone"
        f" ON phone.member_id = members.id AND phone.single_kind = 'phone' WHERE {condition}",
        parameters,
    ).all()
    ids = [row[0] for row in rows]
    cards = cards_of(connection, ids)
    consents = consents_in_force(connection, ids)
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
