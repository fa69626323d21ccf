"""A till in JavaScript, which has the contract and gRPC's own library, and nothing of ours."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from services.cli.audit import run_audit
from tests.faults.programme import Programme
from tests.faults.proof import recorded

ROOT = Path(__file__).parents[2]
TILL = ROOT / "tests" / "javascript"
CONTRACT = ROOT / "stubs" / "image.binpb"
CARD_TOKEN = "javascript-1"
INSTALL_SECONDS_MAX = 240
TILL_SECONDS_MAX = 200
BOTH_KINDS = ("POINT_KIND_REDEEMABLE", "POINT_KIND_QUALIFYING")


@pytest.fixture(scope="module")
def packages() -> Path:
    """Where the packages of package.json are; installed once for each content of it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing = "node and npm are not installed"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(missing)
        pytest.skip(missing)
    wanted = (TILL / "package.json").read_bytes()
    installed = ROOT / ".cache" / f"javascript-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if not installed.exists():
        installed.parent.mkdir(exist_ok=True)
        # Under another name first: an interruption leaves nothing half installed.
        with tempfile.TemporaryDirectory(dir=installed.parent) as growing:
            shutil.copy(TILL / "package.json", growing)
            flags = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
            run("npm", "install", *flags, folder=Path(growing), seconds=INSTALL_SECONDS_MAX)
            shutil.copytree(growing, installed, symlinks=True)
    return installed / "node_modules"


def run(*command: str, folder: Path, seconds: float, **environment: str) -> str:
    """What a command prints; the test fails with its words when it does."""
    finished = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def points(answer: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(each["rule"], each["kind"], each["points"]) for each in answer["points"]]


def test_till_in_javascript_needs_the_contract_alone(packages: Path, programme: Programme) -> None:
    ((_, authorization),) = programme.bearer("sales.write", subject="terminals/31/js-1")
    printed = run(
        "node",
        "till.js",
        folder=TILL,
        seconds=TILL_SECONDS_MAX,
        NODE_PATH=str(packages),
        LEDGER_ADDRESS=programme.ledger_address,
        TOKEN=authorization.removeprefix("Bearer "),
        CARD_TOKEN=CARD_TOKEN,
        CONTRACT=str(CONTRACT),
    )
    answers = json.loads(printed)
    sold, back = answers["recorded"], answers["returned"]
    assert points(sold) == [("base", kind, 16) for kind in BOTH_KINDS]
    assert sold["flags"] == ["FLAG_UNKNOWN_CARD"]
    assert sold["receipt_texts"] == ["You earned 16 points.", "Your balance: 16 points."]
    assert answers["repeated"] == sold
    assert answers["refused"] == {
        "code": "ALREADY_EXISTS",
        "reason": "REQUEST_ID_REUSED",
        "domain": "ledger.loyalty.example",
    }
    assert back["sale"] == sold["sale"]
    assert points(back) == [("base", kind, -13) for kind in BOTH_KINDS]
    assert back["balance"] == {"available": 3, "pending": 0, "qualifying": 3, "held": 0}
    effects = recorded(programme.ledger_url, [CARD_TOKEN])
    assert sorted(effect.available for effect in effects) == [3, 16]
    assert run_audit(programme.ledger_url).ok
