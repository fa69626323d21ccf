"""The one table that decides whose an identity is."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.identities import Identity, IdentityKind
from services.members.domain.refusals import IdentityTaken
from services.plumbing.database import text_array


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
    require_all(wanted, rows)


def require_all(wanted: Sequence[Identity], taken: Iterable[Sequence[Any]]) -> None:
    """Refuses: IdentityTaken for the first that the unique key did not let us take."""
    got = {Identity(IdentityKind(kind), value) for kind, value in taken}
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
