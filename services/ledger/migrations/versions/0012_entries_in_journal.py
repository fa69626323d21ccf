"""Entries lie in their documents' rows, and what accounts gave in those of batches: each was
written with the other, in a table and an index of its own.
"""

from alembic import op
from alembic.util import CommandError

revision = "0012"
down_revision = "0011"

# Of a record IS NOT NULL says that no field is null.
TYPES = """
    CREATE TYPE public.entry_fields AS (
        points bigint,
        basis bigint,
        policy_version integer,
        kind smallint,
        account smallint,
        rule text,
        lines integer[]
    );
    CREATE DOMAIN public.posted_entry AS public.entry_fields CHECK (
        VALUE IS NOT NULL AND (VALUE).points <> 0 AND (VALUE).kind IN (1, 2)
        AND (VALUE).account BETWEEN 1 AND 5);
    CREATE TYPE public.movement_fields AS (account smallint, kind smallint, points bigint);
    CREATE DOMAIN public.account_movement AS public.movement_fields CHECK (VALUE IS NOT NULL)"""

# Rewritten once by an expression, the tables keep their size: an update would double it.
SHARD = """
    CREATE OR REPLACE FUNCTION pg_temp.entries_of(document bigint)
    RETURNS public.posted_entry[] LANGUAGE sql STABLE AS $$
        SELECT coalesce(array_agg(
                   ROW(points, basis, policy_version, kind, account, rule, lines)
                       ::public.posted_entry ORDER BY ordinal), '{{}}')
        FROM {schema}.entries WHERE document_id = document $$;
    CREATE OR REPLACE FUNCTION pg_temp.movements_of(batch bigint)
    RETURNS public.account_movement[] LANGUAGE sql STABLE AS $$
        SELECT coalesce(array_agg(
                   ROW(account, kind, points)::public.account_movement
                   ORDER BY account, kind), '{{}}')
        FROM {schema}.account_movements WHERE batch_id = batch $$;
    ALTER TABLE {schema}.journal ADD COLUMN entries public.posted_entry[];
    ALTER TABLE {schema}.journal
        ALTER COLUMN entries TYPE public.posted_entry[] USING pg_temp.entries_of(document_id),
        ALTER COLUMN entries SET NOT NULL,
        ALTER COLUMN entries SET STORAGE EXTERNAL;
    ALTER TABLE {schema}.batches ADD COLUMN movements public.account_movement[];
    ALTER TABLE {schema}.batches
        ALTER COLUMN movements TYPE public.account_movement[]
            USING pg_temp.movements_of(batch_id),
        ALTER COLUMN movements SET NOT NULL;
    ALTER TABLE {schema}.entries RENAME TO entries_apart;
    ALTER TABLE {schema}.account_movements RENAME TO movements_apart;
    -- The place of an entry is its ordinal.
    CREATE VIEW {schema}.entries AS
        SELECT document_id, wallet_id, e.points, e.basis, e.policy_version,
               e.ordinal::smallint AS ordinal, e.kind, e.account, e.rule, e.lines
        FROM {schema}.journal CROSS JOIN LATERAL unnest(entries) WITH ORDINALITY
             AS e (points, basis, policy_version, kind, account, rule, lines, ordinal);
    CREATE VIEW {schema}.account_movements AS
        SELECT batch_id, m.account, m.kind, m.points
        FROM {schema}.batches CROSS JOIN LATERAL unnest(movements) AS m (account, kind, points)"""

LOST = """
    SELECT (SELECT count(*) FROM (
                TABLE {schema}.entries_apart EXCEPT TABLE {schema}.entries) AS entry)
         + (SELECT count(*) FROM (
                TABLE {schema}.movements_apart EXCEPT TABLE {schema}.account_movements) AS moved)"""
DROP = "DROP TABLE {schema}.entries_apart, {schema}.movements_apart"


def upgrade() -> None:
    # A long history takes longer to rewrite than any statement of a service may.
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute(TYPES)
    connection = op.get_bind()
    for number in range(connection.exec_driver_sql("SELECT shards FROM programme").scalar_one()):
        schema = f"ledger_{number:02d}"
        op.execute(SHARD.format(schema=schema))
        lost = connection.exec_driver_sql(LOST.format(schema=schema)).scalar_one()
        if lost:
            raise CommandError(
                f"{lost} entries or movements of {schema} are of no document or batch, or leave"
                " gaps; the audit names them"
            )
        op.execute(DROP.format(schema=schema))


def downgrade() -> None:
    raise CommandError("books are not undone; restore a backup")
