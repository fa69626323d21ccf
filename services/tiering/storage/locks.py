"""Locks of names, held until a connection's transaction ends."""

from sqlalchemy import Connection

from services.plumbing.prepared import Statement

# Every event takes some.
SHARED = Statement("lock_shared", "text", "SELECT pg_advisory_xact_lock_shared(hashtext($1))")


def share(connection: Connection, name: str) -> None:
    """Any number may share a lock, while nobody has it alone."""
    SHARED.run(connection, name)


def take(connection: Connection, name: str) -> None:
    """Be the only one to have a lock."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext(%s))", (name,))
