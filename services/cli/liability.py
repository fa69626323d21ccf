"""`loyalty liability`: what the programme owes its members, as it goes to the books."""

import csv
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import grpc
import typer
from google.protobuf import json_format
from loyalty.ledger.v1 import earn_policy_pb2, liability_pb2, liability_pb2_grpc
from rich import box
from rich.console import Console
from rich.table import Table

from services.cli.call import OPERATOR, say_refusal
from services.cli.run_file import NothingRuns, RunningPlatform
from services.cli.tokens import mint
from services.plumbing.grpc_client import bearer, channel

# Whole tables are read.
CALL_SECONDS_MAX = 3_600.0
COLUMNS = ("section", "item", "age_months", "points", "amount_minor")
# A row of the file: empty where a column says nothing.
Row = tuple[str, str, int | str, int | str, int | str]


class NoSuchMonth(Exception):  # noqa: N818 — an answer to whoever asked
    """What was asked for is no month that has begun; the text says why."""


def run(
    data_dir: Path,
    month: str,
    *,
    point_value_minor: str,
    expiry_months: int | None,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    """Print the liability at the end of a month, or today's in the current one. Ends with exit code
    1 and a line when it cannot, and where the figures do not tie to the books.
    """
    try:
        request = request_for(month, datetime.now(UTC).date(), point_value_minor, expiry_months)
        platform = RunningPlatform.load(data_dir)
        found = _ask(platform, data_dir, request)
        if csv_file is not None:
            write_csv(found, csv_file)
    except (NothingRuns, NoSuchMonth, OSError) as refused:
        _fail(str(refused))
    except grpc.RpcError as error:
        say_refusal(error)
        raise typer.Exit(1) from None
    if as_json:
        whole = json_format.MessageToJson(found, always_print_fields_with_no_presence=True)
        typer.echo(whole)
    else:
        _show(found, Console(highlight=False))
    if not found.ties:
        _fail(f"the figures do not tie to the books, which say {found.books_points:,} points")


def request_for(
    month: str, today: date, point_value_minor: str, expiry_months: int | None
) -> liability_pb2.GetLiabilityRequest:
    """What is asked of a month such as 2024-03; of the current one where it is empty. Refuses:
    NoSuchMonth.
    """
    request = liability_pb2.GetLiabilityRequest(
        as_of_day=as_of(month, today).isoformat(), point_value_minor=point_value_minor
    )
    if expiry_months is not None:
        request.what_if.expiry = earn_policy_pb2.PointLife.EXPIRY_MONTHS
        request.what_if.expiry_count = expiry_months
    return request


def as_of(month: str, today: date) -> date:
    """The last day of a month, or today within the current one. Refuses: NoSuchMonth."""
    if not month:
        return today
    if not re.fullmatch(r"[12]\d{3}-(0[1-9]|1[0-2])", month):
        raise NoSuchMonth(f"{month}: a month is written as in 2024-03")
    first = date.fromisoformat(f"{month}-01")
    if first > today:
        raise NoSuchMonth(f"{month} has not begun")
    return min((first + timedelta(days=31)).replace(day=1) - timedelta(days=1), today)


def _ask(
    platform: RunningPlatform, data_dir: Path, request: liability_pb2.GetLiabilityRequest
) -> liability_pb2.Liability:
    token = mint(
        data_dir,
        subject=OPERATOR,
        scope="accounts.read",
        stores=[],
        lifetime_seconds=int(CALL_SECONDS_MAX),
    )
    with channel(platform.grpc_address("ledger"), seconds_max=CALL_SECONDS_MAX) as opened:
        stub = liability_pb2_grpc.LiabilityServiceStub(opened)
        return stub.GetLiability(
            request, metadata=bearer(token), timeout=CALL_SECONDS_MAX
        ).liability


def write_csv(found: liability_pb2.Liability, file: Path) -> None:
    """Every figure in a row of its own. Refuses: OSError."""
    unfinished = file.with_name(file.name + ".unfinished")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as target:
            writer = csv.writer(target)
            writer.writerow(COLUMNS)
            writer.writerows(rows(found))
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def rows(found: liability_pb2.Liability) -> Iterator[Row]:
    """The figures, one a row; amounts in minor units."""
    yield "as_of", found.as_of_day, "", "", ""
    yield "point_value_minor", found.point_value_minor, "", "", ""
    for name, points in _movement(found.movement):
        yield "movement", name, "", points, ""
    yield "books", "later", "", found.later_points, ""
    yield "books", "accounts", "", found.books_points, ""
    for cohort in found.cohorts:
        age, month = cohort.age_months, cohort.earn_month
        yield "outstanding", month, age, cohort.points, cohort.value_minor
        yield "expected_redeemed", month, age, cohort.expected_redeemed_points, ""
        yield "expected_breakage", month, age, cohort.expected_breakage_points, ""
    yield "owed", "wallets", "", found.owed_points, ""
    breakage = found.breakage
    yield "breakage", "expected", "", breakage.expected_points, ""
    yield "breakage", "low", "", breakage.low_points, ""
    yield "breakage", "high", "", breakage.high_points, ""
    for name, amount in _contract_liability(found.contract_liability):
        yield "contract_liability", name, "", "", amount
    if found.HasField("what_if"):
        outcome = found.what_if
        yield "what_if", "lapsed", "", outcome.lapsed_points, ""
        yield "what_if", "expected_breakage", "", outcome.expected_breakage_points, ""
        yield "what_if", "contract_liability", "", "", outcome.contract_liability_minor
        yield "what_if", "difference", "", "", outcome.difference_minor


def _movement(movement: liability_pb2.Movement) -> Iterator[tuple[str, int]]:
    yield "opening", movement.opening_points
    yield "issued", movement.issued_points
    yield "burned", movement.burned_points
    yield "expired", movement.expired_points
    yield "adjusted", movement.adjusted_points
    yield "transferred", movement.transferred_points
    yield "closing", movement.closing_points


def _contract_liability(money: liability_pb2.ContractLiability) -> Iterator[tuple[str, int]]:
    yield "opening", money.opening_minor
    yield "deferred", money.deferred_minor
    yield "recognised", -money.recognised_minor
    yield "remeasured", money.remeasured_minor
    yield "closing", money.closing_minor
    yield "breakage_recognised", money.breakage_recognised_minor
    yield "low", money.low_minor
    yield "high", money.high_minor
    yield "gross", money.gross_minor


def _show(found: liability_pb2.Liability, console: Console) -> None:
    movement = found.movement
    tied = "ties to the books" if found.ties else "[bold red]does NOT tie to the books[/]"
    console.print(f"{movement.from_day} to {found.as_of_day}, {tied}")
    console.print(_numbers("movement", "points", _movement(movement)))
    console.print(_ages(found))
    breakage = found.breakage
    if breakage.estimated:
        console.print(
            f"expected breakage {breakage.expected_points:,} points"
            f" ({breakage.low_points:,} to {breakage.high_points:,} at 95 %, by"
            f" {breakage.cohorts} months of earning);"
            f" {breakage.ultimate_redemption_rate:.1%} of all points are spent in the end"
        )
    else:
        console.print("too little was spent so far to expect any breakage")
    money = _contract_liability(found.contract_liability)
    console.print(_numbers("contract liability (IFRS 15)", "minor units", money))
    if found.HasField("what_if"):
        outcome = found.what_if
        console.print(
            f"if points lived {outcome.expiry_count} months {outcome.lapsed_points:,} would be gone"
            f" by now, and the contract liability would be {outcome.contract_liability_minor:,}"
            f" ({outcome.difference_minor:+,})"
        )


def _numbers(what: str, unit: str, numbers: Iterator[tuple[str, int]]) -> Table:
    table = _table(what, unit)
    for name, number in numbers:
        style = "bold" if name in ("opening", "closing") else ""
        table.add_row(name.replace("_", " "), f"{number:,}", style=style)
    return table


def _ages(found: liability_pb2.Liability) -> Table:
    table = _table("earned in", "age", "points", "worth", "to be spent", "breakage")
    for cohort in found.cohorts:
        table.add_row(
            cohort.earn_month,
            str(cohort.age_months),
            f"{cohort.points:,}",
            f"{cohort.value_minor:,}",
            f"{cohort.expected_redeemed_points:,}",
            f"{cohort.expected_breakage_points:,}",
        )
    if found.owed_points:
        table.add_row("owed by wallets", "", f"{-found.owed_points:,}", "", "", "")
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _fail(problem: str) -> None:
    typer.echo(f"loyalty liability: {problem}", err=True)
    raise typer.Exit(1)
