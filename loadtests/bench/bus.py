"""A platform on RabbitMQ, and when tiering applied what the ledger committed.

The database itself says when each transaction committed, so nothing is asked of the services: the
ledger's and tiering's databases are of one cluster, and have one clock.
"""

import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, Engine

from loadtests.bench.subject import LEDGER, Subject, fresh_subject
from loadtests.bench.usage import Meter
from loadtests.broker import running_broker
from services.ledger.storage import shards
from services.plumbing import inbox
from services.plumbing.database import array, engine, text_array, transaction

TIERING = "tiering"
WORKERS = ("ledger-worker", "tiering-worker")
RABBITMQ = "rabbitmq"
SETTINGS = {"track_commit_timestamp": "on"}
APPLY_SECONDS_MAX = 1_800.0
POLL_SECONDS = 0.25


class NotApplied(Exception):  # noqa: N818 — says what happened
    """Tiering has not applied every event of the ledger."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An event on its way: times are seconds since the epoch, by the database's clock."""

    documents: int
    entries: int
    committed: float
    applied: float


@dataclass(frozen=True, slots=True)
class Bus:
    """A ledger whose events RabbitMQ carries to tiering."""

    subject: Subject
    tiering: Engine
    meter: Meter

    def positions(self) -> dict[str, int]:
        """The newest event of each stream of sales."""
        with transaction(self.subject.database) as connection:
            return {
                stream: connection.exec_driver_sql(
                    f"SELECT coalesce(max(position), 0) FROM {stream}.outbox"  # noqa: S608 — a schema
                ).scalar_one()
                for stream in shards.schemas(connection)
            }

    def entries(self) -> int:
        """How many entries the ledger has."""
        with transaction(self.subject.database) as connection:
            return sum(
                connection.exec_driver_sql(
                    f"SELECT coalesce(sum(entries), 0)::bigint FROM {stream}.batches"  # noqa: S608 — a schema
                ).scalar_one()
                for stream in shards.schemas(connection)
            )

    def wait_until_applied(self) -> None:
        """Wait for all that is announced by now. Refuses: NotApplied after half an hour."""
        waited_for = self.positions()
        deadline = time.monotonic() + APPLY_SECONDS_MAX
        while not self._has_read(waited_for):
            if time.monotonic() > deadline:
                raise NotApplied(f"not within {APPLY_SECONDS_MAX:.0f} s")
            time.sleep(POLL_SECONDS)

    def applied_after(self, positions: Mapping[str, int]) -> list[Applied]:
        """All events behind some positions, in the order of their commits. Refuses: NotApplied."""
        with transaction(self.subject.database) as connection:
            rows = [
                row
                for stream, position in positions.items()
                for row in _announced(connection, stream, position)
            ]
        with transaction(self.tiering) as connection:
            times = _apply_times(connection)
        missing = sum(row[0] not in times for row in rows)
        if missing:
            raise NotApplied(f"{missing:,} of {len(rows):,} events")
        found = [Applied(row[1], row[2], row[3], times[row[0]]) for row in rows]
        return sorted(found, key=lambda event: event.committed)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody relays or reacts while the block runs."""
        workers = [psutil.Process(self.subject.platform.process(name).pid) for name in WORKERS]
        for worker in workers:
            worker.suspend()
        try:
            yield
        finally:
            for worker in workers:
                worker.resume()

    def _has_read(self, positions: Mapping[str, int]) -> bool:
        with transaction(self.tiering) as connection:
            return all(
                inbox.cursor(connection, consumer=TIERING, source=LEDGER, stream=stream).position
                >= position
                for stream, position in positions.items()
            )


def _announced(connection: Connection, stream: str, after: int) -> Sequence[tuple[Any, ...]]:
    """Events of sales with their batches; an event's id ends with that of its batch."""
    rows = connection.exec_driver_sql(
        "SELECT o.id, b.documents, b.entries,"  # noqa: S608 — a schema
        " extract(epoch FROM pg_xact_commit_timestamp(o.xmin))::float8"
        f" FROM {stream}.outbox o JOIN {stream}.batches b"
        " ON b.batch_id = split_part(o.id, '-', 2)::bigint WHERE o.position > %s",
        (after,),
    )
    return [tuple(row) for row in rows]


def _apply_times(connection: Connection) -> dict[object, float]:
    rows = connection.exec_driver_sql(
        "SELECT event_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM inbox"
        " WHERE consumer = %s AND source = %s",
        (TIERING, LEDGER),
    )
    return {row[0]: row[1] for row in rows}


@contextmanager
def fresh_bus(wallets: int) -> Iterator[Bus]:
    """A platform on a RabbitMQ of its own while the block runs; each wallet has a member."""
    with (
        tempfile.TemporaryDirectory(prefix="loyalty-bench-") as folder,
        running_broker(Path(folder)) as broker,
        fresh_subject(wallets, amqp_url=broker.url, database_settings=SETTINGS) as subject,
    ):
        platform = subject.platform
        tiering = engine(platform.database_urls[TIERING], pool_size=2)
        trees = {name: [platform.process(name).pid] for name in WORKERS}
        try:
            _own_wallets(tiering, wallets)
            meter = Meter({**subject.process_ids, **trees, RABBITMQ: [broker.pid]})
            yield Bus(subject, tiering, meter)
        finally:
            tiering.dispose()


def _own_wallets(tiering: Engine, count: int) -> None:
    """What the reactions to so many enrolments and attached wallets would leave in tiering."""
    with transaction(tiering) as connection:
        connection.exec_driver_sql(
            "WITH added AS (INSERT INTO members (member_id, enrol_day, heard_day)"
            " SELECT member, 0, 0 FROM unnest(%s::uuid[]) AS member RETURNING number)"
            " INSERT INTO wallets (wallet, member)"
            " SELECT wallet, number FROM unnest(%s::bigint[]) WITH ORDINALITY AS w (wallet, nth)"
            " JOIN (SELECT number, row_number() OVER (ORDER BY number) AS nth FROM added) AS m"
            " USING (nth)",
            (text_array(str(uuid.uuid4()) for _ in range(count)), array(range(1, count + 1))),
        )
