"""Members who are merged, blocked or erased, households, and holds over several wallets."""

from alembic import op
from alembic.util import CommandError

revision = "0006"
down_revision = "0005"

MEMBERS = """
    -- Who counts for whom. What a merge is called tells it from later ones of the same two.
    CREATE TABLE merged_members (
        merge_id uuid PRIMARY KEY,
        source_id uuid NOT NULL,
        target_id uuid NOT NULL,
        merge_time timestamptz NOT NULL,
        -- Null while it holds.
        undo_time timestamptz,
        CHECK (source_id <> target_id)
    );
    CREATE UNIQUE INDEX merged_members_by_source ON merged_members (source_id)
        WHERE undo_time IS NULL;
    CREATE INDEX merged_members_by_target ON merged_members (target_id) WHERE undo_time IS NULL;
    CREATE TABLE member_marks (
        member_id uuid PRIMARY KEY,
        blocked boolean NOT NULL DEFAULT false,
        -- When they were blocked or unblocked last.
        block_time timestamptz,
        erase_time timestamptz
    );
    -- Cards of erased members: enough to know one that comes again, too little to name it.
    CREATE TABLE forgotten_cards (
        token_hash bytea PRIMARY KEY,
        wallet_id bigint NOT NULL
    );
    CREATE TABLE card_secrets (
        singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
        secret bytea NOT NULL
    );
    INSERT INTO card_secrets (secret)
        VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
    CREATE TABLE households (
        household_id uuid PRIMARY KEY,
        revision bigint NOT NULL,
        change_time timestamptz NOT NULL
    );
    CREATE TABLE household_members (
        household_id uuid NOT NULL REFERENCES households,
        member_id uuid NOT NULL,
        -- What the others may spend of this member's points in any thirty days.
        points_limit bigint NOT NULL CHECK (points_limit >= 0),
        join_time timestamptz NOT NULL,
        PRIMARY KEY (household_id, member_id)
    );
    CREATE INDEX household_members_by_member ON household_members (member_id)"""
SHARED_HOLDS = """
    CREATE TABLE shared_holds (
        shared_hold_id uuid PRIMARY KEY,
        request_id uuid NOT NULL UNIQUE,
        -- Who spends, and whose household lends.
        member_id uuid NOT NULL,
        household_id uuid,
        points bigint NOT NULL CHECK (points > 0),
        captured bigint NOT NULL DEFAULT 0 CHECK (captured BETWEEN 0 AND points),
        own_points_only boolean NOT NULL,
        -- In microseconds of the clock.
        life bigint NOT NULL CHECK (life > 0),
        purpose text NOT NULL,
        actor text NOT NULL,
        business_time timestamptz NOT NULL,
        create_time timestamptz NOT NULL,
        expire_time timestamptz NOT NULL,
        -- When it last came a step further, and how many steps it came.
        change_time timestamptz NOT NULL,
        step integer NOT NULL DEFAULT 0,
        attempt smallint NOT NULL DEFAULT 1,
        state smallint NOT NULL CHECK (state BETWEEN 1 AND 11),
        -- The request under way.
        move_id uuid,
        failure json
    );
    CREATE INDEX shared_holds_open ON shared_holds (expire_time) WHERE state = 3;
    CREATE INDEX shared_holds_under_way ON shared_holds (change_time)
        WHERE state IN (1, 2, 4, 5, 7, 10);
    CREATE TABLE shared_hold_parts (
        shared_hold_id uuid NOT NULL REFERENCES shared_holds,
        ordinal smallint NOT NULL,
        wallet_id bigint NOT NULL,
        -- Whose points they are, and whether that is another one than who spends them.
        owner_id uuid NOT NULL,
        pooled boolean NOT NULL,
        points bigint NOT NULL CHECK (points > 0),
        -- Zero until the wallet has them.
        hold_id bigint NOT NULL DEFAULT 0,
        burn_id bigint NOT NULL DEFAULT 0,
        captured bigint NOT NULL DEFAULT 0,
        refunded bigint NOT NULL DEFAULT 0,
        -- Of the request under way: how many it burns or gives back.
        moving bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (shared_hold_id, ordinal),
        CHECK (captured BETWEEN 0 AND points),
        CHECK (refunded BETWEEN 0 AND captured)
    );
    CREATE INDEX shared_hold_parts_by_owner ON shared_hold_parts (owner_id) WHERE pooled;
    CREATE INDEX shared_hold_parts_by_hold ON shared_hold_parts (wallet_id, hold_id);
    CREATE INDEX shared_holds_by_household ON shared_holds (household_id, create_time);
    CREATE INDEX shared_holds_by_member ON shared_holds (member_id, create_time);
    -- Every request about a shared hold, and what it was answered.
    CREATE TABLE shared_moves (
        request_id uuid PRIMARY KEY,
        body_hash uuid NOT NULL,
        -- Null: there were too few points to begin with.
        shared_hold_id uuid,
        kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),
        points bigint NOT NULL,
        reason text NOT NULL,
        actor text NOT NULL,
        business_time timestamptz NOT NULL,
        create_time timestamptz NOT NULL,
        -- Both null while it is under way.
        answer json,
        refusal json,
        CHECK (answer IS NULL OR refusal IS NULL)
    )"""
SHARD = """
    ALTER TABLE {schema}.wallets ADD COLUMN spending_blocked boolean NOT NULL DEFAULT false;
    -- The shared hold that a hold is a part of.
    ALTER TABLE {schema}.holds ADD COLUMN shared_hold_id uuid;
    CREATE INDEX holds_shared ON {schema}.holds (shared_hold_id)
        WHERE shared_hold_id IS NOT NULL"""


def upgrade() -> None:
    op.execute(MEMBERS)
    op.execute(SHARED_HOLDS)
    shards = op.get_bind().exec_driver_sql("SELECT shards FROM programme").scalar_one()
    for number in range(shards):
        op.execute(SHARD.format(schema=f"ledger_{number:02d}"))


def downgrade() -> None:
    raise CommandError("books are not undone; restore a backup")
