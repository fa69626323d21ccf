"""Members, identities, cards, consents, remembered enrolments, outbox and inbox."""

from alembic import op

from services.plumbing import inbox, outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
    CREATE SEQUENCE enrolments AS bigint;

    CREATE TABLE members (
        id uuid PRIMARY KEY,
        -- Lists are read in its order, and the membership number is made of it.
        sequence bigint NOT NULL UNIQUE CHECK (sequence > 0),
        given_name text NOT NULL CHECK (length(given_name) <= 100),
        family_name text NOT NULL CHECK (length(family_name) <= 100),
        preferences jsonb NOT NULL CHECK (jsonb_typeof(preferences) = 'object'),
        enrol_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        version bigint NOT NULL CHECK (version > 0)
    );

    -- What was asked under a request_id, so that a retry gets the first answer.
    CREATE TABLE enrolment_requests (
        request_id uuid PRIMARY KEY,
        fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
        -- Checked at COMMIT: the request is noted before there is a member.
        member_id uuid NOT NULL REFERENCES members DEFERRABLE INITIALLY DEFERRED
    );

    -- The one place that decides whose an identity is.
    CREATE TABLE identities (
        kind text NOT NULL
            CHECK (kind IN ('card_token', 'email', 'membership_number', 'phone')),
        value text NOT NULL,
        member_id uuid NOT NULL REFERENCES members,
        -- The kinds of which a member has one: all but cards.
        single_kind text GENERATED ALWAYS AS (NULLIF(kind, 'card_token')) STORED,
        PRIMARY KEY (kind, value),
        -- Checked at COMMIT: identities are given up and taken in key order.
        UNIQUE (member_id, single_kind) DEFERRABLE INITIALLY DEFERRED,
        CHECK (kind <> 'card_token' OR value ~ '^[A-Za-z0-9._:-]{4,64}$'),
        CHECK (kind <> 'email' OR value = lower(value)),
        CHECK (kind <> 'membership_number' OR value ~ '^[0-9]{13}$'),
        CHECK (kind <> 'phone' OR value ~ '^[+][1-9][0-9]{1,14}$')
    );

    CREATE TABLE cards (
        token text PRIMARY KEY,
        kind text NOT NULL GENERATED ALWAYS AS ('card_token') STORED,
        member_id uuid NOT NULL REFERENCES members,
        state text NOT NULL CHECK (state IN ('active', 'replaced', 'blocked')),
        issue_time timestamptz NOT NULL,
        end_time timestamptz,
        replaced_by text UNIQUE,
        block_reason text,
        UNIQUE (member_id, token),
        FOREIGN KEY (kind, token) REFERENCES identities,
        -- By a card of the same member.
        FOREIGN KEY (member_id, replaced_by) REFERENCES cards (member_id, token),
        CHECK ((state = 'active') = (end_time IS NULL)),
        CHECK ((state = 'replaced') = (replaced_by IS NOT NULL)),
        CHECK ((state = 'blocked') = (block_reason IS NOT NULL))
    );

    -- All that was ever said; nothing is changed here.
    CREATE TABLE consents (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        member_id uuid NOT NULL REFERENCES members,
        purpose text NOT NULL CHECK (purpose <> ''),
        channel text NOT NULL CHECK (channel <> ''),
        granted boolean NOT NULL,
        time timestamptz NOT NULL,
        method text NOT NULL CHECK (method <> ''),
        source text NOT NULL CHECK (source <> ''),
        UNIQUE (member_id, time, purpose, channel, granted, method, source)
    )"""


def upgrade() -> None:
    for statement in (TABLES, outbox.create_table("public"), inbox.TABLES):
        op.get_bind().exec_driver_sql(statement)
