"""How often members of a tier took each reward lately."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection

from services.plumbing.database import text_array

# Counting more would tell the same and take longer.
REDEMPTIONS_COUNTED_MAX = 10_000


def taken_by_tiers(connection: Connection, tiers: Collection[str], now: datetime) -> dict[str, int]:
    """Of the newest redemptions those of members who are, or were, in any of the tiers, by reward.

    Without a tier all of them count.
    """
    rows = connection.exec_driver_sql(
        "SELECT reward_id, count(*) FROM (SELECT member_id, reward_id FROM redemptions"
        " WHERE step = 'completed' ORDER BY create_time DESC LIMIT %s) AS newest"
        " WHERE %s OR EXISTS (SELECT FROM member_tiers WHERE member_tiers.member_id ="
        " newest.member_id AND tier = ANY(%s::text[]) AND effective_time <= %s) GROUP BY reward_id",
        (REDEMPTIONS_COUNTED_MAX, not tiers, text_array(tiers), now),
    )
    return {row[0]: row[1] for row in rows}
