"""Two members become one, and two again."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Engine

from services.members.domain import events, merging
from services.members.domain.merging import Merge
from services.members.domain.requests import Request
from services.members.events import announce
from services.members.storage import members as rows
from services.members.storage import merges, requests
from services.members.usecases.locking import locked_all
from services.plumbing.database import transaction


def merge_members(
    database: Engine,
    source_id: UUID,
    target_id: UUID,
    *,
    reason: str,
    most: int,
    request: Request,
    now: datetime,
) -> Merge:
    """Let a source count as a target; asked again, what became of the merge made the first time.

    Refuses: MergeWithSelf, MemberNotFound, MemberMerged, MemberErased, MemberBlocked,
    MemberInHousehold, TooManyMerged, RequestIdReused.
    """
    merging.require_two(source_id, target_id)
    merge = Merge(uuid4(), source_id, target_id, reason, merge_time=now)
    with transaction(database) as connection:
        first = requests.note(connection, request, merge.id)
        if first is not None:
            return merges.read_merge(connection, first)
        merges.lock_merges(connection)
        both = locked_all(connection, [source_id, target_id])
        others = merges.merged_into(connection, [source_id, target_id])
        merging.require_mergeable(
            both[source_id], both[target_id], together=2 + len(others), most=most
        )
        merges.add_merge(connection, merge)
        merged = events.MembersMerged(merge.id, source_id, now)
        announce(connection, target_id, [merged], now=now)
    return merge


def undo_merge(database: Engine, merge_id: UUID, *, request: Request, now: datetime) -> Merge:
    """Let a source count as nobody else; a merge undone before stays as it is.

    Refuses: MergeNotFound, MemberErased, RequestIdReused.
    """
    with transaction(database) as connection:
        if requests.note(connection, request, merge_id) is not None:
            return merges.read_merge(connection, merge_id)
        merges.lock_merges(connection)
        merge = merges.read_merge(connection, merge_id)
        both = locked_all(connection, [merge.source_id, merge.target_id])
        undone = merging.undo(merge, both[merge.source_id], now=now)
        if undone != merge:
            merges.end_merge(connection, undone)
            happened = events.MergeUndone(merge.id, merge.source_id, now)
            announce(connection, merge.target_id, [happened], now=now)
    return undone


def get_merge(database: Engine, merge_id: UUID) -> Merge:
    """Refuses: MergeNotFound."""
    with transaction(database) as connection:
        return merges.read_merge(connection, merge_id)


def list_merges(
    database: Engine, member_id: UUID, *, before: int | None, limit: int
) -> list[tuple[int, Merge]]:
    """The merges a member took part in, newest first, with their places.

    Refuses: MemberNotFound.
    """
    with transaction(database) as connection:
        rows.read_member(connection, member_id)
        return merges.merges_before(connection, member_id, before, limit=limit)
