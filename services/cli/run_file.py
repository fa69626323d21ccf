"""What runs on a data directory, written by `loyalty up` and read by every other command."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from services.cli import rewards_files
from services.cli.service_table import BUS, SERVICES

FILE = "run.json"
# Process start times are computed from the clock, which may be set in between.
START_TOLERANCE_SECONDS = 2.0


class NothingRuns(Exception):  # noqa: N818 — an answer, not an accident
    """No platform runs on the data directory."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(f"nothing runs on {data_dir}; start it with: loyalty up --data {data_dir}")


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A child of `loyalty up`. started is in seconds since the epoch; addresses are host:port."""

    name: str
    pid: int
    started: float
    command: tuple[str, ...]
    restarts: int = 0
    grpc_address: str | None = None
    metrics_address: str | None = None

    def found(self) -> psutil.Process | None:
        """The process itself, never another one that has its number now."""
        try:
            process = psutil.Process(self.pid)
            started = process.create_time()
            command = tuple(process.cmdline())
        except psutil.Error:
            return None
        same = abs(started - self.started) < START_TOLERANCE_SECONDS and command == self.command
        return process if same else None


@dataclass(frozen=True, slots=True)
class RunningPlatform:
    """A platform that runs, or ran when its `loyalty up` was killed."""

    data_dir: Path
    pid: int
    started: float
    ready: bool
    processes: tuple[RunningProcess, ...]
    database_urls: dict[str, str]
    jwks_url: str
    issuer: str
    audience: str
    # Where RabbitMQ is; None for the embedded bus.
    amqp_url: str | None = None

    def process(self, name: str) -> RunningProcess:
        """Refuses: KeyError when no process has that name."""
        for process in self.processes:
            if process.name == name:
                return process
        raise KeyError(name)

    def grpc_address(self, service: str) -> str:
        address = self.process(service).grpc_address
        if address is None:
            raise KeyError(f"{service} answers no gRPC")
        return address

    @property
    def doorbell(self) -> str:
        """Where the embedded bus hears of events; empty where there is none."""
        found = [each.metrics_address for each in self.processes if each.name == BUS]
        return (found[0] or "") if found else ""

    def is_alive(self) -> bool:
        """Whether the `loyalty up` that wrote this is still there."""
        try:
            started = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        return abs(started - self.started) < START_TOLERANCE_SECONDS

    def environment(self) -> dict[str, str]:
        """The variables that a process of this platform, or a command upon it, is configured by."""
        variables = {
            "AUTH_JWKS_URL": self.jwks_url,
            "AUTH_ISSUER": self.issuer,
            "AUTH_AUDIENCE": self.audience,
        }
        addresses = {process.name: process.grpc_address for process in self.processes}
        for service in SERVICES:
            variables[f"{service.variables}_DATABASE_URL"] = self.database_urls[service.name]
            if address := addresses.get(service.name):
                variables[f"{service.variables}_GRPC_ADDRESS"] = address
        if ledger_address := addresses.get("ledger"):
            variables |= rewards_files.environment(self.data_dir, ledger_address)
        if self.amqp_url is not None:
            variables["AMQP_URL"] = self.amqp_url
        return variables

    def save(self) -> None:
        """Write it in one step, readable by its owner alone: passwords are in it."""
        content = asdict(self) | {"data_dir": str(self.data_dir)}
        growing = self.data_dir / f"{FILE}.new"
        growing.unlink(missing_ok=True)
        descriptor = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as target:
            json.dump(content, target, indent=2)
        growing.replace(self.data_dir / FILE)

    @classmethod
    def load(cls, data_dir: Path) -> "RunningPlatform":
        """The platform that runs on a data directory. Refuses: NothingRuns."""
        platform = cls.last(data_dir)
        if platform is None or not platform.is_alive():
            raise NothingRuns(data_dir)
        return platform

    @classmethod
    def last(cls, data_dir: Path) -> "RunningPlatform | None":
        """What was written last, whether it still runs or not."""
        try:
            content: dict[str, Any] = json.loads((data_dir / FILE).read_text())
            processes = tuple(
                RunningProcess(**{**process, "command": tuple(process["command"])})
                for process in content["processes"]
            )
            # The directory may have been moved since.
            placed = content | {"processes": processes, "data_dir": data_dir.resolve()}
            return cls(**placed)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            # Cut short by a power failure, or written by another release: it tells nothing.
            return None


def remove(data_dir: Path) -> None:
    (data_dir / FILE).unlink(missing_ok=True)
