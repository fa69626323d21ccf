"""Brings the databases of all services to their newest versions, as each one's `migrate` would.

One process for all of them: Alembic takes long to import, and what a server imports longer still.
"""

import os
from pathlib import Path

from services.cli.service_table import SERVICES
from services.ledger.settings import LedgerSettings
from services.plumbing import telemetry
from services.plumbing.config import LogSettings, read
from services.plumbing.migrations import migrate

SERVICES_DIRECTORY = Path(__file__).parents[1]


def main() -> None:
    telemetry.start_logging(read(LogSettings).level)
    # What a service's migrations are told, where they are told anything.
    options: dict[str, dict[str, object]] = {"ledger": {"shards": read(LedgerSettings).shards}}
    for service in SERVICES:
        url = os.environ[f"{service.variables}_DATABASE_URL"]
        migrate(
            url, SERVICES_DIRECTORY / service.name / "migrations", **options.get(service.name, {})
        )


if __name__ == "__main__":
    main()
