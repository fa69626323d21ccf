import json
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner, Result

from services.cli.main import app
from services.plumbing.development_issuer import open_issuer

# What takes long to import, and what only some commands need.
HEAVY = ("grpc", "sqlalchemy", "psycopg2", "nameko", "jwt", "google", "alembic")


def loyalty(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from services.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_token_carries_what_was_asked_for(tmp_path: Path) -> None:
    issuer = open_issuer(tmp_path / "issuer", audience="loyalty")
    result = loyalty(
        *("token", "--data", str(tmp_path), "--subject", "terminals/31/4"),
        *("--scope", "sales.write wallets.read", "--store", "31", "--store", "32"),
        *("--role", "supervisor", "--lifetime-seconds", "120"),
    )
    assert result.exit_code == 0
    claims = jwt.decode(
        result.output.strip(), issuer.key.public_key(), algorithms=["ES256"], audience="loyalty"
    )
    assert claims["sub"] == "terminals/31/4"
    assert claims["scope"] == "sales.write wallets.read"
    assert claims["stores"] == ["31", "32"]
    assert claims["roles"] == ["supervisor"]
    assert claims["exp"] - claims["iat"] == 120


def test_token_without_a_platform_says_what_to_do_and_makes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    result = loyalty("token", "--data", str(data), "--subject", "a", "--scope", "b")
    assert result.exit_code == 1
    assert result.stderr == (
        f"loyalty token: no keys in {data}; start it once with: loyalty up --data {data}\n"
    )
    assert not data.exists()


def test_status_where_nothing_runs_exits_1(tmp_path: Path) -> None:
    result = loyalty("status", "--data", str(tmp_path))
    assert result.exit_code == 1
    assert result.stderr == (
        f"loyalty status: nothing runs on {tmp_path}; start it with: loyalty up --data {tmp_path}\n"
    )


def test_night_where_nothing_runs_exits_1(tmp_path: Path) -> None:
    result = loyalty("night", "--data", str(tmp_path))
    assert result.exit_code == 1
    assert result.stderr == (
        f"loyalty night: nothing runs on {tmp_path}; start it with: loyalty up --data {tmp_path}\n"
    )


def test_status_as_json_where_nothing_runs_is_json_too(tmp_path: Path) -> None:
    result = loyalty("status", "--data", str(tmp_path), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["healthy"] is False


@pytest.mark.parametrize("seconds", ["0", "-5", "soon"])
def test_token_without_a_lifetime_is_refused(tmp_path: Path, seconds: str) -> None:
    open_issuer(tmp_path / "issuer", audience="loyalty")
    result = loyalty(
        *("token", "--data", str(tmp_path), "--subject", "a", "--scope", "b"),
        *("--lifetime-seconds", seconds),
    )
    assert result.exit_code == 2
