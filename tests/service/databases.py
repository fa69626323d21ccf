"""Databases of services: migrated once, copied when asked for, and put back to be used again."""

import importlib
import uuid
from pathlib import Path

import alembic.command
import alembic.config
from sqlalchemy import make_url

from services.plumbing.database import engine
from services.plumbing.embedded_postgres import PostgresServer
from services.plumbing.migrations import migrate
from tests.disk import execute
from tests.service.recycling import Contents, original, put_back

# What a service's migrations are told, where they are told anything.
MIGRATION_OPTIONS: dict[str, dict[str, object]] = {"ledger": {"shards": 2}}


class Databases:
    """Of one database server; every URL it gives is a database as good as new."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres
        self._templates: dict[str, Contents] = {}
        self._spares: dict[str, list[str]] = {}

    def create(self, service: str) -> str:
        """The URL of a migrated database of a service in which nothing has happened yet."""
        template = self._template(service)
        spares = self._spares.get(service)
        if spares:
            return spares.pop()
        return self._create(service, f" TEMPLATE {template} STRATEGY FILE_COPY")

    def give_back(self, service: str, url: str) -> None:
        """Let another test have what one has used."""
        if put_back(url, self._templates[self._template(service)]):
            self._spares.setdefault(service, []).append(url)
        else:
            self.drop(url)

    def create_empty(self) -> str:
        """The URL of a new database with nothing in it."""
        return self._create("empty", " STRATEGY FILE_COPY")

    def drop(self, url: str) -> None:
        self._execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def _create(self, prefix: str, options: str) -> str:
        name = f"{prefix}_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name}{options}")
        return self._postgres.url_of(name)

    def _template(self, service: str) -> str:
        name = f"{service}_template"
        if name not in self._templates:
            self._postgres.create_database(name)
            migrations = importlib.import_module(f"services.{service}.main").MIGRATIONS
            options = MIGRATION_OPTIONS.get(service, {})
            url = self._postgres.url_of(name)
            migrate(url, migrations, **options)
            self._templates[name] = original(url)
        return name

    def _execute(self, statement: str) -> None:
        execute(self._postgres.url_of("postgres"), statement)


def upgrade(url: str, migrations: Path, revision: str, **options: object) -> None:
    """Bring a database to an earlier version than the newest; options as `migrate` takes them."""
    configuration = alembic.config.Config()
    configuration.set_main_option("script_location", str(migrations))
    configuration.attributes.update(options)
    database = engine(url, pool_size=1)
    with database.connect() as connection:
        configuration.attributes["connection"] = connection
        alembic.command.upgrade(configuration, revision)
        connection.commit()
    database.dispose()
