"""The exported books: hledger and beancount accept them and come to our balances."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner

from services.cli.export import NOTATIONS, export
from services.cli.main import app
from services.ledger.usecases.books import Written
from services.plumbing.database import engine, transaction
from tests.service.accounting_tools import (
    Balances,
    BeancountTool,
    HledgerTool,
    installed_hledger,
)
from tests.service.ledger_history import make_history
from tests.service.ledger_transfer_steps import make_transfers

Database = Callable[[str], str]


class Tool(Protocol):
    def complaints(self, books: Path) -> str: ...

    def balances(self, books: Path) -> Balances: ...


@pytest.fixture(params=list(NOTATIONS))
def notation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tool(notation: str) -> Tool:
    return HledgerTool(installed_hledger()) if notation == "hledger" else BeancountTool()


def execute(url: str, statement: str) -> list[tuple[int, ...]]:
    source = engine(url, pool_size=1)
    with transaction(source) as connection:
        result = connection.exec_driver_sql(statement)
        rows = [tuple(row) for row in result] if result.returns_rows else []
    source.dispose()
    return rows


def our_balances(url: str) -> Balances:
    """What wallets hold by the ledger's tables, as a debt."""
    held = execute(
        url,
        "SELECT wallet_id, available, qualifying FROM ledger_00.wallets"
        " UNION ALL SELECT wallet_id, available, qualifying FROM ledger_01.wallets",
    )
    balances = {
        f"Liabilities:Wallets:W{wallet_id}": {
            name: -points for name, points in (("PTS", available), ("QPTS", qualifying)) if points
        }
        for wallet_id, available, qualifying in held
    }
    return {account: points for account, points in balances.items() if points}


def test_tool_accepts_the_books_and_comes_to_our_balances(
    ledger_with_history: str, notation: str, tool: Tool, tmp_path: Path
) -> None:
    books = tmp_path / "books"
    # Of the thirty documents three were refused, one sale earned nothing, one return took nothing.
    assert export(ledger_with_history, NOTATIONS[notation], books) == Written(25, 5)
    assert tool.complaints(books) == ""
    balances = tool.balances(books)
    programme = {
        "Expenses:Issuance": {"PTS": 169, "QPTS": 70},
        "Expenses:Adjustment": {"PTS": -230, "QPTS": 7},
    }
    assert balances == our_balances(ledger_with_history) | programme
    assert balances["Liabilities:Wallets:W1"] == {"PTS": 70, "QPTS": -16}


def test_tool_refuses_books_that_do_not_come_to_our_balances(
    database: Database, notation: str, tool: Tool, tmp_path: Path
) -> None:
    url = database("ledger")
    make_history(url)
    execute(url, "UPDATE ledger_01.wallets SET qualifying = qualifying + 1 WHERE wallet_id = 3")
    books = tmp_path / "books"
    export(url, NOTATIONS[notation], books)
    complaints = tool.complaints(books)
    assert "Liabilities:Wallets:W3" in complaints
    assert "Liabilities:Wallets:W1" not in complaints


def test_tool_accepts_books_with_points_on_their_way(
    database: Database, notation: str, tool: Tool, tmp_path: Path
) -> None:
    url = database("ledger")
    asyncio.run(make_transfers(url))
    books = tmp_path / "books"
    # Two gifts, what was sent and received, and what was only sent.
    assert export(url, NOTATIONS[notation], books) == Written(5, 4)
    assert tool.complaints(books) == ""
    assert "send, transfer 1" in books.read_text()
    programme = {"Expenses:Adjustment": {"PTS": 70}, "Equity:Transfer": {"PTS": -10}}
    assert tool.balances(books) == our_balances(url) | programme


def test_tool_accepts_empty_books(
    database: Database, notation: str, tool: Tool, tmp_path: Path
) -> None:
    books = tmp_path / "books"
    assert export(database("ledger"), NOTATIONS[notation], books) == Written(0, 0)
    assert tool.complaints(books) == ""
    assert tool.balances(books) == {}


def test_the_same_books_are_written_the_same_way(
    ledger_with_history: str, notation: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    export(ledger_with_history, NOTATIONS[notation], first)
    export(ledger_with_history, NOTATIONS[notation], second)
    assert first.read_bytes() == second.read_bytes()


def test_hledger_reads_a_return_as_we_wrote_it(ledger_with_history: str, tmp_path: Path) -> None:
    books = tmp_path / "books"
    export(ledger_with_history, NOTATIONS["hledger"], books)
    (text,) = (t for t in books.read_text().split("\n\n") if "(00-14)" in t)
    receipt = text.split("receipt ")[1].split()[0]
    assert text == (
        f"2024-03-02 * (00-14) return at store 7, terminal 2, receipt {receipt}  ; of: 00-12\n"
        "    Liabilities:Wallets:W4  15 PTS  ; rule: base\n"
        "    Liabilities:Wallets:W4  50 QPTS  ; rule: base\n"
        "    Expenses:Issuance  -15 PTS\n"
        "    Expenses:Issuance  -50 QPTS"
    )


def test_beancount_reads_any_reason_as_one_line(ledger_with_history: str, tmp_path: Path) -> None:
    books = tmp_path / "books"
    export(ledger_with_history, NOTATIONS["beancount"], books)
    assert (
        '\n2024-03-01 * "adjustment: a \\"late\\" delivery; sorry \\\\o/" ^00-7\n'
        "  Liabilities:Wallets:W2  -40 PTS\n"
        "  Expenses:Adjustment  40 PTS\n"
    ) in books.read_text()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger_with_history: str) -> str:
    """A data directory nothing ran on; the environment names the database."""
    monkeypatch.setenv("LEDGER_DATABASE_URL", ledger_with_history)
    return str(tmp_path / "data")


def test_command_writes_the_file_and_says_how_much(
    data: str, notation: str, tool: Tool, tmp_path: Path
) -> None:
    books = tmp_path / "books"
    code, output = run("--format", notation, str(books), "--data", data)
    assert (code, output) == (0, f"25 transactions of 5 wallets are in {books}\n")
    assert tool.complaints(books) == ""


def test_another_format_is_refused(data: str, tmp_path: Path) -> None:
    code, output = run("--format", "ledger", str(tmp_path / "books"), "--data", data)
    assert code == 2
    assert "hledger or beancount" in output
    assert not (tmp_path / "books").exists()


def test_place_that_cannot_be_written_is_said_so(data: str, tmp_path: Path) -> None:
    code, output = run("--format", "hledger", str(tmp_path / "none" / "books"), "--data", data)
    assert code == 1
    assert output.startswith("loyalty export: ")
    assert "No such file or directory" in output


def test_books_stay_as_they_were_when_the_next_cannot_be_written(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger_with_history: str
) -> None:
    books = tmp_path / "books"
    books.write_text("what was there")
    monkeypatch.setenv("LEDGER_DATABASE_URL", ledger_with_history.replace("/ledger", "/no_ledger"))
    code, output = run("--format", "hledger", str(books), "--data", data)
    assert code == 1
    assert output.startswith("loyalty export: the ledger's database does not answer: ")
    assert books.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [books]
