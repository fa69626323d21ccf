"""What rewards knows of members: their tiers, as tiering tells them, and their segments."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.database import array, text_array
from services.plumbing.prepared import Row, Session, Statement
from services.rewards.domain.offering import Standing

EPOCH = "TIMESTAMPTZ '1970-01-01 00:00:00+00'"
MICROS = f"{EPOCH} + {{}} * INTERVAL '1 microsecond'"

# A row for each tier and each segment of the members in $1, as of $2.
STANDINGS = (
    "WITH asked AS (SELECT id AS member_id, coalesce(root_id, id) AS root_id"
    " FROM unnest($1) AS id LEFT JOIN members ON member_id = id),"
    " lowest AS (SELECT DISTINCT ON (tier_group) tier_group, tier FROM lowest_tiers"
    " WHERE effective_time <= $2 ORDER BY tier_group, effective_time DESC)"
    " SELECT asked.member_id, coalesce((SELECT told.tier FROM member_tiers AS told"
    " WHERE told.member_id = asked.root_id AND told.tier_group = lowest.tier_group"
    " AND told.effective_time <= $2 ORDER BY told.effective_time DESC LIMIT 1),"
    " lowest.tier) AS tier, NULL AS segment FROM asked CROSS JOIN lowest"
    " UNION ALL SELECT asked.member_id, NULL, segment FROM asked"
    " JOIN segment_members ON segment_members.member_id = asked.root_id"
    " UNION ALL SELECT asked.member_id, NULL, segment FROM asked"
    " JOIN members ON members.root_id = asked.root_id"
    " JOIN segment_members ON segment_members.member_id = members.member_id"
)
LOOK = Statement("standings", "uuid[], timestamptz", STANDINGS)


@dataclass(frozen=True, slots=True)
class MemberTier:
    """A member is in a tier of a group from a time on, in microseconds since 1970."""

    member_id: UUID
    group: str
    effective_micros: int
    tier: str


def add_member_tiers(connection: Connection, tiers: Sequence[MemberTier]) -> None:
    """What is said anew of the same moment replaces what was said before."""
    connection.exec_driver_sql(
        "INSERT INTO member_tiers (member_id, tier_group, effective_time, tier)"
        f" SELECT member, tier_group, {MICROS.format('micros')}, tier"
        " FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::text[])"
        " AS told (member, tier_group, micros, tier)"
        " ON CONFLICT (member_id, tier_group, effective_time) DO UPDATE SET tier = excluded.tier",
        (
            array(tier.member_id for tier in tiers),
            text_array(tier.group for tier in tiers),
            array(tier.effective_micros for tier in tiers),
            text_array(tier.tier for tier in tiers),
        ),
    )


def note_lowest_tier(
    connection: Connection, group: str, tier: str, *, effective_micros: int
) -> None:
    """Keep in which tier of a group everybody is from a time on of whom nothing else is said."""
    connection.exec_driver_sql(
        "INSERT INTO lowest_tiers (tier_group, effective_time, tier)"
        f" VALUES (%s, {MICROS.format('%s')}, %s)"
        " ON CONFLICT (tier_group, effective_time) DO UPDATE SET tier = excluded.tier",
        (group, effective_micros, tier),
    )


def standings(session: Session, member_ids: Iterable[UUID], now: datetime) -> dict[UUID, Standing]:
    """What is known of each of these members now.

    A merged one is in the tiers of whom they are, and in the segments of all who are the same.
    """
    asked = set(member_ids)
    return read_standings(asked, LOOK.run(session, array(asked), now))


def read_standings(member_ids: Collection[UUID], rows: Iterable[Row]) -> dict[UUID, Standing]:
    """What the rows of STANDINGS say of members."""
    tiers: dict[UUID, set[str]] = {member_id: set() for member_id in member_ids}
    segments: dict[UUID, set[str]] = {member_id: set() for member_id in member_ids}
    for member_id, tier, segment in rows:
        if tier is not None:
            tiers[member_id].add(tier)
        else:
            segments[member_id].add(segment)
    return {
        member_id: Standing(frozenset(tiers[member_id]), frozenset(segments[member_id]))
        for member_id in member_ids
    }


def add_to_segment(connection: Connection, segment: str, member_ids: Sequence[UUID]) -> None:
    # By id: two who add the same members must not deadlock.
    connection.exec_driver_sql(
        "INSERT INTO segment_members (segment, member_id)"
        " SELECT %s, member FROM unnest(%s::uuid[]) AS member ON CONFLICT DO NOTHING",
        (segment, array(sorted(member_ids))),
    )


def take_from_segment(connection: Connection, segment: str, member_ids: Sequence[UUID]) -> None:
    connection.exec_driver_sql(
        "WITH leaving AS (SELECT member_id FROM segment_members WHERE segment = %s"
        " AND member_id = ANY(%s::uuid[]) ORDER BY member_id FOR UPDATE)"
        " DELETE FROM segment_members USING leaving"
        " WHERE segment = %s AND segment_members.member_id = leaving.member_id",
        (segment, array(member_ids), segment),
    )


def take_from_segments(connection: Connection, member_id: UUID) -> None:
    """Take a member out of every segment."""
    connection.exec_driver_sql(
        "DELETE FROM segment_members WHERE member_id = %s::uuid", (str(member_id),)
    )


def segment_size(connection: Connection, segment: str) -> int:
    found: int = connection.exec_driver_sql(
        "SELECT count(*) FROM segment_members WHERE segment = %s", (segment,)
    ).scalar_one()
    return found
