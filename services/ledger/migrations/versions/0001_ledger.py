"""The directory of cards, the earn policies, and a schema for each shard."""

from alembic import context, op
from alembic.util import CommandError

from services.plumbing import inbox, outbox

revision = "0001"
down_revision = None

DIRECTORY = """
    CREATE TABLE programme (
        singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
        shards smallint NOT NULL CHECK (shards BETWEEN 1 AND 100),
        create_time timestamptz NOT NULL DEFAULT now()
    );
    CREATE SEQUENCE wallet_ids;
    CREATE TABLE members (
        member_id uuid PRIMARY KEY,
        enrol_time timestamptz NOT NULL
    );
    CREATE TABLE wallet_owners (
        wallet_id bigint PRIMARY KEY,
        member_id uuid NOT NULL,
        attach_time timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX wallet_owners_by_member ON wallet_owners (member_id);
    CREATE TABLE cards (
        card_token text PRIMARY KEY CHECK (length(card_token) <= 64),
        wallet_id bigint NOT NULL,
        state smallint NOT NULL CHECK (state BETWEEN 1 AND 3),
        known boolean NOT NULL
    );
    CREATE TABLE earn_policies (
        version integer PRIMARY KEY CHECK (version > 0),
        effective_time timestamptz NOT NULL,
        request_id uuid NOT NULL UNIQUE,
        body_hash uuid NOT NULL,
        policy json NOT NULL
    )"""

# No foreign key and no trigger on the path of a sale: the audit proves what they would.
SHARD = """
    CREATE SCHEMA {schema};
    -- Hands out blocks: a committer numbers the documents of one itself.
    CREATE SEQUENCE {schema}.document_ids INCREMENT BY 2000;
    CREATE TABLE {schema}.wallets (
        wallet_id bigint PRIMARY KEY,
        available bigint NOT NULL DEFAULT 0,
        pending bigint NOT NULL DEFAULT 0 CHECK (pending >= 0),
        held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
        qualifying bigint NOT NULL DEFAULT 0,
        lifetime bigint NOT NULL DEFAULT 0,
        overdrawn bigint NOT NULL DEFAULT 0 CHECK (overdrawn >= 0),
        -- How many documents were posted to it.
        sequence bigint NOT NULL DEFAULT 0,
        CHECK (available >= -overdrawn)
    ) WITH (fillfactor = 50);
    CREATE TABLE {schema}.journal (
        document_id bigint PRIMARY KEY,
        wallet_id bigint NOT NULL,
        batch_id bigint NOT NULL,
        original_id bigint NOT NULL,
        amount bigint NOT NULL,
        points_forgiven bigint NOT NULL CHECK (points_forgiven >= 0),
        available bigint NOT NULL,
        pending bigint NOT NULL,
        qualifying bigint NOT NULL,
        lifetime bigint NOT NULL,
        -- The order of a wallet's documents, without gaps; zero for refused ones. Ids do not tell:
        -- every server numbers from a block of its own.
        sequence bigint NOT NULL,
        business_time timestamptz NOT NULL,
        post_time timestamptz NOT NULL,
        request_id uuid NOT NULL,
        body_hash uuid NOT NULL,
        policy_version integer NOT NULL,
        type smallint NOT NULL CHECK (type BETWEEN 1 AND 5),
        flags smallint NOT NULL,
        store text NOT NULL,
        terminal text NOT NULL,
        receipt_number text NOT NULL,
        currency text NOT NULL,
        actor text NOT NULL,
        reason text NOT NULL,
        refusal json,
        lines json NOT NULL
    );
    CREATE UNIQUE INDEX journal_request ON {schema}.journal (wallet_id, request_id);
    CREATE INDEX journal_statement ON {schema}.journal (wallet_id, business_time, document_id);
    CREATE TABLE {schema}.entries (
        document_id bigint NOT NULL,
        wallet_id bigint NOT NULL,
        points bigint NOT NULL CHECK (points <> 0),
        basis bigint NOT NULL,
        policy_version integer NOT NULL,
        ordinal smallint NOT NULL CHECK (ordinal > 0),
        kind smallint NOT NULL CHECK (kind IN (1, 2)),
        account smallint NOT NULL CHECK (account BETWEEN 1 AND 5),
        rule text NOT NULL,
        lines integer[] NOT NULL,
        PRIMARY KEY (document_id, ordinal)
    );
    CREATE TABLE {schema}.lots (
        wallet_id bigint NOT NULL,
        document_id bigint NOT NULL,
        points bigint NOT NULL CHECK (points > 0),
        remaining bigint NOT NULL CHECK (remaining BETWEEN 0 AND points),
        earn_time timestamptz NOT NULL,
        -- Null: spendable at once, and never expiring.
        available_time timestamptz,
        expire_time timestamptz,
        ordinal smallint NOT NULL,
        PRIMARY KEY (wallet_id, document_id, ordinal)
    ) WITH (fillfactor = 85);
    CREATE TABLE {schema}.lot_uses (
        document_id bigint NOT NULL,
        ordinal smallint NOT NULL,
        wallet_id bigint NOT NULL,
        lot_document_id bigint NOT NULL,
        lot_ordinal smallint NOT NULL,
        points bigint NOT NULL CHECK (points > 0),
        PRIMARY KEY (document_id, ordinal, lot_document_id, lot_ordinal),
        FOREIGN KEY (wallet_id, lot_document_id, lot_ordinal) REFERENCES {schema}.lots
    );
    CREATE INDEX lot_uses_by_lot ON {schema}.lot_uses (wallet_id, lot_document_id, lot_ordinal);
    CREATE TABLE {schema}.batches (
        batch_id bigint PRIMARY KEY,
        post_time timestamptz NOT NULL,
        -- Of the sales in it; null where it has none.
        latest_sale_time timestamptz,
        documents integer NOT NULL CHECK (documents >= 0),
        entries integer NOT NULL CHECK (entries >= 0)
    );
    CREATE TABLE {schema}.account_movements (
        batch_id bigint NOT NULL,
        account smallint NOT NULL,
        kind smallint NOT NULL,
        -- What the programme's account gave to wallets in the batch, less what it took.
        points bigint NOT NULL,
        PRIMARY KEY (batch_id, account, kind)
    )"""


def upgrade() -> None:
    shards = int(context.config.attributes["shards"])
    op.execute(DIRECTORY)
    op.execute(f"INSERT INTO programme (shards) VALUES ({shards})")  # noqa: S608 — an int
    op.execute(inbox.TABLES)
    op.execute(outbox.create_table("public"))
    for number in range(shards):
        schema = f"ledger_{number:02d}"
        op.execute(SHARD.format(schema=schema))
        op.execute(outbox.create_table(schema))


def downgrade() -> None:
    raise CommandError("books are not undone; restore a backup")
