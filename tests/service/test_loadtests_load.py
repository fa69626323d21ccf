"""Locust's tills against a platform: a short Saturday, and one on which everything is refused."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests import load
from loadtests.tills.customers import Customers
from services.cli.platform import running_platform
from services.cli.run_file import RunningPlatform


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    with running_platform(tmp_path_factory.mktemp("load") / "platform") as running:
        yield running


def test_short_load_ends_well_with_a_report_and_right_books(
    platform: RunningPlatform,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = tmp_path / "report.html"
    arguments = ["--users", "8", "--seconds", "6", "--report", str(report)]
    monkeypatch.setattr(sys, "argv", ["loadtests.load", *arguments])
    # The next test goes on with the platform.
    monkeypatch.setattr(load, "running_platform", lambda _: nullcontext(platform))

    load.main()

    printed = capsys.readouterr().out
    assert "the books are right" in printed
    for call in ("RecordSale", "GetMemberTier", "GetPool", "TransferPoints", "MergeMembers"):
        assert call in printed
        assert call in report.read_text()


def test_unexpected_refusals_are_counted_by_reason(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    known = Customers.load(platform.data_dir)
    swapped = replace(known, cards=known.blocked_cards, blocked_cards=known.cards)
    swapped.save(platform.data_dir)

    outcome = load.run_locust(
        platform.data_dir, users=4, seconds=4, report=tmp_path / "report.html"
    )

    refused = {failure.reason for failure in outcome.failures if failure.name == "RecordSale"}
    assert refused == {"CARD_BLOCKED"}
    assert not outcome.is_good
