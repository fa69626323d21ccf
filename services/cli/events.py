"""`loyalty events`: what operators do with events: see them, see those put aside, apply them again.

Reads and writes the services' databases alone, so it works on either bus.
"""

import base64
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import typer
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from services.cli.run_file import NothingRuns, RunningPlatform
from services.cli.service_table import SERVICES, SUBSCRIPTIONS
from services.plumbing import bus_status, inbox, outbox
from services.plumbing.database import engine, transaction
from services.plumbing.inbox import Parked
from services.plumbing.outbox import Event

PARKED_SHOWN_MAX = 1_000
REPLAY_SECONDS_MAX = 30.0
POLL_SECONDS = 0.2
BATCH = 200
WIDTH_ELSEWHERE = 1_000

Found = tuple[str, str, outbox.Stored]


class UnknownReader(Exception):  # noqa: N818 — an answer, not an accident
    """Nobody of that name reads that source."""


@contextmanager
def databases(data_dir: Path) -> Iterator[dict[str, Engine]]:
    """The services' databases: those of what runs on a directory, or those of the environment.

    Refuses: NothingRuns.
    """
    with ExitStack() as opened:
        found = {}
        for name, url in _urls(data_dir).items():
            found[name] = engine(url, pool_size=1)
            opened.callback(found[name].dispose)
        yield found


def _urls(data_dir: Path) -> Mapping[str, str]:
    try:
        return RunningPlatform.load(data_dir).database_urls
    except NothingRuns:
        names = {service.name: f"{service.variables}_DATABASE_URL" for service in SERVICES}
        if not all(variable in os.environ for variable in names.values()):
            raise
        return {name: os.environ[variable] for name, variable in names.items()}


def consumers() -> list[str]:
    return sorted({consumer for consumer, _ in SUBSCRIPTIONS})


def parked(engines: Mapping[str, Engine]) -> list[Parked]:
    """What was put aside, by any consumer; the oldest of each first."""
    found = []
    for consumer in consumers():
        with transaction(engines[consumer]) as connection:
            found += inbox.parked(connection, limit=PARKED_SHOWN_MAX)
    return found


def show_parked(data_dir: Path, *, as_json: bool) -> None:
    with databases(data_dir) as engines:
        found = parked(engines)
    if as_json:
        for each in found:
            typer.echo(json.dumps(_described(each)))
        return
    columns = ("consumer", "source", "event", "type", "subject", "parked", "error")
    table = Table(*columns, box=None, pad_edge=False, header_style="dim underline")
    for each in found:
        parked_at = each.park_time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        event = each.event
        table.add_row(
            each.consumer, each.source, event.id, event.type, event.subject, parked_at, each.error
        )
    if found:
        # Ids are there to be copied: cut short for a terminal alone.
        width = None if sys.stdout.isatty() else WIDTH_ELSEWHERE
        Console(highlight=False, width=width).print(table)
    else:
        typer.echo("no event is parked")


def _described(each: Parked) -> dict[str, object]:
    return {
        "consumer": each.consumer,
        "source": each.source,
        "error": each.error,
        "park_time": each.park_time.isoformat(),
        **described(each.event),
    }


def described(event: Event) -> dict[str, object]:
    """An event in JSON; its data too where its type is known, else in base64."""
    return {
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "time": event.time.isoformat(),
        **_data(event),
    }


def _data(event: Event) -> dict[str, object]:
    package, _, _ = event.type.rpartition(".")
    try:
        if not package.startswith("loyalty."):
            # What is imported must not be a sender's choice.
            raise KeyError(package)
        importlib.import_module(f"{package}.events_pb2")
        pool: Any = descriptor_pool.Default()
        kind = pool.FindMessageTypeByName(event.type)
        message = message_factory.GetMessageClass(kind).FromString(event.data)
    except (ImportError, KeyError, ValueError, DecodeError):
        return {"data_base64": base64.b64encode(event.data).decode()}
    return {"data": json_format.MessageToDict(message)}


def replay(data_dir: Path, event_ids: Sequence[str]) -> tuple[int, int]:
    """Have parked events applied again, all without ids, and wait for it.

    Returns how many were asked for, and how many of these are still parked in the end.
    """
    with databases(data_dir) as engines:
        asked = 0
        for consumer in consumers():
            with transaction(engines[consumer]) as connection:
                asked += inbox.ask_for_replay(connection, event_ids)
        deadline = time.monotonic() + REPLAY_SECONDS_MAX
        while time.monotonic() < deadline:
            if not any(each.replay_time for each in parked(engines)):
                break
            time.sleep(POLL_SECONDS)
        wanted = set(event_ids)
        left = [each for each in parked(engines) if not wanted or each.event.id in wanted]
    return asked, len(left)


def rewind(data_dir: Path, consumer: str, source: str) -> int:
    """Let a consumer, or the relay, read a source from the beginning. Returns how many streams.

    Refuses: UnknownReader.
    """
    relays = {(bus_status.RELAY, service.name) for service in SERVICES}
    if (consumer, source) not in relays | set(SUBSCRIPTIONS):
        known = ", ".join(f"{c} {s}" for c, s in sorted(relays | set(SUBSCRIPTIONS)))
        raise UnknownReader(f"{consumer} does not read {source}; there are: {known}")
    if consumer != bus_status.RELAY and _is_on_rabbitmq(data_dir):
        raise UnknownReader(
            f"RabbitMQ tells {consumer}; rewind what tells RabbitMQ: relay {source}"
        )
    with databases(data_dir) as engines:
        owner = source if consumer == bus_status.RELAY else consumer
        with transaction(engines[owner]) as connection:
            return inbox.rewind(connection, consumer=consumer, source=source)


def _is_on_rabbitmq(data_dir: Path) -> bool:
    try:
        return RunningPlatform.load(data_dir).amqp_url is not None
    except NothingRuns:
        return False


def tail(data_dir: Path, *, source: str | None, kind: str | None, from_start: bool) -> None:
    """Print events as they are announced, a line of JSON each, until interrupted."""
    with databases(data_dir) as engines:
        for name, stream, stored in follow(engines, source=source, from_start=from_start):
            if kind is None or stored.event.type.endswith(kind):
                line = {"source": name, "stream": stream, "position": stored.position}
                typer.echo(json.dumps(line | described(stored.event)))


def follow(
    engines: Mapping[str, Engine], *, source: str | None, from_start: bool
) -> Iterator[Found]:
    """Every event of one source or of all, in the order of each stream, without end."""
    readers: dict[tuple[str, str], outbox.Reader] = {}
    after: dict[tuple[str, str], int] = {}
    for name, database in engines.items():
        if source not in (None, name):
            continue
        with transaction(database) as connection:
            for stream in outbox.streams(connection):
                last = outbox.origin(connection, stream).last_position
                after[name, stream] = outbox.START if from_start else last
                readers[name, stream] = outbox.Reader(stream)
    while True:
        read = 0
        for (name, stream), reader in readers.items():
            with transaction(engines[name]) as connection:
                batch = reader.read(connection, after[name, stream], limit=BATCH)
            for stored in batch:
                yield name, stream, stored
                after[name, stream] = stored.position
            read += len(batch)
        if not read:
            time.sleep(POLL_SECONDS)
