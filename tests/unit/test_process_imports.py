"""What a process does not import, for it would make every start slower."""

import subprocess
import sys

import pytest

SERVERS = (
    "services.members.main",
    "services.ledger.main",
    "services.ledger.committing",
    "services.tiering.main",
    "services.tiering.preview_process",
    "services.rewards.main",
)
WORKERS = (
    "services.members.worker",
    "services.ledger.worker",
    "services.tiering.worker",
    "services.rewards.worker",
    "services.cli.embedded_bus",
)


@pytest.mark.parametrize("modules", [SERVERS, WORKERS])
def test_nobody_but_migrations_imports_alembic(modules: tuple[str, ...]) -> None:
    code = f"import sys, {', '.join(modules)}; print('alembic' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False\n"
