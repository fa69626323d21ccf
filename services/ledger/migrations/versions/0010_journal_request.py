"""Requests are found by their id first: no plan takes their index for that of statements."""

from alembic import op
from alembic.util import CommandError

revision = "0010"
down_revision = "0009"

SHARD = """
    CREATE UNIQUE INDEX journal_request_first ON {schema}.journal (request_id, wallet_id);
    DROP INDEX {schema}.journal_request;
    ALTER INDEX {schema}.journal_request_first RENAME TO journal_request"""


def upgrade() -> None:
    shards = op.get_bind().exec_driver_sql("SELECT shards FROM programme").scalar_one()
    for number in range(shards):
        op.execute(SHARD.format(schema=f"ledger_{number:02d}"))


def downgrade() -> None:
    raise CommandError("books are not undone; restore a backup")
