"""Members who may do less, members who may do it again, and members who are forgotten."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from services.members.domain import households, standing
from services.members.domain.members import Member, MemberState
from services.members.domain.requests import Request
from services.members.events import announce
from services.members.storage import erasing, merges, requests
from services.members.storage import members as rows
from services.members.usecases.changing import change_household
from services.members.usecases.locking import locked, locked_all
from services.plumbing.database import transaction


def block_member(
    database: Engine, member_id: UUID, *, reason: str, request: Request, now: datetime
) -> Member:
    """Refuses: MemberNotFound, MemberMerged, MemberErased, RequestIdReused."""
    with transaction(database) as connection:
        if requests.note(connection, request, member_id) is not None:
            return rows.read_member(connection, member_id)
        member = locked(connection, member_id)
        changed, happened = standing.block(member, reason=reason, now=now)
        if happened:
            rows.update_member(connection, changed)
            announce(connection, member_id, happened, now=now)
    return changed


def unblock_member(database: Engine, member_id: UUID, *, request: Request, now: datetime) -> Member:
    """Refuses: MemberNotFound, MemberMerged, MemberErased, RequestIdReused."""
    with transaction(database) as connection:
        if requests.note(connection, request, member_id) is not None:
            return rows.read_member(connection, member_id)
        member = locked(connection, member_id)
        changed, happened = standing.unblock(member, now=now)
        if happened:
            rows.update_member(connection, changed)
            announce(connection, member_id, happened, now=now)
    return changed


def erase_member(
    database: Engine, member_id: UUID, *, reason: str, request: Request, now: datetime
) -> Member:
    """Forget a member and whoever is merged into them; one erased before stays as they are.

    Refuses: MemberNotFound, MemberMerged, RequestIdReused.
    """
    with transaction(database) as connection:
        if requests.note(connection, request, member_id) is not None:
            return rows.read_member(connection, member_id)
        # Nobody is merged into them, and nobody let go, while they are locked.
        merges.lock_merges(connection)
        sources = [source_id for _, source_id in merges.merged_into(connection, [member_id])]
        group = locked_all(connection, [*sources, member_id])
        member = group[member_id]
        standing.require_unmerged(member)
        if member.state is not MemberState.ERASED:
            _forget(connection, member, group, reason=reason, now=now)
        return rows.read_member(connection, member_id)


def _forget(
    connection: Connection,
    member: Member,
    group: dict[UUID, Member],
    *,
    reason: str,
    now: datetime,
) -> None:
    if member.standing.household_id is not None:
        change_household(
            connection,
            member.standing.household_id,
            lambda household: households.forget(household, member.id, now=now),
            now=now,
        )
    erasing.erase(connection, list(group), reason=reason, now=now)
    for each in group.values():
        announce(connection, each.id, standing.erased_events(each, now=now), now=now)
