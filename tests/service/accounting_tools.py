"""hledger and beancount: what they think of a file of books, and which balances they come to."""

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path

import beancount.loader
import pytest
from beancount.core.data import Transaction

# What an account holds, by commodity; nothing is left out.
Balances = dict[str, dict[str, int]]
INSTALL_SECONDS_MAX = 240
TOOL_SECONDS_MAX = 60


@cache
def hledger_path() -> str | None:
    """Where hledger is, which Debian packages and PyPI does not; installed where we may."""
    if shutil.which("hledger") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "hledger"]):
            subprocess.run(
                ["apt-get", "--quiet", *command],
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=INSTALL_SECONDS_MAX,
                check=False,
            )
    return shutil.which("hledger")


def installed_hledger() -> str:
    path = hledger_path()
    if path is None:
        pytest.skip("hledger is missing; install it with: apt-get install hledger")
    return path


class HledgerTool:
    """Debian's hledger."""

    def __init__(self, program: str) -> None:
        self._program = program

    def complaints(self, books: Path) -> str:
        """What `hledger check --strict` says, and that the transactions stand in time's order."""
        return self._run(books, "check", "--strict", "ordereddates").stderr

    def balances(self, books: Path) -> Balances:
        report = self._run(books, "balance", "--flat", "--no-total", "--output-format", "csv")
        rows = csv.DictReader(io.StringIO(report.stdout))
        return {row["account"]: read_amounts(row["balance"]) for row in rows}

    def _run(self, books: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, "--file", str(books), *arguments],
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=TOOL_SECONDS_MAX,
            check=False,
        )


class BeancountTool:
    """PyPI's beancount; `bean-check` prints what its loader finds."""

    def complaints(self, books: Path) -> str:
        _, errors, _ = beancount.loader.load_file(str(books))
        return "\n".join(error.message for error in errors)

    def balances(self, books: Path) -> Balances:
        sums: dict[str, dict[str, Decimal]] = {}
        for account, commodity, points in _postings(books):
            held = sums.setdefault(account, {})
            held[commodity] = held.get(commodity, Decimal(0)) + points
        return {
            account: {commodity: int(points) for commodity, points in held.items() if points}
            for account, held in sums.items()
            if any(held.values())
        }


def _postings(books: Path) -> Iterator[tuple[str, str, Decimal]]:
    directives, _, _ = beancount.loader.load_file(str(books))
    for directive in directives:
        if isinstance(directive, Transaction):
            for posting in directive.postings:
                assert posting.units is not None
                assert posting.units.number is not None
                yield posting.account, posting.units.currency, posting.units.number


def read_amounts(text: str) -> dict[str, int]:
    """ "70 PTS, -16 QPTS" as points by commodity."""
    amounts = (amount.split() for amount in text.split(", "))
    return {commodity: int(points) for points, commodity in amounts}
