"""Rewards, what is known of members, code pools, vouchers, redemptions, outbox and inbox."""

from alembic import op

from services.plumbing import inbox, outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CATALOGUE = """
    CREATE TABLE rewards (
        reward_id text COLLATE "C" PRIMARY KEY CHECK (reward_id ~ '^[a-z][a-z0-9-]{0,62}$'),
        state text NOT NULL CHECK (state IN ('draft', 'published', 'ended')),
        -- Counts every change but the stock's.
        revision bigint NOT NULL DEFAULT 1 CHECK (revision > 0),
        latest_version integer NOT NULL CHECK (latest_version > 0),
        published_version integer,
        stock json NOT NULL,
        request_id uuid NOT NULL UNIQUE,
        fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
        create_time timestamptz NOT NULL,
        CHECK ((state = 'published') = (published_version IS NOT NULL))
    );

    -- Descriptions; nothing is changed here but who published it.
    CREATE TABLE reward_versions (
        reward_id text COLLATE "C" NOT NULL REFERENCES rewards,
        version integer NOT NULL CHECK (version > 0),
        definition json NOT NULL,
        creator text NOT NULL,
        create_time timestamptz NOT NULL,
        publisher text,
        publish_time timestamptz,
        PRIMARY KEY (reward_id, version),
        CHECK ((publisher IS NULL) = (publish_time IS NULL))
    );

    -- Which version was in force from when until when; end_time is null while it is.
    CREATE TABLE publications (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        reward_id text COLLATE "C" NOT NULL,
        version integer NOT NULL,
        start_time timestamptz NOT NULL,
        end_time timestamptz CHECK (end_time >= start_time),
        FOREIGN KEY (reward_id, version) REFERENCES reward_versions
    );
    CREATE UNIQUE INDEX publications_in_force ON publications (reward_id) WHERE end_time IS NULL;
    CREATE INDEX publications_by_end ON publications (reward_id, end_time)"""

PEOPLE = """
    -- What tiering announced.
    CREATE TABLE member_tiers (
        member_id uuid NOT NULL,
        tier_group text NOT NULL,
        effective_time timestamptz NOT NULL,
        tier text NOT NULL,
        PRIMARY KEY (member_id, tier_group, effective_time)
    );
    -- Of a group's rules: the tier of members of whom nothing was announced.
    CREATE TABLE lowest_tiers (
        tier_group text NOT NULL,
        effective_time timestamptz NOT NULL,
        tier text NOT NULL,
        PRIMARY KEY (tier_group, effective_time)
    );

    CREATE TABLE segment_members (
        segment text NOT NULL,
        member_id uuid NOT NULL,
        PRIMARY KEY (segment, member_id)
    );
    CREATE INDEX segment_members_by_member ON segment_members (member_id)"""

POOLS = """
    CREATE TABLE code_pools (
        pool text PRIMARY KEY,
        create_time timestamptz NOT NULL
    );

    CREATE TABLE pool_codes (
        -- In the order they were loaded, they are given.
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        -- In capitals, without hyphens and spaces: no two codes differ by these alone.
        code_key text COLLATE "C" NOT NULL UNIQUE,
        pool text NOT NULL REFERENCES code_pools,
        code text NOT NULL,
        -- Who has it; null while it is free.
        redemption_id uuid
    ) WITH (fillfactor = 80);
    CREATE INDEX pool_codes_free ON pool_codes (pool, position) WHERE redemption_id IS NULL;
    CREATE UNIQUE INDEX pool_codes_taken ON pool_codes (redemption_id)
        WHERE redemption_id IS NOT NULL;

    -- What became of each chunk of an upload, so that one sent again gets the first answer.
    CREATE TABLE code_uploads (
        upload_id uuid NOT NULL,
        first_line bigint NOT NULL,
        pool text NOT NULL REFERENCES code_pools,
        fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
        loaded bigint NOT NULL,
        duplicates bigint NOT NULL,
        bad bigint NOT NULL,
        duplicate_lines bigint[] NOT NULL,
        bad_lines bigint[] NOT NULL,
        create_time timestamptz NOT NULL,
        PRIMARY KEY (upload_id, first_line)
    );
    CREATE INDEX code_uploads_by_pool ON code_uploads (pool)"""

VOUCHERS = """
    CREATE TABLE vouchers (
        voucher_id uuid PRIMARY KEY,
        code_key text COLLATE "C" NOT NULL UNIQUE,
        code text NOT NULL,
        member_id uuid NOT NULL,
        reward_id text COLLATE "C" NOT NULL,
        version integer NOT NULL,
        redemption_id uuid NOT NULL UNIQUE,
        issue_time timestamptz NOT NULL,
        expire_time timestamptz,
        value_minor bigint NOT NULL CHECK (value_minor >= 0),
        balance_minor bigint NOT NULL CHECK (balance_minor BETWEEN 0 AND value_minor),
        currency_code text NOT NULL,
        partial_use boolean NOT NULL,
        -- That one has expired is a matter of time, and not written.
        state text NOT NULL DEFAULT 'issued' CHECK (state IN ('issued', 'redeemed', 'revoked')),
        -- When it was last used.
        redeem_time timestamptz,
        revoke_time timestamptz,
        revoke_reason text NOT NULL DEFAULT '',
        FOREIGN KEY (reward_id, version) REFERENCES reward_versions,
        CHECK (state <> 'redeemed' OR (redeem_time IS NOT NULL AND balance_minor = 0)),
        CHECK ((state = 'revoked') = (revoke_time IS NOT NULL))
    ) WITH (fillfactor = 90);
    CREATE INDEX vouchers_by_member ON vouchers (member_id, issue_time DESC, voucher_id DESC);

    CREATE TABLE voucher_uses (
        request_id uuid PRIMARY KEY,
        fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
        voucher_id uuid NOT NULL REFERENCES vouchers,
        amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
        -- What it left.
        balance_minor bigint NOT NULL CHECK (balance_minor >= 0),
        store text NOT NULL,
        terminal text NOT NULL,
        receipt_number text NOT NULL,
        business_time timestamptz NOT NULL,
        create_time timestamptz NOT NULL
    );
    CREATE INDEX voucher_uses_by_voucher ON voucher_uses (voucher_id)"""

REDEMPTIONS = """
    CREATE TABLE redemptions (
        redemption_id uuid PRIMARY KEY,
        request_id uuid NOT NULL UNIQUE,
        -- What was asked, to tell a repetition from another request.
        fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
        member_id uuid NOT NULL,
        reward_id text COLLATE "C" NOT NULL,
        -- What was bought stays what it was; zero where nothing could be.
        reward_version integer NOT NULL,
        points bigint NOT NULL CHECK (points >= 0),
        money_minor bigint NOT NULL CHECK (money_minor >= 0),
        currency_code text NOT NULL,
        channel text NOT NULL,
        store text NOT NULL,
        -- Where the saga stands; see services.rewards.domain.saga.
        step text NOT NULL CHECK (step IN ('holding', 'capturing', 'releasing', 'completed',
            'refused', 'cancelling', 'cancelled')),
        -- Why it is undone, as it was answered.
        refusal jsonb,
        -- The ledger's names, as soon as they are known.
        hold text NOT NULL DEFAULT '',
        burn text NOT NULL DEFAULT '',
        -- The keys of the quotas of which it has a piece.
        taken jsonb NOT NULL DEFAULT '[]',
        -- The voucher it became, if it is a reward with one.
        voucher_id uuid,
        cancel_reason text NOT NULL DEFAULT '',
        complete_time timestamptz,
        cancel_time timestamptz,
        create_time timestamptz NOT NULL,
        -- As of when the points are burned.
        business_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        -- Until then somebody sees to it; null when there is nothing left to do.
        lease_time timestamptz,
        CHECK ((lease_time IS NULL) = (step IN ('completed', 'refused', 'cancelled')))
    );
    CREATE INDEX redemptions_by_member
        ON redemptions (member_id, create_time DESC, redemption_id DESC);
    CREATE INDEX redemptions_standing ON redemptions (lease_time) WHERE lease_time IS NOT NULL;
    CREATE INDEX redemptions_by_time ON redemptions (create_time) WHERE step = 'completed'"""

QUOTAS = """
    -- How many of a reward may be taken and are: in all, on a day, in a store, by a member in a
    -- period.
    CREATE TABLE quotas (
        reward_id text COLLATE "C" NOT NULL,
        -- See services.rewards.domain.quotas.
        kind text COLLATE "C" NOT NULL,
        -- The store or the member; empty otherwise.
        holder text COLLATE "C" NOT NULL,
        -- The first of the days it is for; 0001-01-01 where it is for ever.
        first_day date NOT NULL,
        taken bigint NOT NULL CHECK (taken >= 0),
        allowed bigint NOT NULL,
        PRIMARY KEY (reward_id, kind, holder, first_day),
        CHECK (taken <= allowed)
    ) WITH (fillfactor = 70)"""


def upgrade() -> None:
    connection = op.get_bind()
    for statement in (CATALOGUE, PEOPLE, POOLS, VOUCHERS, REDEMPTIONS, QUOTAS):
        connection.exec_driver_sql(statement)
    for statement in (outbox.create_table("public"), inbox.TABLES):
        connection.exec_driver_sql(statement)
