"""What the night did for which business day. Lies outside the shards."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class DayDone:
    """How far a step came for a day."""

    day: date
    wallets: int
    points: int
    done: bool


def newest(connection: Connection, step: int) -> DayDone | None:
    """The last day that a step was begun for."""
    row = connection.exec_driver_sql(
        "SELECT day, wallets, points, done_time IS NOT NULL FROM night_steps"
        " WHERE step = %s ORDER BY day DESC LIMIT 1",
        (step,),
    ).one_or_none()
    return DayDone(*row) if row else None


def done_day(connection: Connection, step: int) -> date | None:
    """The last day that a step is done for."""
    found: date | None = connection.exec_driver_sql(
        "SELECT max(day) FROM night_steps WHERE step = %s AND done_time IS NOT NULL", (step,)
    ).scalar_one()
    return found


def find(connection: Connection, step: int, day: date) -> DayDone | None:
    row = connection.exec_driver_sql(
        "SELECT day, wallets, points, done_time IS NOT NULL FROM night_steps"
        " WHERE step = %s AND day = %s",
        (step, day),
    ).one_or_none()
    return DayDone(*row) if row else None


def add(
    connection: Connection, step: int, day: date, *, wallets: int, points: int, done: bool
) -> DayDone:
    """Note what was done of a step for a day, beside what was done before."""
    row = connection.exec_driver_sql(
        "INSERT INTO night_steps AS n (step, day, wallets, points, done_time)"
        " VALUES (%s, %s, %s, %s, CASE WHEN %s THEN now() END)"
        " ON CONFLICT (step, day) DO UPDATE SET wallets = n.wallets + excluded.wallets,"
        " points = n.points + excluded.points,"
        " done_time = coalesce(n.done_time, excluded.done_time)"
        " RETURNING day, wallets, points, done_time IS NOT NULL",
        (step, day, wallets, points, done),
    ).one()
    return DayDone(*row)


def first_day(connection: Connection, schemas: list[str]) -> date | None:
    """The day of the first document that was ever posted for."""
    found = [
        connection.exec_driver_sql(
            f"SELECT (min(earn_time) AT TIME ZONE 'UTC')::date FROM {schema}.lots"
        ).scalar_one()
        for schema in schemas
    ]
    return min((day for day in found if day is not None), default=None)
