"""What `members` announces of merges, told to tiering, and what tiering then makes of members."""

import uuid
from typing import Any

from loyalty.members.v1 import events_pb2

from tests.service.tiering_calls import Tiering, envelope, micros

# What members did, by whom it counts for and who did it.
COUNTED = """
    SELECT counting.member_id::text, doing.member_id::text, day, sum(points)::int
    FROM activity JOIN members AS counting ON counting.number = activity.member
    JOIN members AS doing ON doing.number = coalesce(activity.origin, activity.member)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def merge(
    tiering: Tiering, source: str, target: str, day: str = "2017-01-03", name: str = ""
) -> str:
    """The name of the merge."""
    name = name or f"merges/{uuid.uuid4()}"
    event = events_pb2.MembersMerged(merge=name, source=source, target=target)
    event.merge_time.FromMicroseconds(micros(day))
    tiering.reactions.members_merged(envelope("members", event))
    return name


def undo(tiering: Tiering, name: str, source: str, target: str, day: str = "2017-01-04") -> None:
    event = events_pb2.MergeUndone(merge=name, source=source, target=target)
    event.undo_time.FromMicroseconds(micros(day))
    tiering.reactions.merge_undone(envelope("members", event))


def erase(tiering: Tiering, member: str) -> None:
    event = events_pb2.MemberErased(member=member)
    event.erase_time.FromMicroseconds(micros("2017-01-05"))
    tiering.reactions.member_erased(envelope("members", event))


def states(tiering: Tiering, member: str) -> list[tuple[Any, ...]]:
    """All that is stored of a member's tier."""
    number = f"(SELECT number FROM members WHERE member_id = '{member.removeprefix('members/')}')"
    rows = tiering.rows(f"SELECT to_jsonb(states) - 'member' FROM states WHERE member = {number}")
    return [(row[0],) for row in rows]
