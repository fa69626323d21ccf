"""Members' own rows, read together with what belongs to them."""

import json
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.identities import Identity
from services.members.domain.members import Details, Member, MergedCard, Standing
from services.members.domain.refusals import CardNotFound, MemberNotFound
from services.members.storage.cards import cards_of
from services.members.storage.consents import consents_in_force
from services.members.storage.identities import require_all
from services.members.storage.merges import merged_into, roots_of
from services.plumbing.database import text_array

MEMBERS = """
    SELECT members.id, sequence, given_name, family_name, coalesce(email.value, ''),
        coalesce(phone.value, ''), preferences, enrol_time, update_time, version,
        block_time, block_reason, erase_time, household_id,
        EXISTS (SELECT FROM merges WHERE source_id = members.id AND undo_time IS NULL) AS is_source,
        EXISTS (SELECT FROM merges WHERE target_id = members.id AND undo_time IS NULL) AS is_target
    FROM members
    LEFT JOIN household_members ON household_members.member_id = members.id
    LEFT JOIN identities AS email
        ON email.member_id = members.id AND email.single_kind = 'email'
    LEFT JOIN identities AS phone
        ON phone.member_id = members.id AND phone.single_kind = 'phone'"""


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
        " block_time = %(block_time)s, block_reason = %(block_reason)s,"
        " version = %(version)s WHERE id = %(id)s::uuid",
        {
            **_own_columns(changed),
            "block_time": changed.standing.block_time,
            "block_reason": changed.standing.block_reason,
        },
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
    """Whose card it is; that never changes while there is one. Refuses: CardNotFound."""
    member_id: UUID | None = connection.exec_driver_sql(
        "SELECT member_id FROM cards WHERE token = %s", (token,)
    ).scalar_one_or_none()
    if member_id is None:
        raise CardNotFound
    return member_id


def read_member(connection: Connection, member_id: UUID) -> Member:
    """Refuses: MemberNotFound."""
    found = _members(connection, "members.id = %s::uuid", (str(member_id),))
    if not found:
        raise MemberNotFound
    return found[0]


def member_of_identity(connection: Connection, identity: Identity) -> Member:
    """Whose an identity is; where they are merged, whom they count as. Refuses: MemberNotFound."""
    found = _members(
        connection,
        "members.id = (SELECT member_id FROM identities WHERE kind = %s AND value = %s)",
        (identity.kind.value, identity.value),
    )
    if not found:
        raise MemberNotFound
    return counted(connection, found[0])


def counted(connection: Connection, member: Member) -> Member:
    """Whom a member counts as: themselves, unless they are merged."""
    into = member.standing.merged_into
    return member if into is None else read_member(connection, into)


def members_after(connection: Connection, sequence: int, *, limit: int) -> list[Member]:
    """The next members in the order they enrolled."""
    condition = "members.sequence > %s ORDER BY members.sequence LIMIT %s"
    return _members(connection, condition, (sequence, limit))


def _members(
    connection: Connection, condition: str, parameters: tuple[object, ...]
) -> list[Member]:
    """Members with their cards, the consents in force, and those of who is merged into them."""
    # The condition is one of the few above; what a caller sent is in the parameters.
    rows = connection.exec_driver_sql(f"{MEMBERS} WHERE {condition}", parameters).all()
    ids = [row.id for row in rows]
    roots = roots_of(connection, [row.id for row in rows if row.is_source])
    sources = merged_into(connection, [row.id for row in rows if row.is_target])
    cards = cards_of(connection, [*ids, *(source_id for _, source_id in sources)])
    consents = consents_in_force(connection, ids)
    merged: dict[UUID, list[MergedCard]] = {}
    for target_id, source_id in sources:
        theirs = (MergedCard(source_id, card) for card in cards.get(source_id, ()))
        merged.setdefault(target_id, []).extend(theirs)
    return [
        Member(
            id=row.id,
            sequence=row.sequence,
            details=Details(*row[2:7]),
            enrol_time=row.enrol_time,
            update_time=row.update_time,
            version=row.version,
            cards=tuple(cards.get(row.id, ())),
            consents=tuple(consents.get(row.id, ())),
            standing=Standing(
                block_time=row.block_time,
                block_reason=row.block_reason,
                erase_time=row.erase_time,
                merged_into=roots.get(row.id),
                household_id=row.household_id,
            ),
            merged_cards=tuple(merged.get(row.id, ())),
        )
        for row in rows
    ]
