"""Which members are merged, found by their numbers."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Most are not: whoever asks of thousands at once whether they are need not look at each.
MERGED = """
    CREATE INDEX members_merged_numbers ON members (number) INCLUDE (root) WHERE root IS NOT NULL"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(MERGED)
