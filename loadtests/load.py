"""Locust's tills and apps against a platform of its own, then the proof of the books.

Ends with exit code 1 when the books are not right or a call was refused that should not have been.
"""

import argparse
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtests.tills.customers import issuer_of
from loadtests.tills.enrolment import enrol_customers
from loadtests.tills.outcome import Outcome
from loadtests.tills.policy import publish_policies
from loadtests.tills.rewards import publish_rewards
from services.cli.demo.tiers import publish_classic
from services.cli.platform import running_platform
from services.cli.run_file import RunningPlatform

ROOT = Path(__file__).parents[1]
LOCUSTFILE = ROOT / "loadtests" / "tills" / "locustfile.py"
CUSTOMERS_PER_USER = 5
CUSTOMERS_MIN, CUSTOMERS_MAX = 20, 2_000
# Users finish what they are at.
STOP_SECONDS_MAX = 15
SPARE_SECONDS = 120
TOKEN_SECONDS = 300
MARKETING_SCOPES = (
    *("policies.write", "rules.write", "rules.publish"),
    *("rewards.write", "rewards.publish"),
)


class LocustFailed(Exception):  # noqa: N818 — says what happened
    """Locust ended without an outcome; its own messages are on the terminal."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.load", description=__doc__)
    parser.add_argument("--users", type=int, default=50, help="tills at the busiest hour")
    parser.add_argument("--seconds", type=int, default=60, help="how long the Saturday lasts")
    parser.add_argument("--report", type=Path, default=Path("load-report.html"))
    arguments = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="loyalty-load-") as directory:
        console.print("starting a fresh platform")
        with running_platform(Path(directory)) as platform:
            prepare(platform, arguments.users, console)
            console.print(f"a Saturday of {arguments.seconds} seconds")
            outcome = run_locust(
                platform.data_dir,
                users=arguments.users,
                seconds=arguments.seconds,
                report=arguments.report,
            )
            books_are_right = _audit(platform)
    console.print(table_of(outcome))
    for failure in outcome.failures:
        console.print(f"[red]{failure.name}: {failure.reason}[/] {failure.count} times")
    console.print(f"report in {arguments.report}")
    if not (outcome.is_good and books_are_right):
        console.print("[bold red]failed[/]")
        sys.exit(1)
    console.print("[bold green]no unexpected failure, and the books are right[/]")


def prepare(platform: RunningPlatform, users: int, console: Console) -> None:
    """A policy, rules of tiers, rewards, and customers whose names the users find in the data
    directory.
    """
    marketing = issuer_of(platform).mint("load", MARKETING_SCOPES, [], TOKEN_SECONDS)
    publish_policies(platform.grpc_address("ledger"), marketing)
    publish_classic(
        tiering_address=platform.grpc_address("tiering"),
        token=marketing,
        effective_day=datetime.now(UTC).date(),
    )
    publish_rewards(platform.grpc_address("rewards"), marketing)
    count = max(CUSTOMERS_MIN, min(users * CUSTOMERS_PER_USER, CUSTOMERS_MAX))
    console.print(f"enrolling {count} customers")
    enrol_customers(platform, count).save(platform.data_dir)


def run_locust(data_dir: Path, *, users: int, seconds: float, report: Path) -> Outcome:
    """A Saturday of so many seconds; report is Locust's own, in HTML. Refuses: LocustFailed."""
    outcome = data_dir / "outcome.json"
    finished = subprocess.run(  # noqa: S603 — Locust, with arguments of ours
        [
            *(sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless"),
            # With a file to write, Locust prints no tables of its own.
            *("--json-file", str(data_dir / "locust"), "--only-summary", "--loglevel", "WARNING"),
            *("--html", str(report.resolve()), "--stop-timeout", str(STOP_SECONDS_MAX)),
            *("--exit-code-on-error", "0", "--data", str(data_dir), "--outcome", str(outcome)),
            *("--users-max", str(users), "--day-seconds", str(seconds)),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        timeout=seconds + STOP_SECONDS_MAX + SPARE_SECONDS,
        check=False,
    )
    if finished.returncode or not outcome.exists():
        raise LocustFailed(f"exit code {finished.returncode}")
    return Outcome.load(outcome)


def _audit(platform: RunningPlatform) -> bool:
    """Whether `loyalty audit`, which prints what it finds, says that the books are right."""
    command = [sys.executable, "-m", "services.cli", "audit", "--data", str(platform.data_dir)]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603 — our own command


def table_of(outcome: Outcome) -> Table:
    """Calls by name with their response times in milliseconds."""
    table = Table("call", box=None, pad_edge=False)
    for heading in ("calls", "failures", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for request in outcome.requests:
        table.add_row(
            request.name,
            f"{request.count:,}",
            f"{request.failures:,}" if request.failures else "",
            *(f"{value:,.0f}" for value in (request.p50_ms, request.p95_ms, request.p99_ms)),
        )
    return table


if __name__ == "__main__":
    main()
