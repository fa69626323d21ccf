"""Alembic's environment: the connection comes from services.plumbing.database.migrate."""

from alembic import context

from services.plumbing.database import run_migrations

run_migrations(context)
