"""A large membership with two years behind it, put into tiering's database by SQL.

The shape: every member has been enrolled for long and was active on 24 to 50 of the last 730 days,
37 on average: the days are cut into as many stretches, and each has one at random. What a member
earns a day is their own 5 to 400 points times 0.5 to 1.5, the base points of one basket of as
many units of money; half of the members earn too little for any tier of `classic`. Of every
fiftieth active day half of the basket came back. The rows of a slice lie in the order of their
days, as they would have come in.

A part of such a membership is some of its slices, each as large as in the whole: what a slice
costs however few are in it then is in proportion too.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sqlalchemy import Engine

from services.plumbing.database import transaction
from services.tiering.storage.slices import SLICES

DAYS = 730
LOADERS = 2
INDEX = "activity_by_member"
MEMBERS = """
    INSERT INTO members (number, member_id, enrol_day, heard_day) OVERRIDING SYSTEM VALUE
    SELECT n, md5('member ' || n)::uuid, day, day
    FROM (
        SELECT known + n AS n, {first_day} - 1 - mod(n, 1000) AS day
        FROM (SELECT coalesce(max(number), 0) AS known FROM members),
            generate_series(1, {members}) AS n
    )
    WHERE mod(n, {all_slices}) < {slices} ORDER BY n;
    SELECT setval(pg_get_serial_sequence('members', 'number'), max(number)) FROM members"""
SALES = """
    SELECT setseed({number} / 32.0);
    INSERT INTO activity (slice, member, day, points, spend_minor, visits, base_points,
        base_points_before)
    SELECT {number}, number, day, points, points * 100, 1, points, 0
    FROM (
        SELECT number, {first_day} + start + floor(random() * (stop - start))::int AS day,
            ceil(scale * (0.5 + random()))::bigint AS points
        FROM (
            SELECT number, 24 + mod(number * 7919::bigint, 27)::int AS active,
                5 + 395 * power(mod(number * 0.6180339887, 1)::float8, 4) AS scale
            FROM members WHERE slice = {number}
        ) AS each,
        generate_series(0, active - 1) AS nth,
        LATERAL (SELECT nth * {days} / active AS start, (nth + 1) * {days} / active AS stop) AS cut
    ) AS sold
    ORDER BY day"""
RETURNS = """
    INSERT INTO activity (slice, member, day, points, spend_minor, visits, base_points,
        base_points_before)
    SELECT slice, member, day, -(points / 2), -(points / 2) * 100, 0, points - points / 2, points
    FROM activity WHERE slice = {number} AND mod(member + day, 50) = 0
    ORDER BY day"""


def load_members(tiering: Engine, members: int, *, slices: int, first_day: int) -> int:
    """Add so many slices of so many members to a database without activity.

    first_day is the first of the days. Returns how many rows of them there are.
    """
    chosen = {"slices": slices, "all_slices": SLICES}
    _run(tiering, MEMBERS.format(members=members, first_day=first_day, **chosen))
    with transaction(tiering) as connection:
        definition: str = connection.exec_driver_sql(
            "SELECT pg_get_indexdef(%s::regclass)", (INDEX,)
        ).scalar_one()
        # Sorted at once at the end, it is made in a fraction of the time.
        connection.exec_driver_sql(f"DROP INDEX {INDEX}")
    with ThreadPoolExecutor(LOADERS, thread_name_prefix="loader") as pool:
        list(pool.map(partial(_load_slice, tiering, first_day), range(slices)))
    _run(tiering, definition.replace(" ON ONLY ", " ON "))
    with tiering.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in ("SET statement_timeout = 0", "VACUUM ANALYZE", "CHECKPOINT"):
            connection.exec_driver_sql(statement)
    with transaction(tiering) as connection:
        rows: int = connection.exec_driver_sql(
            "SELECT sum(reltuples)::bigint FROM pg_class WHERE relname LIKE 'activity\\___'"
        ).scalar_one()
    return rows


def _load_slice(tiering: Engine, first_day: int, number: int) -> None:
    for statement in (SALES, RETURNS):
        _run(tiering, statement.format(number=number, first_day=first_day, days=DAYS))


def _run(tiering: Engine, statements: str) -> None:
    with transaction(tiering) as connection:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = 0; {statements}")
