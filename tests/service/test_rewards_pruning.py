"""Rows that have done what they were for are dropped, and no others."""

import uuid
from datetime import UTC, datetime

from services.plumbing.database import engine
from services.rewards.usecases.prune import prune
from tests.service.rewards_calls import Rewards

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
# By the kind: one that may still decide about something, and one that may not.
QUOTAS = {
    "day": ("2026-05-31", "2026-05-30"),
    "member_day": ("2026-05-31", "2026-05-30"),
    "member_week": ("2026-05-25", "2026-05-24"),
    "member_month": ("2026-05-01", "2026-04-30"),
    "member_year": ("2025-05-31", "2025-05-30"),
    # Of all time.
    "total": ("0001-01-01", None),
    "store": ("0001-01-01", None),
    "member_ever": ("0001-01-01", None),
}


def test_quotas_of_periods_long_past_are_dropped(rewards: Rewards) -> None:
    rows = [(kind, day) for kind, days in QUOTAS.items() for day in days if day is not None]
    with rewards.connection() as connection:
        for kind, day in rows:
            connection.exec_driver_sql(
                "INSERT INTO quotas VALUES ('coffee', %s, 'whoever', %s::date, 1, 1)", (kind, day)
            )
    assert pruned(rewards, limit=3) == 3
    assert pruned(rewards, limit=3) == 2
    assert pruned(rewards, limit=3) == 0
    with rewards.connection() as connection:
        left = connection.exec_driver_sql("SELECT kind, first_day::text FROM quotas").all()
    assert {row[0]: row[1] for row in left} == {kind: days[0] for kind, days in QUOTAS.items()}


def test_what_became_of_an_upload_is_kept_for_thirty_days(rewards: Rewards) -> None:
    with rewards.connection() as connection:
        connection.exec_driver_sql("INSERT INTO code_pools VALUES ('cinema', now())")
        for first_line, time in ((1, "2026-06-01 11:59:59+00"), (2, "2026-06-01 12:00:00+00")):
            connection.exec_driver_sql(
                "INSERT INTO code_uploads VALUES (%s::uuid, %s, 'cinema',"
                " decode(repeat('00', 16), 'hex'), 0, 0, 0, '{}', '{}', %s)",
                (str(uuid.uuid4()), first_line, time),
            )
    assert pruned(rewards, limit=10) == 1
    with rewards.connection() as connection:
        left = connection.exec_driver_sql("SELECT first_line FROM code_uploads").scalars().all()
    assert left == [2]


def pruned(rewards: Rewards, *, limit: int) -> int:
    database = engine(rewards.database_url, pool_size=1)
    try:
        return prune(database, now=NOW, limit=limit)
    finally:
        database.dispose()
