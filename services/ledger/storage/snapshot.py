"""Reading the books as they stand at one moment, while tills go on."""

from sqlalchemy import Connection

# Whole tables are read; what takes longer than this hangs.
STATEMENT_SECONDS_MAX = 3_600


def take_snapshot(connection: Connection) -> None:
    """Let a transaction see one state of the database, and write nothing; its first statement."""
    connection.exec_driver_sql(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
        f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS_MAX}s';"
        # Whole tables meet: a plan that looks rows up one by one is wrong, whatever old
        # statistics say.
        "SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '64MB';"
        # One core a reader: the others are the tills'.
        "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off"
    )
