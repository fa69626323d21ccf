"""Previews: what was asked, and the answer slice by slice as it is computed."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.database import array
from services.tiering.domain import rules as rules_domain
from services.tiering.domain.preview import Movers, PreviewPart, decode_part, encode_part
from services.tiering.domain.refusals import PreviewNotFound
from services.tiering.domain.rules import RuleSet
from services.tiering.storage.columns import copy_rows

# A slice of ten million members, sorted on a slow disk.
STATEMENT_SECONDS_MAX = 600
# A slice of a million members is packed in as much; what is beyond goes by way of the disk.
WORK_MEMORY = "256MB"
CLAIM_SECONDS_MAX = 2.0
CLAIM_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Preview:
    """What was asked. rules are the draft's as they were then; days count from 1970-01-01."""

    id: UUID
    group_id: int
    group: str
    version: int
    rules: RuleSet
    compared_version: int | None
    effective_day: int
    replay_from_day: int
    point_value_minor: Decimal
    members: int
    slices: Sequence[int]
    creator: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Mover:
    """A member whose tier would be another."""

    number: int
    member_id: UUID
    old_tier: str
    new_tier: str
    points: int
    spend_minor: int
    visits: int


def add(connection: Connection, preview: Preview) -> None:
    connection.exec_driver_sql(
        "INSERT INTO previews (id, group_id, version, rules, compared_version, effective_day,"
        " replay_from_day, point_value_minor, members, slices, creator, create_time)"
        " VALUES (%s::uuid, %s, %s, %s::json, %s, %s, %s, %s, %s, %s::smallint[], %s, %s)",
        (
            str(preview.id),
            preview.group_id,
            preview.version,
            rules_domain.encode(preview.rules).decode(),
            preview.compared_version,
            preview.effective_day,
            preview.replay_from_day,
            preview.point_value_minor,
            preview.members,
            array(preview.slices),
            preview.creator,
            preview.create_time,
        ),
    )


def read(connection: Connection, preview_id: UUID) -> Preview:
    """Refuses: PreviewNotFound."""
    row = connection.exec_driver_sql(
        "SELECT previews.id, group_id, tier_groups.name, version, rules::text, compared_version,"
        " effective_day, replay_from_day, point_value_minor, members, slices, creator, create_time"
        " FROM previews JOIN tier_groups ON tier_groups.id = group_id WHERE previews.id = %s::uuid",
        (str(preview_id),),
    ).one_or_none()
    if row is None:
        raise PreviewNotFound
    values = list(row)
    values[4] = rules_domain.decode(values[4])
    return Preview(*values)


@contextmanager
def claimed(connection: Connection, preview_id: UUID) -> Iterator[bool]:
    """Whether nobody else computes a preview until the end of the block.

    Waits a little: the database may not have seen yet that who computed it was stopped.
    """
    key = str(preview_id)
    deadline = time.monotonic() + CLAIM_SECONDS_MAX
    while not (got := _claim(connection, key)) and time.monotonic() < deadline:
        time.sleep(CLAIM_POLL_SECONDS)
    try:
        yield got
    finally:
        if got:
            connection.exec_driver_sql("SELECT pg_advisory_unlock(hashtextextended(%s, 1))", (key,))
            connection.commit()


def _claim(connection: Connection, key: str) -> bool:
    got: bool = connection.exec_driver_sql(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 1))", (key,)
    ).scalar_one()
    connection.commit()
    return got


def take_snapshot(connection: Connection) -> None:
    """Let a transaction see one state of the database, and write nothing; its first statement."""
    connection.exec_driver_sql(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
        f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS_MAX}s';"
        # One core; the others are the tills'.
        "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off;"
        f"SET LOCAL work_mem = '{WORK_MEMORY}'"
    )


def done(connection: Connection, preview_id: UUID) -> dict[int, int]:
    """The slices that were computed, and how many members each has."""
    rows = connection.exec_driver_sql(
        "SELECT slice, members FROM preview_slices WHERE preview_id = %s::uuid", (str(preview_id),)
    )
    return {row[0]: row[1] for row in rows}


def parts(connection: Connection, preview_id: UUID) -> list[PreviewPart]:
    rows = connection.exec_driver_sql(
        "SELECT result::text FROM preview_slices WHERE preview_id = %s::uuid ORDER BY slice",
        (str(preview_id),),
    )
    return [decode_part(text) for text in rows.scalars()]


def add_part(
    connection: Connection,
    preview: Preview,
    number: int,
    part: PreviewPart,
    *,
    movers: Movers,
    member_numbers: Sequence[int],
    old_codes: Sequence[str],
) -> None:
    """Keep what a slice gave. old_codes are the tiers in force, in order."""
    connection.exec_driver_sql(
        "INSERT INTO preview_slices (preview_id, slice, members, result)"
        " VALUES (%s::uuid, %s, %s, %s::json)",
        (str(preview.id), number, part.members, encode_part(part).decode()),
    )
    new_codes = [tier.code for tier in preview.rules.tiers]
    columns = (
        member_numbers,
        [old_codes[tier] for tier in movers.old.tolist()],
        [new_codes[tier] for tier in movers.new.tolist()],
        movers.direction.tolist(),
        movers.points.tolist(),
        movers.spend_minor.tolist(),
        movers.visits.tolist(),
    )
    rows = [
        f"{preview.id}\t" + "\t".join(map(str, row)) + "\n" for row in zip(*columns, strict=True)
    ]
    copy_rows(
        connection,
        "preview_movers (preview_id, member, old_tier, new_tier, direction, points, spend_minor,"
        " visits)",
        "".join(rows),
    )


def movers_after(
    connection: Connection, preview_id: UUID, number: int, *, directions: Sequence[int], limit: int
) -> list[Mover]:
    """The next movers in the order of their numbers."""
    rows = connection.exec_driver_sql(
        "SELECT member, member_id, old_tier, new_tier, points, spend_minor, visits"
        " FROM preview_movers JOIN members ON members.number = member"
        " WHERE preview_id = %s::uuid AND member > %s AND direction = ANY(%s::smallint[])"
        " ORDER BY member LIMIT %s",
        (str(preview_id), number, array(directions), limit),
    )
    return [Mover(*row) for row in rows]
