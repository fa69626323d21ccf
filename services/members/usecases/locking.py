"""Members who are about to be changed."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.members import Member
from services.members.events import lock
from services.members.storage.members import read_member


def locked(connection: Connection, member_id: UUID) -> Member:
    """The member, whom nobody else changes until the transaction ends. Refuses: MemberNotFound."""
    lock(connection, member_id)
    return read_member(connection, member_id)


def locked_all(connection: Connection, member_ids: Iterable[UUID]) -> dict[UUID, Member]:
    """Several members at once. Refuses: MemberNotFound."""
    # By id: two who want the same members must not wait for each other.
    for member_id in sorted(set(member_ids)):
        lock(connection, member_id)
    return {member_id: read_member(connection, member_id) for member_id in member_ids}
