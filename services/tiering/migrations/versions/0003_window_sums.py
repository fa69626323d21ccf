"""What counted in members' windows at their last close."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WINDOW_SUMS = """
    -- So that the next close need not sum a year again. Kept where the sums at a close follow from
    -- those before, and of members of whom no day took more than it gave.
    CREATE TABLE window_sums (
        group_id smallint NOT NULL REFERENCES tier_groups,
        member integer NOT NULL,
        -- The close that saw them.
        day integer NOT NULL,
        points bigint NOT NULL,
        spend_minor bigint NOT NULL,
        visits bigint NOT NULL,
        PRIMARY KEY (group_id, member)
    ) WITH (fillfactor = 50)"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(WINDOW_SUMS)
