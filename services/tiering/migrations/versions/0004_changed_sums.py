"""What the changes of a member's day came to, kept for its close."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHANGED = """
    -- A row for all that a transaction changed of a day: rows of their own, and their places in an
    -- index, cost a close and a reaction as much as the days themselves.
    CREATE TABLE changes (
        day integer NOT NULL,
        members integer[] NOT NULL,
        -- What that came to, by members; null where it is to be looked up.
        points bigint[],
        spend_minor bigint[],
        visits bigint[]
    ) WITH (toast_tuple_target = 8160);
    INSERT INTO changes (day, members) SELECT day, array_agg(member) FROM changed_days GROUP BY day;
    DROP TABLE changed_days;
    ALTER TABLE changes RENAME TO changed_days;
    CREATE INDEX changed_days_by_day ON changed_days (day);

    -- By the day alone: a look-up of a member's state must not find this one just as good.
    DROP INDEX states_by_wake_day;
    CREATE INDEX states_by_wake_day ON states (wake_day)"""
# Arrays of numbers hardly shrink; trying to costs more than the bytes.
UNPACKED = ("members", "points", "spend_minor", "visits")


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(CHANGED)
    for column in UNPACKED:
        connection.exec_driver_sql(
            f"ALTER TABLE changed_days ALTER COLUMN {column} SET STORAGE EXTERNAL"
        )
