"""`loyalty status`: what runs, how it is, how far the bus is behind, how much is stored."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from services.cli import probes
from services.cli.run_file import NothingRuns, RunningPlatform, RunningProcess
from services.cli.service_table import POSTGRES, SERVICES, SUBSCRIPTIONS, bus_processes
from services.plumbing import bus_status, inbox, outbox
from services.plumbing.bus_status import Lag
from services.plumbing.database import engine

# A process that is busy, or a machine that stalls for a second, is not down.
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    name: str
    healthy: bool
    pid: int
    uptime_seconds: float
    restarts: int
    grpc_address: str | None
    metrics_address: str | None


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    name: str
    size_bytes: int
    # Events that met an error again and again and were put aside.
    events_parked: int


@dataclass(frozen=True, slots=True)
class Status:
    """The whole platform at one moment. Healthy means: all of it is up and answers, and every
    consumer reads the outboxes it has read before.
    """

    healthy: bool
    pid: int
    uptime_seconds: float
    data: str
    processes: list[ProcessStatus]
    bus: list[Lag]
    databases: list[DatabaseStatus]


def show(data_dir: Path, *, as_json: bool) -> bool:
    """Print the status. Returns whether everything is healthy."""
    try:
        platform = RunningPlatform.load(data_dir)
    except NothingRuns as nothing:
        if as_json:
            typer.echo(json.dumps({"healthy": False, "error": str(nothing)}))
        else:
            typer.echo(f"loyalty status: {nothing}", err=True)
        return False
    status = read(platform, now=time.time())
    if as_json:
        typer.echo(json.dumps(asdict(status), indent=2))
    else:
        _print(status)
    return status.healthy


def read(platform: RunningPlatform, *, now: float) -> Status:
    processes = [_process_status(process, platform, now) for process in platform.processes]
    expected = {
        POSTGRES,
        *(service.name for service in SERVICES),
        *bus_processes(on_rabbitmq=platform.amqp_url is not None),
    }
    complete = platform.ready and {process.name for process in processes} == expected
    bus: list[Lag] = []
    databases: list[DatabaseStatus] = []
    try:
        bus, databases = _stored(platform)
    except SQLAlchemyError:
        # The database is away, or has no tables yet; its process and `ready` say so.
        complete = False
    well = all(process.healthy for process in processes) and not any(lag.replaced for lag in bus)
    return Status(
        healthy=complete and well,
        pid=platform.pid,
        uptime_seconds=round(now - platform.started, 1),
        data=str(platform.data_dir),
        processes=processes,
        bus=bus,
        databases=databases,
    )


def _process_status(
    process: RunningProcess, platform: RunningPlatform, now: float
) -> ProcessStatus:
    return ProcessStatus(
        name=process.name,
        healthy=process.found() is not None and _probe(process, platform)(),
        pid=process.pid,
        uptime_seconds=round(now - process.started, 1),
        restarts=process.restarts,
        grpc_address=process.grpc_address,
        metrics_address=process.metrics_address,
    )


def _probe(process: RunningProcess, platform: RunningPlatform) -> Callable[[], bool]:
    grpc_address, metrics_address = process.grpc_address, process.metrics_address
    if grpc_address is not None:
        return lambda: probes.serves_grpc(grpc_address, timeout_seconds=PATIENCE_SECONDS)
    if metrics_address is not None:
        return lambda: probes.serves_metrics(metrics_address, timeout_seconds=PATIENCE_SECONDS)
    return lambda: probes.serves_queries(platform.database_urls[SERVICES[0].name])


def _stored(platform: RunningPlatform) -> tuple[list[Lag], list[DatabaseStatus]]:
    with ExitStack() as opened:
        databases = {name: _connect(url, opened) for name, url in platform.database_urls.items()}
        lags = [
            lag
            for consumer, source in SUBSCRIPTIONS
            for lag in bus_status.lags(
                databases[consumer], databases[source], consumer=consumer, source=source
            )
        ]
        if platform.amqp_url is not None:
            lags += [
                lag
                for name, connection in databases.items()
                for lag in bus_status.lags(
                    connection, connection, consumer=bus_status.RELAY, source=name
                )
            ]
        consumers = {consumer for consumer, _ in SUBSCRIPTIONS}
        sizes = [
            DatabaseStatus(
                name=name,
                size_bytes=connection.execute(
                    text("SELECT pg_database_size(current_database())")
                ).scalar_one(),
                events_parked=inbox.parked_count(connection) if name in consumers else 0,
            )
            for name, connection in databases.items()
        ]
    return lags, sizes


def _connect(url: str, opened: ExitStack) -> Connection:
    source = engine(url, pool_size=1)
    opened.callback(source.dispose)
    return opened.enter_context(source.connect())


def _print(status: Status) -> None:
    console = Console(highlight=False)
    verdict = "[bold green]healthy[/]" if status.healthy else "[bold red]not healthy[/]"
    console.print(f"{verdict}, up {_duration(status.uptime_seconds)}, data in {status.data}\n")
    console.print(_process_table(status.processes))
    if status.bus:
        console.print("", _bus_table(status.bus), sep="\n")
    if status.databases:
        console.print("", _database_table(status.databases), sep="\n")


def _process_table(processes: list[ProcessStatus]) -> Table:
    table = _table("process", "health", "pid", "uptime", "restarts", "gRPC", "metrics")
    for process in processes:
        table.add_row(
            process.name,
            "[green]healthy[/]" if process.healthy else "[bold red]down[/]",
            str(process.pid),
            _duration(process.uptime_seconds),
            str(process.restarts) if not process.restarts else f"[yellow]{process.restarts}[/]",
            process.grpc_address or "",
            f":{process.metrics_address.rpartition(':')[2]}" if process.metrics_address else "",
        )
    return table


def _bus_table(lags: list[Lag]) -> Table:
    table = _table("consumer", "source", "stream", "events behind", "oldest")
    for lag in lags:
        more = "+" if lag.events >= outbox.EVENTS_COUNTED_MAX else ""
        behind = "[bold red]another outbox[/]" if lag.replaced else f"{lag.events:,}{more}"
        oldest = _duration(lag.oldest_seconds) if lag.events else ""
        table.add_row(lag.consumer, lag.source, lag.stream, behind, oldest)
    return table


def _database_table(databases: list[DatabaseStatus]) -> Table:
    table = _table("database", "size", "events parked")
    for database in databases:
        parked = f"[yellow]{database.events_parked}[/]" if database.events_parked else "0"
        table.add_row(database.name, decimal(database.size_bytes), parked)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim underline", padding=(0, 2, 0, 0))
    numbers = {"pid", "uptime", "restarts", "events behind", "oldest", "size", "events parked"}
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    return table


def _duration(seconds: float) -> str:
    """Such as "3.2 s", "4 min 05 s" or "2 d 3 h"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
