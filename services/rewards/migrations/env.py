"""Alembic's environment: the connection comes from services.plumbing.migrations.migrate."""

from alembic import context

from services.plumbing.migrations import run_migrations

run_migrations(context)
