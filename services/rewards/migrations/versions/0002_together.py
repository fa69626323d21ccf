"""Members who are merged, blocked or erased; uses of vouchers that are undone."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MEMBERS = """
    -- Of whom `members` told something that matters here.
    CREATE TABLE members (
        member_id uuid PRIMARY KEY,
        -- Who a merged member is in the end, however many merges lead there; null: themself.
        root_id uuid CHECK (root_id <> member_id),
        blocked boolean NOT NULL DEFAULT false,
        -- When that was last said.
        block_change_time timestamptz,
        erase_time timestamptz
    );
    CREATE INDEX members_merged ON members (root_id) WHERE root_id IS NOT NULL;

    CREATE TABLE merges (
        merge_id uuid PRIMARY KEY,
        source_id uuid NOT NULL,
        target_id uuid NOT NULL,
        -- Known before the merge itself where events were put aside and applied later.
        undone boolean NOT NULL DEFAULT false,
        CHECK (source_id <> target_id)
    );
    CREATE UNIQUE INDEX merges_standing ON merges (source_id) WHERE NOT undone;
    CREATE INDEX merges_by_target ON merges (target_id) WHERE NOT undone"""

UNDOING = """
    -- When a till took a use back; null while it stands.
    ALTER TABLE voucher_uses ADD COLUMN undo_time timestamptz"""

OLD_ROWS = """
    CREATE INDEX quotas_by_period ON quotas (kind, first_day) WHERE first_day > '0001-01-01';
    CREATE INDEX code_uploads_by_time ON code_uploads (create_time)"""


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (MEMBERS, UNDOING, OLD_ROWS):
        connection.exec_driver_sql(statement)
