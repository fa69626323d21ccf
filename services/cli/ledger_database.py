"""Where the ledger's database of a data directory, or of the environment, is."""

import os
from pathlib import Path

from services.cli.run_file import RunningPlatform

VARIABLE = "LEDGER_DATABASE_URL"


class NoLedgerDatabase(Exception):  # noqa: N818 — an answer, not an accident
    """No ledger's database can be found or reached; the message says why."""


def ledger_database_url(data_dir: Path) -> str:
    """The URL that was written to the directory last, servers up or down; else the
    environment's. Refuses: NoLedgerDatabase.
    """
    platform = RunningPlatform.last(data_dir)
    if platform is not None:
        return platform.database_urls["ledger"]
    if url := os.environ.get(VARIABLE):
        return url
    raise NoLedgerDatabase(
        f"nothing ran on {data_dir}; start it with: loyalty up --data {data_dir}, or set {VARIABLE}"
    )
