"""What whoever started the replay sees: a bar while it runs, a summary when it is done."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.cli.demo.preparation import PreparedDay
from services.cli.demo.results import Results
from services.cli.demo.tier_results import TierResults
from services.cli.run_file import RunningPlatform


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the year came to and how long it took."""

    results: Results
    audit_ok: bool
    replay_seconds: float
    total_seconds: float
    tiers: TierResults = field(default_factory=TierResults)
    # How many were issued.
    vouchers: int = 0

    @property
    def sales_per_second(self) -> float:
        return self.results.sales / self.replay_seconds if self.replay_seconds else 0.0

    def as_json(self) -> str:
        results = self.results
        fields = {
            "sales": results.sales,
            "lines": results.lines,
            "members": results.members,
            "points_issued": results.points_issued,
            "produce_points": results.produce_points,
            "entries": results.entries,
            "redeemed_points": results.redeemed_points,
            "vouchers": self.vouchers,
            "expired_points": results.expired_points,
            "liability_points": results.liability_points,
            "tiers": self.tiers.tiers,
            "tier_changes": self.tiers.tier_changes,
            "audit_ok": self.audit_ok,
            "replay_seconds": round(self.replay_seconds, 2),
            "sales_per_second": round(self.sales_per_second, 1),
            "total_seconds": round(self.total_seconds, 2),
        }
        return msgspec.json.encode(fields).decode()


def follow(days: Iterable[PreparedDay], *, total: int, console: Console) -> Iterator[PreparedDay]:
    """The days themselves, with a bar that moves on when the next one is asked for."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:.0f} of {task.total:.0f} days"),
        TextColumn("{task.fields[sales]:,} sales"),
        TextColumn("{task.fields[rate]:,.0f} sales/s"),
        TimeElapsedColumn(),
        console=console,
    )
    sales = 0
    with bar:
        task = bar.add_task("opening", total=total, sales=0, rate=0.0)
        for day in days:
            bar.update(task, description=day.day.isoformat())
            yield day
            sales += day.sales
            seconds = bar.tasks[0].elapsed or 0.0
            bar.update(task, advance=1, sales=sales, rate=sales / seconds if seconds else 0.0)


def show_summary(outcome: Outcome, console: Console) -> None:
    results = outcome.results
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for label, value in (
        ("members", results.members),
        ("sales", results.sales),
        ("lines", results.lines),
        ("redeemable points", results.points_issued),
        ("  of them for produce", results.produce_points),
        ("qualifying points", results.qualifying_points),
        ("redeemed points", results.redeemed_points),
        ("  vouchers issued", outcome.vouchers),
        ("expired points", results.expired_points),
        ("points members hold", results.liability_points),
        ("ledger entries", results.entries),
    ):
        table.add_row(label, f"{value:,}")
    for tier, members in outcome.tiers.tiers.items():
        table.add_row(f"  {tier}", f"{members:,}")
    table.add_row("tier changes", f"{outcome.tiers.tier_changes:,}")
    table.add_row("replayed in", f"{outcome.replay_seconds:,.1f} s")
    table.add_row("sales per second", f"{outcome.sales_per_second:,.0f}")
    table.add_row("audit", "[green]clean[/]" if outcome.audit_ok else "[bold red]NOT CLEAN[/]")
    console.print(table)


def show_where_to_look(platform: RunningPlatform, console: Console) -> None:
    data = platform.data_dir
    for process in platform.processes:
        if process.grpc_address:
            console.print(f"[dim]{process.name}[/] answers gRPC on {process.grpc_address}")
    console.print("See what runs, take a token, or prove the books again:")
    console.print(f"  loyalty status --data {data}", style="bold")
    console.print(f"  loyalty token --scope wallets.read --subject me --data {data}", style="bold")
    console.print(f"  loyalty audit --data {data}", style="bold")
