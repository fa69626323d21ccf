"""One table of what was asked, enrolments included, with the time of each, so that it is pruned."""

from alembic import op
from alembic.util import CommandError

revision = "0004"
down_revision = "0003"

# Of a request_id that was used for an enrolment and for something else the latter is remembered.
REQUESTS = """
    ALTER TABLE requests ADD COLUMN note_time timestamptz NOT NULL DEFAULT now();
    INSERT INTO requests (request_id, fingerprint, subject_id)
        SELECT request_id, fingerprint, member_id FROM enrolment_requests ON CONFLICT DO NOTHING;
    DROP TABLE enrolment_requests;
    CREATE INDEX requests_by_time ON requests (note_time);
    CREATE INDEX requests_by_subject ON requests (subject_id)"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(REQUESTS)


def downgrade() -> None:
    raise CommandError("what was asked is not told apart again; restore a backup")
