"""`loyalty audit`: the proof of the books, from the tables."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import OperationalError

from services.cli.ledger_database import NoLedgerDatabase, ledger_database_url
from services.ledger import events
from services.ledger.domain.audit import CHECKS, AuditReport, CheckResult
from services.ledger.usecases.audit import SHARDS_AT_ONCE, Announcements, prove
from services.plumbing.database import engine

ANNOUNCEMENTS = Announcements(
    events.ENTRIES_POSTED, events.POLICY_PUBLISHED, events.announced_documents
)


def run_audit(ledger_database_url: str) -> AuditReport:
    """Prove the books of a ledger's database. Its servers may be up, busy, or down."""
    started = time.perf_counter()
    database = engine(ledger_database_url, pool_size=SHARDS_AT_ONCE)
    try:
        checks = prove(database, ANNOUNCEMENTS)
    finally:
        database.dispose()
    return AuditReport(checks, round(time.perf_counter() - started, 2))


def show(data_dir: Path, *, as_json: bool) -> bool:
    """Audit and print the report. Returns whether the books are right.

    Refuses: NoLedgerDatabase.
    """
    url = ledger_database_url(data_dir)
    console = Console(highlight=False)
    try:
        with Console(stderr=True).status("proving the books"):
            report = run_audit(url)
    except OperationalError as error:
        raise NoLedgerDatabase(f"the ledger's database does not answer: {error.orig}") from error
    if as_json:
        typer.echo(as_text(report))
    else:
        _print(report, console)
    return report.ok


def as_text(report: AuditReport) -> str:
    """The report as JSON. problems are the first hundred of problem_count."""
    content = {
        "ok": report.ok,
        "checks": [asdict(check) for check in report.checks],
        "seconds": report.seconds,
    }
    return json.dumps(content, indent=2)


def _print(report: AuditReport, console: Console) -> None:
    console.print(_table(report.checks))
    for check in report.checks:
        if check.problem_count:
            console.print(f"[bold red]{check.name}[/]: {CHECKS[check.name]} — not so:")
            for problem in check.problems:
                console.print(f"  {escape(problem)}", soft_wrap=True)
            if more := check.problem_count - len(check.problems):
                console.print(f"  and {more:,} more")
    verdict = "[bold green]the books are right[/]" if report.ok else "[bold red]NOT RIGHT[/]"
    console.print(f"{verdict}, proved in {report.seconds:.1f} s")


def _table(checks: tuple[CheckResult, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("check")
    table.add_column("compared", justify="right", no_wrap=True)
    table.add_column("off", justify="right", no_wrap=True)
    for check in checks:
        off = f"[bold red]{check.problem_count:,}[/]" if check.problem_count else "[green]0[/]"
        table.add_row(CHECKS[check.name], f"{check.checked:,}", off)
    return table
