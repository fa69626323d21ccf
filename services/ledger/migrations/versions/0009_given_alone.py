"""Adjustments that one person makes alone, so that several are not given in place of one."""

from alembic import op
from alembic.util import CommandError

revision = "0009"
down_revision = "0008"

GIVEN_ALONE = """
    CREATE TABLE adjustments_alone (
        wallet_id bigint NOT NULL,
        -- Of the request, which may still be on its way into the journal.
        request_id uuid NOT NULL,
        body_hash uuid NOT NULL,
        person text NOT NULL,
        kind smallint NOT NULL CHECK (kind IN (1, 2)),
        points bigint NOT NULL CHECK (points <> 0),
        ask_time timestamptz NOT NULL,
        PRIMARY KEY (wallet_id, request_id)
    );
    CREATE INDEX adjustments_alone_by_time ON adjustments_alone (ask_time)"""


def upgrade() -> None:
    op.execute(GIVEN_ALONE)


def downgrade() -> None:
    raise CommandError("what people gave is not undone; restore a backup")
