"""What returns forgave, until the points come back that were spent."""

from alembic import op
from alembic.util import CommandError

revision = "0008"
down_revision = "0007"

SHARD = """
    CREATE TABLE {schema}.forgiven (
        wallet_id bigint NOT NULL,
        -- The document of the return, its place among the wallet's, and the sale it is of.
        return_id bigint NOT NULL,
        sequence bigint NOT NULL,
        sale_id bigint NOT NULL,
        points bigint NOT NULL CHECK (points > 0),
        points_left bigint NOT NULL CHECK (points_left BETWEEN 0 AND points),
        PRIMARY KEY (wallet_id, return_id)
    );
    -- Of returns and voids; where a policy has only pending points taken back (3), that is all.
    INSERT INTO {schema}.forgiven (wallet_id, return_id, sequence, sale_id, points, points_left)
    SELECT j.wallet_id, j.document_id, j.sequence, j.original_id, j.points_forgiven,
           j.points_forgiven
    FROM {schema}.journal j
    JOIN public.earn_policies p ON p.version = j.policy_version
    WHERE j.type IN (2, 3) AND j.refusal IS NULL AND j.points_forgiven > 0
      AND coalesce((p.policy->'settings'->>'clawback')::integer, 0) <> 3"""


def upgrade() -> None:
    shards = op.get_bind().exec_driver_sql("SELECT shards FROM programme").scalar_one()
    for number in range(shards):
        op.execute(SHARD.format(schema=f"ledger_{number:02d}"))


def downgrade() -> None:
    raise CommandError("books are not undone; restore a backup")
