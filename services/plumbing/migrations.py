"""Migrations by Alembic, which takes long to import: for who migrates, and nobody else."""

from pathlib import Path
from typing import Any

import alembic.command
import alembic.config

from services.plumbing.database import engine


def migrate(url: str, migrations: Path, **options: object) -> None:
    """Bring a service's database to the newest version; a second migrator waits for the first.

    options are seen by the migrations as `context.config.attributes`.
    """
    configuration = alembic.config.Config()
    configuration.set_main_option("script_location", str(migrations))
    configuration.attributes.update(options)
    migrating = engine(url, pool_size=1)
    try:
        with migrating.connect() as connection:
            # Held by the session, so that it outlives the transactions of single migrations.
            connection.exec_driver_sql("SELECT pg_advisory_lock(hashtext('migrate'))")
            connection.commit()
            configuration.attributes["connection"] = connection
            alembic.command.upgrade(configuration, "head")
            connection.exec_driver_sql("SELECT pg_advisory_unlock(hashtext('migrate'))")
            connection.commit()
    finally:
        migrating.dispose()


def run_migrations(context: Any) -> None:
    """What a service's `migrations/env.py` does."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
