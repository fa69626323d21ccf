"""Members who turned out to be one person.

A merge moves nothing. It says that its source counts as its target; whose cards, consents and
points something is never changes, so undoing a merge leaves nothing to be put back.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.members.domain.members import Member
from services.members.domain.refusals import (
    MemberErased,
    MemberInHousehold,
    MergeWithSelf,
    TooManyMerged,
)
from services.members.domain.standing import require_active


@dataclass(frozen=True, slots=True)
class Merge:
    id: UUID
    source_id: UUID
    target_id: UUID
    reason: str
    merge_time: datetime
    # None while it is in force.
    undo_time: datetime | None = None


def require_two(source_id: UUID, target_id: UUID) -> None:
    """Refuses: MergeWithSelf."""
    if source_id == target_id:
        raise MergeWithSelf


def require_mergeable(source: Member, target: Member, *, together: int, most: int) -> None:
    """That the source may count as the target. together is how many members are one then.

    Neither may be merged already, so merges form no circle.
    Refuses: MemberErased, MemberMerged, MemberBlocked, MemberInHousehold, TooManyMerged.
    """
    for member in (source, target):
        require_active(member)
    if source.standing.household_id is not None:
        raise MemberInHousehold
    if together > most:
        raise TooManyMerged(most)


def undo(merge: Merge, source: Member, *, now: datetime) -> Merge:
    """The merge that is in force no more; one undone before stays as it is.

    Refuses: MemberErased: who is forgotten cannot be somebody again.
    """
    if merge.undo_time is not None:
        return merge
    if source.standing.erase_time is not None:
        raise MemberErased
    return replace(merge, undo_time=now)
