"""Members who are blocked, erased, one with others, and in households; requests remembered."""

from alembic import op
from alembic.util import CommandError

revision = "0003"
down_revision = "0002"

TABLES = """
    ALTER TABLE members
        ADD COLUMN block_time timestamptz,
        ADD COLUMN block_reason text,
        ADD COLUMN erase_time timestamptz,
        -- A word for why, which says nothing about the member.
        ADD COLUMN erase_reason text CHECK (erase_reason ~ '^[a-z][a-z0-9_-]{0,63}$'),
        ADD CHECK ((block_time IS NULL) = (block_reason IS NULL)),
        ADD CHECK ((erase_time IS NULL) = (erase_reason IS NULL)),
        ADD CHECK (erase_time IS NULL OR block_time IS NULL AND given_name = ''
            AND family_name = '' AND preferences = '{}');

    -- What was asked under a request_id about a member, a merge, a household or an invitation.
    CREATE TABLE requests (
        request_id uuid PRIMARY KEY,
        fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
        subject_id uuid NOT NULL
    );

    -- The one place that decides who counts as whom.
    CREATE TABLE merges (
        id uuid PRIMARY KEY,
        -- Lists are read in its order.
        sequence bigint NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
        source_id uuid NOT NULL REFERENCES members,
        target_id uuid NOT NULL REFERENCES members,
        reason text NOT NULL,
        merge_time timestamptz NOT NULL,
        undo_time timestamptz,
        CHECK (source_id <> target_id)
    );
    CREATE UNIQUE INDEX merges_in_force ON merges (source_id) WHERE undo_time IS NULL;
    CREATE INDEX merges_by_source ON merges (source_id);
    CREATE INDEX merges_by_target ON merges (target_id);

    CREATE TABLE households (
        id uuid PRIMARY KEY,
        owner_id uuid,
        revision bigint NOT NULL CHECK (revision > 0),
        create_time timestamptz NOT NULL,
        end_time timestamptz,
        CHECK ((owner_id IS NULL) = (end_time IS NOT NULL))
    );

    CREATE TABLE household_members (
        -- In one household at a time.
        member_id uuid PRIMARY KEY REFERENCES members,
        household_id uuid NOT NULL REFERENCES households,
        points_limit bigint NOT NULL CHECK (points_limit >= 0),
        join_time timestamptz NOT NULL,
        UNIQUE (household_id, member_id)
    );

    -- All that members ever let their households spend; nothing is changed here.
    CREATE TABLE share_consents (
        sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        member_id uuid NOT NULL REFERENCES members,
        household_id uuid NOT NULL REFERENCES households,
        points_limit bigint NOT NULL CHECK (points_limit >= 0),
        time timestamptz NOT NULL
    );
    CREATE INDEX share_consents_of_member ON share_consents (member_id, sequence);
    -- The owner is one of them; checked at COMMIT, for they come and go together.
    ALTER TABLE households ADD FOREIGN KEY (id, owner_id)
        REFERENCES household_members (household_id, member_id) DEFERRABLE INITIALLY DEFERRED;

    CREATE TABLE invitations (
        id uuid PRIMARY KEY,
        sequence bigint NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
        household_id uuid NOT NULL REFERENCES households,
        member_id uuid REFERENCES members,
        code text UNIQUE,
        state text NOT NULL CHECK (state IN ('open', 'accepted', 'declined', 'withdrawn')),
        create_time timestamptz NOT NULL,
        expire_time timestamptz NOT NULL CHECK (expire_time > create_time),
        CHECK ((member_id IS NULL) <> (code IS NULL))
    );
    CREATE INDEX invitations_of_household ON invitations (household_id, sequence);
    CREATE INDEX invitations_for_member ON invitations (member_id, sequence);
    -- One open invitation for a member; an expired one is dropped before the next is made.
    CREATE UNIQUE INDEX invitations_open ON invitations (household_id, member_id)
        WHERE state = 'open'"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)


def downgrade() -> None:
    raise CommandError("who was merged, erased or in a household is not undone; restore a backup")
