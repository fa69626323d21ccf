"""Who is whom since members were merged, and whose what they did is.

A merged member's rows stand under the number of their root and keep the member's own as `origin`:
who reads a member reads all that counts for them, and an undone merge finds what goes back.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.database import array
from services.tiering.domain.columns import NEVER, GrantKind
from services.tiering.domain.refusals import MemberMerged
from services.tiering.storage import locks
from services.tiering.storage.slices import slice_of


def lock(connection: Connection) -> None:
    """Let nobody add to what members did until the connection's transaction ends."""
    locks.take(connection, "merges")


def lock_out(connection: Connection) -> None:
    """Let nobody be merged until the connection's transaction ends; any number may do this."""
    locks.share(connection, "merges")


def add(connection: Connection, merge_id: UUID, *, source: int, target: int) -> bool:
    """Note a merge; False where it is known, be it as undone."""
    noted = connection.exec_driver_sql(
        "INSERT INTO merges (merge_id, source, target) VALUES (%s::uuid, %s, %s)"
        " ON CONFLICT (merge_id) DO NOTHING",
        (str(merge_id), source, target),
    )
    return bool(noted.rowcount)


def undo(connection: Connection, merge_id: UUID, *, source: int, target: int) -> bool:
    """Note that a merge is undone; False where it did not stand."""
    stood = connection.exec_driver_sql(
        "UPDATE merges SET undone = true WHERE merge_id = %s::uuid AND NOT undone",
        (str(merge_id),),
    )
    if not stood.rowcount:
        connection.exec_driver_sql(
            "INSERT INTO merges (merge_id, source, target, undone) VALUES (%s::uuid, %s, %s, true)"
            " ON CONFLICT (merge_id) DO NOTHING",
            (str(merge_id), source, target),
        )
    return bool(stood.rowcount)


def root_of(connection: Connection, number: int) -> int:
    """Who a member is now: themself, unless merged."""
    found: int = connection.exec_driver_sql(
        "SELECT coalesce(root, number) FROM members WHERE number = %s", (number,)
    ).scalar_one()
    return found


def refuse_merged(connection: Connection, number: int) -> None:
    """Refuses: MemberMerged."""
    into: UUID | None = connection.exec_driver_sql(
        "SELECT whole.member_id FROM members JOIN members AS whole ON whole.number = members.root"
        " WHERE members.number = %s",
        (number,),
    ).scalar_one_or_none()
    if into is not None:
        raise MemberMerged(into)


def merged_into(connection: Connection, number: int) -> list[int]:
    """A member and all who were merged into them, or into those, by merges that stand."""
    rows = connection.exec_driver_sql(
        "WITH RECURSIVE found (number) AS (SELECT %s::int UNION"
        " SELECT source FROM merges JOIN found ON target = found.number WHERE NOT undone)"
        " SELECT number FROM found ORDER BY number",
        (number,),
    )
    return list(rows.scalars())


def join(connection: Connection, source: int, root: int) -> None:
    """Let a member, and who was merged into them, be another: all they did counts there."""
    connection.exec_driver_sql(
        "UPDATE members SET root = %(root)s WHERE number = %(source)s OR root = %(source)s",
        {"source": source, "root": root},
    )
    connection.exec_driver_sql(
        "UPDATE activity SET slice = %s, member = %s, origin = coalesce(origin, %s)"
        " WHERE slice = %s AND member = %s",
        (slice_of(root), root, source, slice_of(source), source),
    )
    connection.exec_driver_sql(
        "UPDATE grants SET member = %s, origin = coalesce(origin, %s)"
        # Exactly a tier is said of one person.
        " WHERE member = %s AND kind <> %s",
        (root, source, source, GrantKind.EXACTLY.value),
    )
    _let_sleep(connection, source)


def part(connection: Connection, people: Sequence[int], *, source: int, root: int) -> None:
    """Let a member be themself again, and the people merged into them be that member."""
    numbers = array(people)
    connection.exec_driver_sql(
        "UPDATE members SET root = nullif(%s, number) WHERE number = ANY(%s::int[])",
        (source, numbers),
    )
    connection.exec_driver_sql(
        "UPDATE activity SET slice = %s, member = %s, origin = nullif(origin, %s)"
        " WHERE slice = %s AND member = %s AND origin = ANY(%s::int[])",
        (slice_of(source), source, source, slice_of(root), root, numbers),
    )
    connection.exec_driver_sql(
        "UPDATE grants SET member = %s, origin = nullif(origin, %s)"
        " WHERE member = %s AND origin = ANY(%s::int[])",
        (source, source, root, numbers),
    )


def _let_sleep(connection: Connection, number: int) -> None:
    """What is known of a merged member's tiers stays as it is."""
    connection.exec_driver_sql(
        "UPDATE states SET wake_day = %s FROM tier_groups"
        " WHERE group_id = tier_groups.id AND member = %s",
        (NEVER, number),
    )
