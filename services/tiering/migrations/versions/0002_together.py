"""Merged members: who somebody is now, and whose what they did was."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TOGETHER = """
    -- Who a merged member is in the end, however many merges lead there; null: themself.
    ALTER TABLE members ADD COLUMN root integer REFERENCES members CHECK (root <> number);
    CREATE INDEX members_merged ON members (root) WHERE root IS NOT NULL;

    CREATE TABLE merges (
        merge_id uuid PRIMARY KEY,
        source integer NOT NULL REFERENCES members,
        target integer NOT NULL REFERENCES members,
        -- Known before the merge itself where events were put aside and applied later.
        undone boolean NOT NULL DEFAULT false,
        CHECK (source <> target)
    );
    CREATE UNIQUE INDEX merges_standing ON merges (source) WHERE NOT undone;
    CREATE INDEX merges_by_target ON merges (target) WHERE NOT undone;

    -- Who did it, or was granted it, where it counts for another; null: who it counts for.
    ALTER TABLE activity ADD COLUMN origin integer;
    ALTER TABLE grants ADD COLUMN origin integer REFERENCES members CHECK (origin <> member);
    CREATE INDEX grants_by_origin ON grants (origin) WHERE origin IS NOT NULL"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TOGETHER)
