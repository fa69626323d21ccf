"""Points that members send each other."""

from alembic import op
from alembic.util import CommandError

revision = "0007"
down_revision = "0006"

DIRECTORY = """
    -- Written before any point moves: what is agreed here is finished, whoever dies over it.
    CREATE TABLE transfers (
        transfer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        -- The first of its sources.
        source_wallet bigint NOT NULL,
        target_wallet bigint NOT NULL,
        request_id uuid NOT NULL,
        body_hash uuid NOT NULL,
        points bigint NOT NULL CHECK (points > 0),
        message text NOT NULL CHECK (length(message) <= 280),
        actor text NOT NULL,
        create_time timestamptz NOT NULL,
        -- Under way, done, refused.
        state smallint NOT NULL CHECK (state BETWEEN 1 AND 3),
        refusal json,
        UNIQUE (source_wallet, request_id),
        CHECK (state = 3 OR source_wallet <> target_wallet),
        CHECK ((state = 3) = (refusal IS NOT NULL))
    );
    -- The wallets that points are sent from: several, where a member has them.
    CREATE TABLE transfer_sources (
        transfer_id bigint NOT NULL REFERENCES transfers,
        ordinal smallint NOT NULL CHECK (ordinal > 0),
        wallet_id bigint NOT NULL,
        points bigint NOT NULL CHECK (points > 0),
        create_time timestamptz NOT NULL,
        PRIMARY KEY (transfer_id, ordinal),
        UNIQUE (transfer_id, wallet_id)
    );
    CREATE INDEX transfer_sources_sent ON transfer_sources (wallet_id, create_time, transfer_id);
    CREATE INDEX transfers_received ON transfers (target_wallet, create_time, transfer_id);
    CREATE INDEX transfers_under_way ON transfers (transfer_id) WHERE state = 1"""
SHARD = """
    ALTER TABLE {schema}.journal
        DROP CONSTRAINT journal_type_check,
        ADD CONSTRAINT journal_type_check CHECK (type BETWEEN 1 AND 13)"""


def upgrade() -> None:
    op.execute(DIRECTORY)
    shards = op.get_bind().exec_driver_sql("SELECT shards FROM programme").scalar_one()
    for number in range(shards):
        op.execute(SHARD.format(schema=f"ledger_{number:02d}"))


def downgrade() -> None:
    raise CommandError("books are not undone; restore a backup")
