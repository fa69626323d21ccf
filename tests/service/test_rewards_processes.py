"""The rewards service as a process, and what it never says."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.databases import Databases
from tests.service.refusals import refused
from tests.service.rewards_calls import Rewards

DATABASE_URL = "postgresql+psycopg2://nobody@127.0.0.1:1/rewards"


def run(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REWARDS_")}
    return subprocess.run(
        [sys.executable, "-m", "services.rewards", command],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_server_names_every_variable_that_is_missing() -> None:
    ended = run("server", REWARDS_DATABASE_URL=DATABASE_URL)
    assert ended.returncode == 1
    assert ended.stderr.strip() == (
        "configuration: REWARDS_SIGNING_KEYS_FILE: Field required;"
        " REWARDS_LEDGER_TOKEN_FILE: Field required"
    )


def test_server_does_not_start_with_keys_that_are_none(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text("secret, but no keys")
    ended = run(
        "server",
        AUTH_JWKS_URL="file:///nowhere",
        AUTH_ISSUER="urn:nobody",
        REWARDS_DATABASE_URL=DATABASE_URL,
        REWARDS_SIGNING_KEYS_FILE=str(keys),
        REWARDS_LEDGER_TOKEN_FILE=str(tmp_path / "token"),
    )
    assert (ended.returncode, ended.stderr.strip()) == (
        1,
        f"signing keys: {keys} cannot be used (JSONDecodeError)",
    )


def test_migration_needs_the_database_alone(databases: Databases) -> None:
    url = databases.create_empty()
    for _ in range(2):
        assert run("migrate", REWARDS_DATABASE_URL=url).returncode == 0
    databases.drop(url)


async def test_no_log_line_has_a_code_of_a_voucher(
    rewards: Rewards, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await rewards.upload("PARTNER-CODE-1", "PARTNER-CODE-1")
    await rewards.offer()
    (voucher,) = await rewards.issued()
    await refused(rewards.use(voucher, code=f"{voucher.code}X"))
    await rewards.use(voucher)
    await refused(rewards.use(voucher))
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    assert "RedeemVoucher" in logged
    for secret in (voucher.code, voucher.code.replace("-", ""), "PARTNER-CODE-1"):
        assert secret not in logged
