"""Points that are pending, held, and expire; what burned them, and what was given back."""

from alembic import op
from alembic.util import CommandError

revision = "0004"
down_revision = "0003"

DIRECTORY = """
    -- What the night did for a business day, a row for each step that began.
    CREATE TABLE night_steps (
        step smallint NOT NULL CHECK (step BETWEEN 1 AND 3),
        day date NOT NULL,
        wallets bigint NOT NULL DEFAULT 0,
        points bigint NOT NULL DEFAULT 0,
        done_time timestamptz,
        PRIMARY KEY (step, day)
    )"""
SHARD = """
    ALTER TABLE {schema}.wallets
        ADD COLUMN active_date date,
        ADD COLUMN enrol_date date;
    ALTER TABLE {schema}.journal
        ADD COLUMN held bigint NOT NULL DEFAULT 0,
        -- The points that a sale was paid with, or that a return gave back of them.
        ADD COLUMN tender json,
        DROP CONSTRAINT journal_type_check,
        ADD CONSTRAINT journal_type_check CHECK (type BETWEEN 1 AND 11);
    ALTER TABLE {schema}.lots
        ADD COLUMN held bigint NOT NULL DEFAULT 0,
        ADD COLUMN pending boolean NOT NULL DEFAULT false,
        -- Above zero: it lives on so many months after whatever its member does.
        ADD COLUMN inactive_months smallint NOT NULL DEFAULT 0,
        ADD CONSTRAINT lots_held_check CHECK (held BETWEEN 0 AND remaining),
        ADD CONSTRAINT lots_pending_check CHECK (NOT pending OR held = 0);
    CREATE INDEX lots_pending ON {schema}.lots (available_time)
        WHERE pending AND remaining > 0;
    CREATE INDEX lots_expiring ON {schema}.lots (expire_time)
        WHERE remaining > 0 AND expire_time IS NOT NULL;
    -- Points given back stand against the lot as a use below zero.
    ALTER TABLE {schema}.lot_uses
        DROP CONSTRAINT lot_uses_points_check,
        ADD CONSTRAINT lot_uses_points_check CHECK (points <> 0);
    CREATE TABLE {schema}.holds (
        wallet_id bigint NOT NULL,
        -- The document that made it.
        hold_id bigint NOT NULL,
        points bigint NOT NULL CHECK (points > 0),
        captured bigint NOT NULL DEFAULT 0 CHECK (captured BETWEEN 0 AND points),
        burn_id bigint NOT NULL DEFAULT 0,
        business_time timestamptz NOT NULL,
        expire_time timestamptz NOT NULL,
        state smallint NOT NULL CHECK (state BETWEEN 1 AND 4),
        purpose text NOT NULL,
        -- Of which lots: [[[document, ordinal], points], ...] in the order they are burned.
        parts json NOT NULL,
        PRIMARY KEY (wallet_id, hold_id),
        CHECK ((state = 2) = (captured > 0))
    );
    CREATE INDEX holds_open ON {schema}.holds (expire_time) WHERE state = 1"""


def upgrade() -> None:
    op.execute(DIRECTORY)
    shards = op.get_bind().exec_driver_sql("SELECT shards FROM programme").scalar_one()
    for number in range(shards):
        op.execute(SHARD.format(schema=f"ledger_{number:02d}"))


def downgrade() -> None:
    raise CommandError("books are not undone; restore a backup")
