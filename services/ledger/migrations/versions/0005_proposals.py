"""Adjustments that wait for a second person."""

from alembic import op
from alembic.util import CommandError

revision = "0005"
down_revision = "0004"

PROPOSALS = """
    CREATE TABLE adjustment_proposals (
        proposal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        wallet_id bigint NOT NULL,
        -- Of the request that made it. Approved, it is posted under that request, so once.
        request_id uuid NOT NULL,
        body_hash uuid NOT NULL,
        points bigint NOT NULL CHECK (points <> 0),
        kind smallint NOT NULL CHECK (kind IN (1, 2)),
        -- Null: when it is approved.
        business_time timestamptz,
        propose_time timestamptz NOT NULL,
        proposer text NOT NULL,
        reason text NOT NULL,
        reference text NOT NULL,
        state smallint NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 4),
        decider text,
        decide_time timestamptz,
        decide_request_id uuid,
        decide_body_hash uuid,
        note text NOT NULL DEFAULT '',
        -- What it became in the journal; zero until then.
        document_id bigint NOT NULL DEFAULT 0,
        -- The reason of the refusal it ended with.
        failure text NOT NULL DEFAULT '',
        UNIQUE (wallet_id, request_id),
        CHECK ((state = 1) = (decider IS NULL)),
        CHECK (decider <> proposer),
        CHECK (document_id = 0 OR state = 2),
        CHECK ((state = 4) = (failure <> ''))
    );
    CREATE INDEX adjustment_proposals_unapplied ON adjustment_proposals (proposal_id)
        WHERE state = 2 AND document_id = 0;
    CREATE INDEX adjustment_proposals_by_state ON adjustment_proposals (state, proposal_id);
    CREATE INDEX adjustment_proposals_by_proposer
        ON adjustment_proposals (proposer, proposal_id)"""


def upgrade() -> None:
    op.execute(PROPOSALS)


def downgrade() -> None:
    raise CommandError("what people proposed and decided is not undone; restore a backup")
