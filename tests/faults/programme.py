"""A platform of real processes whose parts a test kills, stops and starts again."""

import os
import random
import signal
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import psutil
import psycopg2
from loyalty.ledger.v1 import earn_policy_pb2, earn_policy_pb2_grpc, point_of_sale_pb2
from sqlalchemy import make_url

from services.cli import probes, status
from services.cli.platform import running_platform
from services.cli.ports import PortInUse, choose_ports
from services.cli.run_file import RunningPlatform
from services.cli.service_table import AUDIENCE
from services.ledger.storage.shards import schema
from services.plumbing import child_process
from services.plumbing.development_issuer import open_issuer
from services.plumbing.grpc_client import bearer
from tests.processes import is_gone, wait_for

# Below the ports that systems hand out to outgoing connections.
PORT_BASES = range(20_000, 30_000)
SHARDS = 2
BACK_SECONDS_MAX = 180.0
TOKEN_SECONDS = 3600

Metadata = tuple[tuple[str, str], ...]


class Programme:
    """A platform on a data directory, at ports that stay the same when it is started again."""

    def __init__(self, data_dir: Path, *, amqp_url: str | None = None) -> None:
        self.data_dir = data_dir
        self._amqp_url = amqp_url
        self._port_base = free_port_base(on_rabbitmq=amqp_url is not None)
        self._issuer = open_issuer(data_dir / "issuer", audience=AUDIENCE)
        self._running = ExitStack()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        # A slow machine must not turn the draining of calls into losing them.
        environment = {"LEDGER_DRAIN_SECONDS": "60", "LEDGER_SHARDS": str(SHARDS)}
        self._running.enter_context(
            running_platform(
                self.data_dir,
                port_base=self._port_base,
                environment=environment,
                amqp_url=self._amqp_url,
            )
        )

    def stop(self) -> None:
        self._running.close()

    @property
    def platform(self) -> RunningPlatform:
        """As it stands now: what was started again has another process."""
        return RunningPlatform.load(self.data_dir)

    @property
    def ledger_address(self) -> str:
        return self.platform.grpc_address("ledger")

    @property
    def ledger_url(self) -> str:
        return self.platform.database_urls["ledger"]

    def bearer(self, *scopes: str, subject: str = "tester") -> Metadata:
        return bearer(self._issuer.mint(subject, scopes, ["*"], TOKEN_SECONDS))

    def process(self, name: str) -> psutil.Process:
        found = self.platform.process(name).found()
        assert found is not None, f"{name} does not run"
        return found

    def restarts(self, name: str) -> int:
        return self.platform.process(name).restarts

    def end(self, *names: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send each a signal, one right after the other, and wait for their end."""
        processes = [self.process(name) for name in names]
        for process in processes:
            process.send_signal(number)
        pids = [process.pid for process in processes]
        wait_for(lambda: all(map(is_gone, pids)), what="the end", seconds=BACK_SECONDS_MAX)

    def kill_up(self) -> None:
        """Kill `loyalty up` alone, without a word."""
        os.kill(self.platform.pid, signal.SIGKILL)
        self._running.close()

    def kill_everything(self) -> None:
        """Kill `loyalty up` and all it started, without a word."""
        platform = self.platform
        for pid in (platform.pid, *(process.pid for process in platform.processes)):
            # Told by the end of the first, some may be gone already.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._running.close()

    def last_words(self) -> str:
        """The end of what `loyalty up` logged."""
        return child_process.last_lines(self.data_dir / "logs" / "up.log")

    def wait_until_healthy(self) -> None:
        def healthy() -> bool:
            return status.read(self.platform, now=time.time()).healthy

        wait_for(healthy, what="a healthy platform", seconds=BACK_SECONDS_MAX)

    @contextmanager
    def nothing_started_again(self) -> Iterator[None]:
        """While the block runs, what dies stays away."""
        up = psutil.Process(self.platform.pid)
        up.suspend()
        try:
            yield
        finally:
            up.resume()

    @contextmanager
    def second_ledger(self) -> Iterator[str]:
        """One more ledger server on the same database; gives its address."""
        ports = choose_ports(0)
        address = f"127.0.0.1:{ports.grpc['ledger']}"
        own = {
            "LEDGER_GRPC_ADDRESS": address,
            "LEDGER_METRICS_PORT": str(ports.metrics["ledger"]),
        }
        command = list(self.platform.process("ledger").command)
        process = child_process.start(
            command,
            environment={**os.environ, **self.platform.environment(), **own},
            log=self.data_dir / "logs" / "second-ledger.log",
        )
        try:
            wait_for(
                lambda: probes.serves_grpc(address),
                what="a second ledger",
                seconds=BACK_SECONDS_MAX,
            )
            yield address
        finally:
            child_process.stop(process)

    @contextmanager
    def books_locked(self) -> Iterator[psycopg2.extensions.connection]:
        """While the block runs, or until the connection closes, no sale can be posted."""
        connection = connect(self.ledger_url)
        try:
            with connection.cursor() as cursor:
                tables = ", ".join(f"{schema(shard)}.wallets" for shard in range(SHARDS))
                cursor.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            yield connection
        finally:
            connection.close()

    def metric(self, process: str, name: str) -> list[str]:
        """What a process says of a metric, one value for each set of labels."""
        address = self.platform.process(process).metrics_address
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return [line.split()[-1] for line in lines if line.startswith(f"{name}{{")]

    def sales_queued(self) -> int:
        """How many commands wait for a commit."""
        return sum(int(float(depth)) for depth in self.metric("ledger", "ledger_queue_depth"))

    def sessions_waiting(self) -> set[int]:
        """The sessions of the ledger's database that wait for a lock, by their process numbers."""
        found = self.rows(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return {pid for (pid,) in found}

    def count(self, query: str) -> int:
        ((found,),) = self.rows(query)
        return int(found)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query to the ledger's database."""
        connection = connect(self.ledger_url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        finally:
            connection.close()

    def publish_policy(self) -> None:
        request = earn_policy_pb2.PublishEarnPolicyRequest(
            request_id=str(uuid.uuid4()), policy=policy()
        )
        with grpc.insecure_channel(self.ledger_address) as channel:
            stub = earn_policy_pb2_grpc.EarnPolicyServiceStub(channel)
            stub.PublishEarnPolicy(request, metadata=self.bearer("policies.write"), timeout=30)


def policy() -> earn_policy_pb2.EarnPolicy:
    """A point per dollar of both kinds, which tiers multiply, and another for a dollar of produce;
    none for tobacco. From a year ago on.
    """

    def category(name: str) -> earn_policy_pb2.LineCondition:
        pattern = earn_policy_pb2.CategoryPattern(segments=[name])
        return earn_policy_pb2.LineCondition(categories=[pattern])

    per_dollar = earn_policy_pb2.PointsPerAmount(points=1, per_minor=100)
    base = earn_policy_pb2.EarnRule(
        rule="base",
        title="1 point per dollar",
        per_amount=per_dollar,
        kinds=[point_of_sale_pb2.POINT_KIND_REDEEMABLE, point_of_sale_pb2.POINT_KIND_QUALIFYING],
        tier_multiplied=True,
    )
    produce = earn_policy_pb2.EarnRule(
        rule="produce-extra",
        title="1 extra point per dollar of produce",
        per_amount=per_dollar,
        kinds=[point_of_sale_pb2.POINT_KIND_REDEEMABLE],
        lines=category("PRODUCE"),
    )
    published = earn_policy_pb2.EarnPolicy(
        currency_code="USD", rules=[base, produce], exclusions=[category("TOBACCO")]
    )
    published.effective_time.FromDatetime(datetime.now(UTC) - timedelta(days=365))
    return published


def connect(url: str) -> "psycopg2.extensions.connection":
    plain = make_url(url).set(drivername="postgresql")
    return psycopg2.connect(plain.render_as_string(hide_password=False))


def free_port_base(*, on_rabbitmq: bool = False) -> int:
    """Where all the ports of a platform are free now."""
    for base in random.sample(PORT_BASES, 50):
        try:
            choose_ports(base, on_rabbitmq=on_rabbitmq)
        except PortInUse:
            continue
        return base
    raise AssertionError("no ports are free")
