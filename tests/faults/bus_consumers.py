"""Those who hear of entries, and what each has made of them: to be compared with the ledger."""

import os
import random
import signal
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT
from sqlalchemy import make_url

from services.ledger.storage.shards import schema
from services.plumbing import child_process, inbox, outbox, rabbitmq
from services.plumbing.database import engine, transaction
from services.plumbing.reactions import sources
from tests.faults.programme import SHARDS, Programme, connect
from tests.faults.totals import TABLES, Totals
from tests.service.bus_runtimes import free_address

# Points by wallet and kind.
Points = dict[tuple[int, int], int]
QUALIFYING = 2


@dataclass(frozen=True, slots=True)
class Consumer:
    """Somebody whose process a test kills, and what it has summed of one or more kinds."""

    name: str
    # Says whether there was anybody to kill: who dies often is started again after a while.
    kill: Callable[[], bool]
    points: Callable[[], Points]
    # How many events its process has taken, those included that had been applied before.
    delivered: Callable[[], int]
    kinds: tuple[int, ...]


def ledger_points(programme: Programme) -> Points:
    """What the ledger's entries come to."""
    found = Counter[tuple[int, int]]()
    for shard in range(SHARDS):
        query = "SELECT wallet_id, kind, sum(points) FROM {}.entries GROUP BY 1, 2"
        for wallet, kind, points in programme.rows(query.format(schema(shard))):
            found[wallet, kind] += int(points)
    return dict(found)


@contextmanager
def totals(programme: Programme, amqp_url: str, folder: Path) -> Iterator[Consumer]:
    """The small consumer, started again whenever it was killed."""
    url = _create_database(programme, Totals.name)
    _declare_queues(amqp_url)
    address = free_address()
    own = {
        "AMQP_URL": amqp_url,
        "TOTALS_DATABASE_URL": url,
        "TOTALS_METRICS_PORT": address.rpartition(":")[2],
    }
    kept = _KeptUp([sys.executable, "-W", "ignore", "-m", "tests.faults.totals"], own, folder)
    try:
        yield Consumer(
            Totals.name,
            kept.kill,
            lambda: {(row[0], row[1]): row[2] for row in _rows(url, "SELECT * FROM totals")},
            lambda: _delivered(address, Totals.name),
            (1, QUALIFYING),
        )
    finally:
        kept.stop()


def tiering(programme: Programme) -> Consumer:
    """tiering, which `loyalty up` starts again; nobody has enrolled, so it knows wallets alone."""
    url = programme.platform.database_urls["tiering"]

    def points() -> Points:
        query = "SELECT wallet, sum(points) FROM waiting_activity GROUP BY wallet"
        return {(row[0], QUALIFYING): int(row[1]) for row in _rows(url, query)}

    def kill() -> bool:
        process = programme.platform.process("tiering-worker").found()
        if process is not None:
            process.kill()
        return process is not None

    def delivered() -> int:
        return _delivered(programme.platform.process("tiering-worker").metrics_address, "tiering")

    return Consumer("tiering", kill, points, delivered, (QUALIFYING,))


def _delivered(metrics_address: str | None, consumer: str) -> int:
    """How many events of the ledger a process has taken since it was started."""
    with urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    series = f'bus_events_delivered_total{{consumer="{consumer}",source="ledger"}} '
    return sum(int(float(line.removeprefix(series))) for line in lines if line.startswith(series))


class _KeptUp:
    """A process that is started again after a kill."""

    def __init__(self, command: list[str], own: Mapping[str, str], folder: Path) -> None:
        self._command = command
        self._environment = os.environ | own
        self._log = folder / "kept-up.log"
        self._start()

    def _start(self) -> None:
        self._process = child_process.start(
            self._command, environment=self._environment, log=self._log
        )

    def kill(self) -> bool:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._start()
        return True

    def stop(self) -> None:
        child_process.stop(self._process)


def inject_duplicates(programme: Programme, amqp_url: str, *, count: int) -> int:
    """Publish events of the ledger that were published before, in no order. Returns how many."""
    source = engine(programme.ledger_url, pool_size=1)
    sent = 0
    chance = random.Random(count)  # noqa: S311 — the same chance in every run is what is wanted
    try:
        with rabbitmq.connect(amqp_url) as connection:
            from services.plumbing.relay import Publisher

            publisher = Publisher(connection, "ledger")
            for shard in range(SHARDS):
                with transaction(source) as reading:
                    origin = outbox.origin(reading, schema(shard)).name
                    found = outbox.read(reading, schema(shard), outbox.START, limit=count)
                for stored in chance.sample(found, len(found)):
                    publisher.publish(schema(shard), origin, stored)
                    sent += 1
            publisher.wait_until_confirmed()
    finally:
        source.dispose()
    return sent


class Killer:
    """Kills consumers by chance, again and again; counts how often each died."""

    def __init__(self, consumers: list[Consumer]) -> None:
        self.kills = Counter({each.name: 0 for each in consumers})
        self._consumers = consumers
        self._chance = random.Random("killer")  # noqa: S311 — as above

    def perhaps(self, probability: float) -> None:
        """Kill one of them with a probability."""
        if self._chance.random() < probability:
            consumer = self._chance.choice(self._consumers)
            self.kills[consumer.name] += consumer.kill()


def _create_database(programme: Programme, name: str) -> str:
    connection = connect(programme.ledger_url)
    try:
        connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    finally:
        connection.close()
    url = make_url(programme.ledger_url).set(database=name).render_as_string(hide_password=False)
    source = engine(url, pool_size=1)
    with transaction(source) as made:
        for statement in (TABLES, inbox.TABLES, outbox.create_table("public")):
            made.exec_driver_sql(statement)
    source.dispose()
    return url


def _declare_queues(amqp_url: str) -> None:
    with rabbitmq.connect(amqp_url) as connection:
        rabbitmq.declare_queues(connection.default_channel, Totals.name, sources(Totals))


def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()
