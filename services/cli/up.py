"""`loyalty up`: the whole platform on one machine, from nothing to healthy, until told to stop."""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import typer
from rich.console import Console
from rich.table import Table

from services.cli import run_file
from services.cli.leftovers import end_leftovers
from services.cli.night_watch import NightWatch
from services.cli.ports import PortInUse, choose_ports
from services.cli.programs import Programs
from services.cli.run_file import RunningPlatform
from services.cli.service_table import AUDIENCE, POSTGRES, SERVICES
from services.cli.stop_signals import StopSignals
from services.cli.supervisor import Interrupted, StartFailed, Supervisor, run_to_end
from services.plumbing import child_process, development_issuer, postgres_cluster
from services.plumbing.directory_lock import DirectoryInUse, directory_lock
from services.plumbing.postgres_cluster import PostgresFailed

log = logging.getLogger("up")

# PostgreSQL may have a long log to replay after a crash; the servers have nothing of the kind.
POSTGRES_SECONDS_MAX = 600.0
SERVERS_SECONDS_MAX = 180.0
WATCH_SECONDS = 0.1
# A night that is cut short goes on at the next start.
NIGHT_STOP_STEPS = ((signal.SIGTERM, 2.0),)


def run(
    data_dir: Path,
    port_base: int,
    *,
    amqp_url: str | None = None,
    night_delay: timedelta | None = None,
) -> None:
    """Run the platform until SIGINT or SIGTERM. Ends with exit code 1 and a line when it cannot.

    With the URL of a RabbitMQ the services' workers carry the events, else the embedded bus. With
    a delay each business day is closed so long after its end, in UTC.
    """
    began = time.monotonic()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _start_logging(data_dir)
        _run_locked(data_dir.resolve(), port_base, amqp_url, night_delay, began)
    except DirectoryInUse as refused:
        _fail(f"already running (pid {refused.pid or 'unknown'}) on {data_dir}")
    except (PortInUse, PostgresFailed, StartFailed) as refused:
        _fail(str(refused))
    except OSError as error:
        _fail(f"cannot run on {data_dir}: {error}")


def _run_locked(
    data_dir: Path,
    port_base: int,
    amqp_url: str | None,
    night_delay: timedelta | None,
    began: float,
) -> None:
    stop_signals = StopSignals()
    with directory_lock(data_dir):
        stop_signals.install()
        if (earlier := RunningPlatform.last(data_dir)) is not None:
            end_leftovers(earlier)
        ports = choose_ports(port_base, on_rabbitmq=amqp_url is not None)
        programs = Programs(
            data_dir=data_dir,
            cluster=postgres_cluster.prepare(data_dir),
            issuer=development_issuer.open_issuer(data_dir / "issuer", audience=AUDIENCE),
            ports=ports,
            amqp_url=amqp_url,
        )
        platform = Platform(programs, stop_signals, night_delay)
        with platform.stopped_at_the_end():
            platform.bring_up()
            _announce(platform.running(), time.monotonic() - began)
            while not stop_signals.told.wait(WATCH_SECONDS):
                platform.tend()


class Platform:
    """The programs under supervision, and the run file that says so."""

    def __init__(
        self, programs: Programs, stop_signals: StopSignals, night_delay: timedelta | None
    ) -> None:
        self._programs = programs
        self._nights = (
            None if night_delay is None else NightWatch(programs.start_night, delay=night_delay)
        )
        self._started = psutil.Process().create_time()
        self._ready = False
        self.supervisor = Supervisor(
            on_change=lambda: self.running().save(),
            told_to_stop=stop_signals.told_to_stop,
            told_to_hurry=stop_signals.told_to_hurry,
        )

    def bring_up(self) -> None:
        """Start everything in order and wait until it is healthy.

        Refuses: StartFailed, Interrupted.
        """
        supervisor = self.supervisor
        supervisor.start(self._programs.postgres())
        supervisor.wait_until_healthy([POSTGRES], timeout_seconds=POSTGRES_SECONDS_MAX)
        for service in SERVICES:
            self._programs.cluster.create_database(service.database)
        run_to_end(self._programs.migrations(), supervisor.told_to_stop)
        run_to_end(self._programs.before_bus(), supervisor.told_to_stop)
        for program in (*self._programs.servers(), *self._programs.bus()):
            supervisor.start(program)
        names = [child.program.name for child in supervisor.children]
        supervisor.wait_until_healthy(names, timeout_seconds=SERVERS_SECONDS_MAX)
        self._ready = True
        self.running().save()

    def tend(self) -> None:
        self.supervisor.tend()
        if self._nights is not None:
            self._nights.tend()

    @contextmanager
    def stopped_at_the_end(self) -> Iterator[None]:
        try:
            yield
        except Interrupted:
            log.debug("told to stop while starting")
        finally:
            if self._nights is not None and self._nights.process is not None:
                child_process.stop(self._nights.process, NIGHT_STOP_STEPS)
            self.supervisor.stop()
            self._programs.cluster.release()
            run_file.remove(self._programs.data_dir)

    def running(self) -> RunningPlatform:
        issuer = self._programs.issuer
        return RunningPlatform(
            data_dir=self._programs.data_dir,
            pid=os.getpid(),
            started=self._started,
            ready=self._ready,
            processes=tuple(child.running for child in self.supervisor.children),
            database_urls=self._programs.database_urls(),
            jwks_url=issuer.jwks_url,
            issuer=issuer.issuer,
            audience=issuer.audience,
            amqp_url=self._programs.amqp_url,
        )


def _announce(platform: RunningPlatform, seconds: float) -> None:
    console = Console(highlight=False)
    columns = ("process", "gRPC", "metrics")
    table = Table(
        *columns, box=None, pad_edge=False, header_style="dim underline", padding=(0, 2, 0, 0)
    )
    for process in platform.processes:
        metrics = process.metrics_address
        table.add_row(
            process.name,
            process.grpc_address or "",
            f"http://{metrics}/metrics" if metrics else "",
        )
    console.print(f"[bold green]ready[/] in {seconds:.1f} s, data in {platform.data_dir}\n")
    console.print(table)
    console.print("\nCtrl-C stops everything.")


def _start_logging(data_dir: Path) -> None:
    logs = data_dir / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    style = logging.Formatter("%(asctime)s %(message)s")
    for handler in (logging.StreamHandler(sys.stderr), logging.FileHandler(logs / "up.log")):
        handler.setFormatter(style)
        log.addHandler(handler)
    log.setLevel(logging.INFO)


def _fail(message: str) -> None:
    typer.echo(f"loyalty up: {message}", err=True)
    raise typer.Exit(1)
