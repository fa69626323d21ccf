"""Members, what they did, rule sets, tiers, grants, previews, outbox and inbox."""

from alembic import op

from services.plumbing import inbox, outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# As services.tiering.storage.slices says; a table's parts are made once.
SLICES = 32

# Days are counted from 1970-01-01.
MEMBERS = """
    CREATE TABLE members (
        -- Short, for it stands in every row about a member; mod(number, 32) is the member's slice.
        number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        member_id uuid NOT NULL UNIQUE,
        -- Null until the member's enrolment is known; then heard_day stands in for it.
        enrol_day integer,
        heard_day integer NOT NULL,
        slice smallint NOT NULL GENERATED ALWAYS AS (mod(number, 32)) STORED
    );
    CREATE INDEX members_by_slice ON members (slice, number);

    CREATE TABLE wallets (
        wallet bigint PRIMARY KEY,
        -- Null while it belongs to nobody we heard of.
        member integer REFERENCES members
    )"""

# One row a sale, return, void or adjustment: only added to, so writers never wait for each other.
# A member's day is the sum of its rows. In parts, so that a slice of the members is read in one go
# however its rows came in over the years.
ACTIVITY = """
    CREATE TABLE activity (
        slice smallint NOT NULL,
        member integer NOT NULL,
        day integer NOT NULL,
        points bigint NOT NULL,
        spend_minor bigint NOT NULL,
        visits integer NOT NULL,
        -- The base points of a basket as it stands now, and as it stood before.
        base_points bigint NOT NULL,
        base_points_before bigint NOT NULL
    ) PARTITION BY LIST (slice);
    CREATE INDEX activity_by_member ON activity (member, day);

    -- The same, of wallets that belong to nobody yet.
    CREATE TABLE waiting_activity (
        wallet bigint NOT NULL,
        day integer NOT NULL,
        points bigint NOT NULL,
        spend_minor bigint NOT NULL,
        visits integer NOT NULL,
        base_points bigint NOT NULL,
        base_points_before bigint NOT NULL
    );
    CREATE INDEX waiting_activity_by_wallet ON waiting_activity (wallet);

    -- Whose days changed since they were evaluated.
    CREATE TABLE changed_days (
        member integer NOT NULL,
        day integer NOT NULL
    );
    CREATE INDEX changed_days_by_day ON changed_days (day);

    -- How many documents of a day an event brought.
    CREATE TABLE applied_documents (
        day integer NOT NULL,
        documents integer NOT NULL
    );
    CREATE INDEX applied_documents_by_day ON applied_documents (day);

    CREATE TABLE closed_days (
        day integer PRIMARY KEY,
        tier_changes bigint NOT NULL CHECK (tier_changes >= 0),
        close_time timestamptz NOT NULL
    )"""

RULES = """
    CREATE TABLE tier_groups (
        id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9-]{0,31}$')
    );

    CREATE TABLE rule_sets (
        group_id smallint NOT NULL REFERENCES tier_groups,
        version integer NOT NULL CHECK (version > 0),
        state text NOT NULL CHECK (state IN ('draft', 'published', 'retired')),
        revision integer NOT NULL DEFAULT 1 CHECK (revision > 0),
        rules json NOT NULL,
        request_id uuid NOT NULL UNIQUE,
        fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
        creator text NOT NULL,
        create_time timestamptz NOT NULL,
        effective_day integer,
        replay_from_day integer,
        publisher text,
        publish_time timestamptz,
        publish_reason text,
        retirer text,
        retire_time timestamptz,
        retire_reason text,
        PRIMARY KEY (group_id, version),
        CHECK (replay_from_day <= effective_day),
        CHECK (state <> 'draft' OR publish_time IS NULL),
        CHECK (state <> 'published' OR (effective_day IS NOT NULL AND replay_from_day IS NOT NULL
            AND publisher IS NOT NULL AND publish_time IS NOT NULL AND publish_reason IS NOT NULL)),
        CHECK ((state = 'retired') = (retire_time IS NOT NULL))
    );
    -- No two of a group in force on one day.
    CREATE UNIQUE INDEX rule_sets_in_force ON rule_sets (group_id, effective_day)
        WHERE state = 'published'"""

TIERS = """
    -- As the engine left them: what stands at the beginning of the day after the one closed last.
    CREATE TABLE states (
        group_id smallint NOT NULL REFERENCES tier_groups,
        member integer NOT NULL REFERENCES members,
        tier smallint NOT NULL,
        since integer NOT NULL,
        until integer NOT NULL,
        earned smallint NOT NULL,
        earned_since integer NOT NULL,
        earned_until integer NOT NULL,
        reserve smallint NOT NULL,
        reserve_until integer NOT NULL,
        counted_from integer NOT NULL,
        carried_day integer NOT NULL,
        carried_points bigint NOT NULL,
        carried_spend_minor bigint NOT NULL,
        carried_visits bigint NOT NULL,
        lifetime_points bigint NOT NULL,
        lifetime_spend_minor bigint NOT NULL,
        lifetime_visits bigint NOT NULL,
        wake_day integer NOT NULL,
        PRIMARY KEY (group_id, member)
    ) WITH (fillfactor = 70);
    CREATE INDEX states_by_wake_day ON states (group_id, wake_day);

    -- What was decided and announced, and from which day on it counts; nothing is changed here.
    CREATE TABLE tier_changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        group_id smallint NOT NULL REFERENCES tier_groups,
        member integer NOT NULL REFERENCES members,
        effective_day integer NOT NULL,
        old_tier text NOT NULL,
        new_tier text NOT NULL CHECK (new_tier <> old_tier),
        cause smallint NOT NULL,
        points bigint NOT NULL,
        spend_minor bigint NOT NULL,
        visits bigint NOT NULL,
        version integer NOT NULL,
        FOREIGN KEY (group_id, version) REFERENCES rule_sets
    );
    CREATE INDEX tier_changes_by_member ON tier_changes (member, group_id, id);

    -- What people granted: tiers by hand, invitations, audiences. Kept when revoked.
    CREATE TABLE grants (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        -- Null for an audience, which all groups may know.
        group_id smallint REFERENCES tier_groups,
        member integer NOT NULL REFERENCES members,
        -- As services.tiering.domain.columns.GrantKind says.
        kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),
        name text NOT NULL,
        from_day integer NOT NULL,
        end_day integer NOT NULL CHECK (end_day >= from_day),
        reason text NOT NULL,
        actor text NOT NULL,
        create_time timestamptz NOT NULL,
        request_id uuid UNIQUE,
        fingerprint bytea,
        revoke_time timestamptz,
        revoker text,
        revoke_reason text,
        CHECK ((group_id IS NULL) = (kind = 4))
    );
    CREATE INDEX grants_by_member ON grants (member)"""

PREVIEWS = """
    CREATE TABLE previews (
        id uuid PRIMARY KEY,
        group_id smallint NOT NULL REFERENCES tier_groups,
        version integer NOT NULL,
        -- As it was when the preview began: a draft may change.
        rules json NOT NULL,
        compared_version integer,
        effective_day integer NOT NULL,
        replay_from_day integer NOT NULL,
        point_value_minor numeric NOT NULL CHECK (point_value_minor >= 0),
        members bigint NOT NULL,
        -- The slices that have members, each computed by itself.
        slices smallint[] NOT NULL,
        creator text NOT NULL,
        create_time timestamptz NOT NULL,
        FOREIGN KEY (group_id, version) REFERENCES rule_sets
    );
    CREATE TABLE preview_slices (
        preview_id uuid NOT NULL REFERENCES previews ON DELETE CASCADE,
        slice smallint NOT NULL,
        members bigint NOT NULL,
        result json NOT NULL,
        PRIMARY KEY (preview_id, slice)
    );
    CREATE TABLE preview_movers (
        preview_id uuid NOT NULL REFERENCES previews ON DELETE CASCADE,
        member integer NOT NULL REFERENCES members,
        old_tier text NOT NULL,
        new_tier text NOT NULL,
        direction smallint NOT NULL,
        points bigint NOT NULL,
        spend_minor bigint NOT NULL,
        visits bigint NOT NULL,
        PRIMARY KEY (preview_id, member)
    )"""


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (MEMBERS, ACTIVITY, RULES, TIERS, PREVIEWS):
        connection.exec_driver_sql(statement)
    for number in range(SLICES):
        connection.exec_driver_sql(
            f"CREATE TABLE activity_{number:02d} PARTITION OF activity FOR VALUES IN ({number})"
        )
    for statement in (outbox.create_table("public"), inbox.TABLES):
        connection.exec_driver_sql(statement)
