"""What tiering says of members, kept where sales earn by it."""

from alembic import op
from alembic.util import CommandError

revision = "0003"
down_revision = "0002"

DIRECTORY = """
    CREATE TABLE tier_rule_sets (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tier_group text NOT NULL,
        version integer NOT NULL,
        effective_time timestamptz NOT NULL,
        -- Tier to multiplier, the lowest tier first.
        multipliers json NOT NULL,
        UNIQUE (tier_group, version)
    );
    CREATE TABLE member_tiers (
        member_id uuid NOT NULL,
        tier_group text NOT NULL,
        effective_time timestamptz NOT NULL,
        tier text NOT NULL,
        PRIMARY KEY (member_id, tier_group, effective_time)
    )"""
SHARD = """
    ALTER TABLE {schema}.wallets ADD COLUMN tiered boolean NOT NULL DEFAULT false;
    ALTER TABLE {schema}.journal
        ADD COLUMN tier text NOT NULL DEFAULT '',
        ADD COLUMN tier_multiplier text NOT NULL DEFAULT '',
        ADD COLUMN rule_set_version integer NOT NULL DEFAULT 0;
    -- A copy of member_tiers for each of the member's wallets: a sale reads its own shard alone.
    CREATE TABLE {schema}.wallet_tiers (
        wallet_id bigint NOT NULL,
        tier_group text NOT NULL,
        effective_time timestamptz NOT NULL,
        tier text NOT NULL,
        PRIMARY KEY (wallet_id, tier_group, effective_time)
    )"""


def upgrade() -> None:
    op.execute(DIRECTORY)
    shards = op.get_bind().exec_driver_sql("SELECT shards FROM programme").scalar_one()
    for number in range(shards):
        op.execute(SHARD.format(schema=f"ledger_{number:02d}"))


def downgrade() -> None:
    raise CommandError("books are not undone; restore a backup")
