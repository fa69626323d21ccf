"""Outboxes are read by position, cursors say which outbox they are of, parked events come back."""

from alembic import op
from alembic.util import CommandError

from services.plumbing import inbox, outbox

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    connection = op.get_bind()
    for schema in outbox.streams(connection):
        outbox.upgrade(connection, schema)
    inbox.upgrade(connection)


def downgrade() -> None:
    raise CommandError("what was announced since is not undone; restore a backup")
