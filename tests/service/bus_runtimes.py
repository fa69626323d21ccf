"""The two runtimes of the bus as processes, which a test can stop, kill and start again."""

import os
import signal
import socket
import sys
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.broker import Broker
from services.cli.probes import serves_metrics
from services.plumbing import child_process, rabbitmq
from services.plumbing.reactions import sources
from tests.processes import wait_for
from tests.service.shelf import Shelf, Town

START_SECONDS_MAX = 60.0


@dataclass(slots=True)
class BusProcess:
    """One process of a runtime; kind is "embedded", "relay" or "worker"."""

    kind: str
    environment: dict[str, str]
    metrics_address: str
    log: Path
    process: Any = None

    def start(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "tests.service.shelf", self.kind]
        self.process = child_process.start(
            command, environment=os.environ | self.environment, log=self.log
        )

    def wait_until_up(self) -> None:
        wait_for(
            lambda: serves_metrics(self.metrics_address), what=self.kind, seconds=START_SECONDS_MAX
        )

    def stop(self) -> None:
        """Tell it to end, and see that it does."""
        if self.process is not None:
            code = child_process.stop(self.process)
            self.process = None
            assert code == 0, child_process.last_lines(self.log)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def metrics(self) -> dict[str, float]:
        """What it exports, by series."""
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {series: float(value) for series, _, value in pairs}


@dataclass(slots=True)
class Runtime:
    """What carries the events of a town."""

    name: str
    town: Town
    announcing: BusProcess
    reacting: BusProcess
    # Who keeps the cursor of the announcing service, and in whose database.
    reader: str
    parts: list[BusProcess] = field(default_factory=list)

    def start(self) -> None:
        for part in self.parts:
            if part.process is None:
                part.start()
        for part in self.parts:
            part.wait_until_up()

    def stop(self) -> None:
        for part in self.parts:
            part.stop()

    def kill(self) -> None:
        for part in self.parts:
            with suppress(ProcessLookupError):
                part.kill()

    def metrics(self) -> dict[str, float]:
        return {k: v for part in self.parts for k, v in part.metrics().items()}


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def embedded(town: Town, folder: Path) -> Runtime:
    address = free_address()
    bus = BusProcess(
        "embedded",
        {
            "MEMBERS_DATABASE_URL": town.members_url,
            "SHELF_DATABASE_URL": town.shelf_url,
            "BUS_METRICS_PORT": address.rpartition(":")[2],
        },
        address,
        folder / "embedded.log",
    )
    return Runtime("embedded", town, bus, bus, "shelf", [bus])


def on_rabbitmq(town: Town, broker: Broker, folder: Path) -> Runtime:
    relay = relay_of(town, broker, folder / "relay.log")
    address = free_address()
    worker = BusProcess(
        "worker",
        {
            "AMQP_URL": broker.url,
            "SHELF_DATABASE_URL": town.shelf_url,
            "SHELF_METRICS_PORT": address.rpartition(":")[2],
        },
        address,
        folder / "worker.log",
    )
    # As `loyalty up` does: what is published before there is a queue reaches nobody.
    with rabbitmq.connect(broker.url) as connection:
        # Another town may have had them.
        for queue in (
            rabbitmq.queue_name("shelf", "members"),
            rabbitmq.rejected_queue_name("shelf"),
        ):
            connection.default_channel.queue_delete(queue)
        rabbitmq.declare_queues(connection.default_channel, Shelf.name, sources(Shelf))
    return Runtime("rabbitmq", town, relay, worker, "relay", [worker, relay])


def relay_of(town: Town, broker: Broker, log: Path) -> BusProcess:
    address = free_address()
    own = {
        "AMQP_URL": broker.url,
        "MEMBERS_DATABASE_URL": town.members_url,
        "MEMBERS_METRICS_PORT": address.rpartition(":")[2],
    }
    return BusProcess("relay", own, address, log)
