"""Members who turn out to be one person, or not, as `members` tells it.

Nothing changes hands for good: what a merged member did counts for the target, and goes back when
the merge is undone, with all that their wallets did meanwhile. The next close finds both tiers.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.tiering.domain.columns import LONG_AGO
from services.tiering.storage import changed_days, days, grants, members, merges
from services.tiering.usecases.opening import open_day


def merge_members(
    connection: Connection, merge_id: UUID, *, source_id: UUID, target_id: UUID, day: int
) -> None:
    """Let what a member did, and does, count for another. Once; not where it is known as undone.

    Refuses: ValueError where the target is the source by other merges.
    """
    source, target = _both(connection, source_id, target_id, day)
    if not merges.add(connection, merge_id, source=source, target=target):
        return
    root = merges.root_of(connection, target)
    if root == source:
        raise ValueError("the target is the source already")
    merges.join(connection, source, root)
    changed_days.touch(connection, [root], LONG_AGO)


def undo_merge(
    connection: Connection, merge_id: UUID, *, source_id: UUID, target_id: UUID, day: int
) -> None:
    """Let both be whom they would be without the merge."""
    source, target = _both(connection, source_id, target_id, day)
    if not merges.undo(connection, merge_id, source=source, target=target):
        return
    root = merges.root_of(connection, source)
    people = merges.merged_into(connection, source)
    merges.part(connection, people, source=source, root=root)
    changed_days.touch(connection, [source, root], LONG_AGO)


def erase_member(connection: Connection, member_id: UUID, *, now: datetime) -> None:
    """Forget what people wrote about a member, and in which audiences they were.

    What they did, and their tiers, are kept under a name that leads to nobody any more.
    """
    days.lock_closing(connection)
    number = members.find(connection, member_id)
    if number is not None:
        first_day = open_day(connection, None, now)
        grants.end_audiences(connection, number, end_day=first_day, now=now)
        grants.forget_words(connection, number)
        changed_days.touch(connection, [number], first_day)


def _both(connection: Connection, source_id: UUID, target_id: UUID, day: int) -> tuple[int, int]:
    """Their numbers; nobody decides about tiers, or adds to what members did, meanwhile."""
    # In this order, as whoever needs both takes them.
    days.lock_closing(connection)
    merges.lock(connection)
    source = members.number_of(connection, source_id, heard_day=day)
    return source, members.number_of(connection, target_id, heard_day=day)
