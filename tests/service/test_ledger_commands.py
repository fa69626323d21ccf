"""What commands print and write of a ledger that answers: `loyalty liability`, `loyalty call`."""

import asyncio
import csv
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.cli.run_file import RunningPlatform, RunningProcess
from tests.service import servers
from tests.service.ledger_history import make_history
from tests.service.tokens import Tokens


@pytest.fixture
async def data(tmp_path: Path, database: Callable[[str], str]) -> AsyncIterator[Path]:
    """The directory of a platform of which only the ledger runs, with points of March 2024."""
    tokens = Tokens(tmp_path / "issuer")
    url = database("ledger")
    make_history(url)
    ledger = await servers.start("ledger", url, tokens.settings)
    here = psutil.Process(os.getpid())
    process = RunningProcess(
        "ledger", here.pid, here.create_time(), (), grpc_address=ledger.address
    )
    RunningPlatform(
        data_dir=tmp_path,
        pid=here.pid,
        started=here.create_time(),
        ready=True,
        processes=(process,),
        database_urls={"ledger": url},
        jwks_url=tokens.settings.jwks_url,
        issuer=tokens.settings.issuer,
        audience=tokens.settings.audience,
    ).save()
    yield tmp_path
    await ledger.stop()


async def loyalty(data: Path, command: str, *arguments: str) -> tuple[int, str]:
    result = await asyncio.to_thread(
        CliRunner().invoke, app, [command, "--data", str(data), *arguments]
    )
    return result.exit_code, result.output


async def test_an_accountant_gets_a_table_a_file_and_json(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    file = tmp_path / "march.csv"
    code, output = await loyalty(data, "liability", "--month", "2024-03", "--csv", str(file))
    assert code == 0
    assert "2024-03-01 to 2024-03-31, ties to the books" in output
    code, output = await loyalty(
        data,
        "liability",
        "--month",
        "2024-04",
        "--expiry-months",
        "1",
        "--point-value",
        "0.5",
        "--json",
    )
    assert code == 0
    found = json.loads(output)
    assert found["ties"] is True
    assert found["asOfDay"] == "2024-04-30"
    assert found["whatIf"]["expiryCount"] == 1
    with file.open(newline="") as source:
        rows = {(row["section"], row["item"]): row["points"] for row in csv.DictReader(source)}
    assert rows["movement", "closing"] == found["movement"]["openingPoints"]


async def test_what_cannot_be_answered_says_why(data: Path, tmp_path: Path) -> None:
    code, output = await loyalty(data, "liability", "--month", "March")
    assert (code, output) == (1, "loyalty liability: March: a month is written as in 2024-03\n")
    code, output = await loyalty(data, "liability", "--point-value", "much")
    assert code == 1
    assert "INVALID_ARGUMENT INVALID_REQUEST" in output
    code, output = await loyalty(tmp_path / "nowhere", "liability")
    assert code == 1
    assert "nothing runs on" in output


async def test_what_one_person_proposes_another_approves(data: Path) -> None:
    asked = {
        "wallet": "wallets/1",
        "points": 20_000,
        "kind": "POINT_KIND_REDEEMABLE",
        "reason": "a lost parcel",
    }
    code, output = await loyalty(data, "call", "AdjustPoints", json.dumps(asked))
    assert code == 0
    assert list(json.loads(output)) == ["proposal"]
    decision = output
    code, output = await loyalty(data, "call", "ApproveAdjustment", decision)
    assert code == 1
    assert "PERMISSION_DENIED OWN_PROPOSAL" in output
    code, output = await loyalty(data, "call", "--subject", "bo", "ApproveAdjustment", decision)
    assert code == 0
    approved = json.loads(output)["proposal"]
    assert (approved["state"], approved["decider"]) == ("STATE_APPROVED", "bo")
