"""What `loyalty audit` prints and how it ends."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.cli.run_file import RunningPlatform
from services.ledger.domain.audit import (
    CHECKS,
    MERGES_END,
    SHARED_HOLDS_AGREE,
    TRANSFERS_ARRIVE,
)
from services.plumbing.database import engine, transaction

Database = Callable[[str], str]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", *arguments])
    return result.exit_code, result.output


def spoil(url: str) -> None:
    source = engine(url, pool_size=1)
    with transaction(source) as connection:
        connection.exec_driver_sql(
            "INSERT INTO ledger_00.wallets (wallet_id, available) VALUES (4, 7)"
        )
    source.dispose()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory without a platform, and an environment that names no database."""
    monkeypatch.delenv("LEDGER_DATABASE_URL", raising=False)
    return tmp_path


def ran_once(data: Path, ledger_url: str) -> None:
    """Leave what a `loyalty up` leaves that was killed."""
    RunningPlatform(
        data_dir=data,
        pid=2**22 + 1,
        started=0.0,
        ready=True,
        processes=(),
        database_urls={"ledger": ledger_url},
        jwks_url="",
        issuer="",
        audience="",
    ).save()


def test_right_books_end_with_zero_and_a_row_for_every_check(
    nowhere: Path, ledger_with_history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    ran_once(nowhere, ledger_with_history)
    code, output = run("--data", str(nowhere))
    assert code == 0
    assert all(sentence in output for sentence in CHECKS.values())
    assert "the books are right" in output


def test_json_has_every_check_and_nothing_else(nowhere: Path, ledger_with_history: str) -> None:
    ran_once(nowhere, ledger_with_history)
    code, output = run("--data", str(nowhere), "--json")
    report = json.loads(output)
    assert code == 0
    assert set(report) == {"ok", "checks", "seconds"}
    assert report["ok"] is True
    assert report["seconds"] > 0
    assert [check["name"] for check in report["checks"]] == list(CHECKS)
    # Nobody in these books sent points, spent those of several wallets, or was merged.
    unused = {TRANSFERS_ARRIVE, SHARED_HOLDS_AGREE, MERGES_END}
    assert {check["name"] for check in report["checks"] if not check["checked"]} == unused
    assert all(check["problems"] == [] for check in report["checks"])


def test_wrong_books_end_with_one_and_say_what_is_wrong(nowhere: Path, database: Database) -> None:
    url = database("ledger")
    spoil(url)
    ran_once(nowhere, url)
    code, output = run("--data", str(nowhere))
    assert code == 1
    assert "wallet 4: it holds 7 points, its lots 0 less 0 overdrawn" in output
    code, output = run("--data", str(nowhere), "--json")
    report = json.loads(output)
    assert code == 1
    assert report["ok"] is False
    (off,) = (check for check in report["checks"] if check["problems"])
    assert off == {
        "name": "balances_equal_lots_and_entries",
        "checked": 1,
        "problem_count": 1,
        "problems": [
            (
                "wallet 4: it holds 7 points, its lots 0 less 0 overdrawn;"
                " it holds 7 points, its entries sum to 0"
            )
        ],
    }


def test_environment_names_the_database_where_nothing_ran(
    nowhere: Path, ledger_with_history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", ledger_with_history)
    assert run("--data", str(nowhere))[0] == 0


def test_nothing_to_audit_says_so(nowhere: Path) -> None:
    code, output = run("--data", str(nowhere))
    assert code == 2
    assert output == (
        f"loyalty audit: nothing ran on {nowhere};"
        f" start it with: loyalty up --data {nowhere}, or set LEDGER_DATABASE_URL\n"
    )


def test_database_that_is_away_is_said_so(nowhere: Path, database: Database) -> None:
    url = database("ledger")
    ran_once(nowhere, url.replace("/ledger", "/no_ledger"))
    code, output = run("--data", str(nowhere))
    assert code == 2
    assert output.startswith("loyalty audit: the ledger's database does not answer: ")
    assert "Traceback" not in output
