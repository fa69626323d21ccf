"""Locust's tills against a platform: a short Saturday, and one on which everything is refused."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from loadtests.load import ROOT, prepare, run_locust
from loadtests.tills.customers import Customers
from services.cli.platform import running_platform

SECONDS_MAX = 240


def test_short_load_ends_well_with_a_report_and_right_books(tmp_path: Path) -> None:
    report = tmp_path / "report.html"

    finished = subprocess.run(
        [
            *(sys.executable, "-m", "loadtests.load", "--users", "8", "--seconds", "6"),
            *("--report", str(report)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "the books are right" in finished.stdout
    for call in ("RecordSale", "GetMemberTier", "GetPool", "TransferPoints", "MergeMembers"):
        assert call in finished.stdout
        assert call in report.read_text()


def test_unexpected_refusals_are_counted_by_reason(tmp_path: Path) -> None:
    with running_platform(tmp_path / "platform") as platform:
        prepare(platform, users=2, console=Console(quiet=True))
        known = Customers.load(platform.data_dir)
        swapped = replace(known, cards=known.blocked_cards, blocked_cards=known.cards)
        swapped.save(platform.data_dir)

        outcome = run_locust(platform.data_dir, users=4, seconds=4, report=tmp_path / "report.html")

    refused = {failure.reason for failure in outcome.failures if failure.name == "RecordSale"}
    assert refused == {"CARD_BLOCKED"}
    assert not outcome.is_good
