"""A small service that reacts to events, and the town it lives in: a source, and a bus between.

As a process: `python -m tests.service.shelf embedded|relay|worker`, configured by the environment.
"""

import signal
import sys
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import environ

if __name__ == "__main__" and sys.argv[1] != "embedded":
    # Before anything else is imported, as in a service.
    from services.plumbing import green

    green.patch()

from loyalty.members.v1 import events_pb2
from nameko.events import event_handler
from sqlalchemy import Engine

from services.plumbing import database, delivery, inbox, outbox, telemetry
from services.plumbing.database import engine, transaction
from services.plumbing.embedded_bus import Consumer, EmbeddedBus
from services.plumbing.outbox import Event
from services.plumbing.reactions import Database, apply, concerned_by
from services.plumbing.stream_delivery import Source

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CARD_ISSUED = "loyalty.members.v1.CardIssued"
# An event with it cannot be taken, until the table of cures says that it can.
POISON = "poison"
# A card with it in its token is of no concern to the shelf.
DULL = "dull"
SHELF_TABLES = """
    CREATE TABLE shelf (
        id int GENERATED ALWAYS AS IDENTITY, member text NOT NULL, token text NOT NULL);
    CREATE TABLE cures (token text)"""


def is_interesting(data: bytes) -> bool:
    return DULL.encode() not in data


class Shelf:
    """Keeps the tokens of the cards it hears of, in the order it heard; poison it cannot take."""

    name = "shelf"
    database = Database()

    @concerned_by(is_interesting)
    @event_handler("members", CARD_ISSUED)  # type: ignore[untyped-decorator]
    def card_issued(self, envelope: bytes) -> None:
        with apply(self.database, self.name, envelope, events_pb2.CardIssued) as received:
            if received:
                connection, event = received
                connection.exec_driver_sql(
                    "INSERT INTO shelf (member, token) VALUES (%s, %s)",
                    (event.member, event.card_token),
                )
                cured = connection.exec_driver_sql("SELECT count(*) FROM cures").scalar_one()
                if event.card_token.startswith(POISON) and not cured:
                    raise ValueError("ada@example.com")


def card_issued(token: str, member: str = "members/1", event_id: str | None = None) -> Event:
    message = events_pb2.CardIssued(member=member, card_token=token)
    data = message.SerializeToString()
    return Event(event_id or uuid.uuid4().hex, CARD_ISSUED, member, NOW, data)


@dataclass(frozen=True, slots=True)
class Town:
    """A service that announces, and one that reacts; whatever the bus between them is."""

    members_url: str
    shelf_url: str
    members: Engine
    shelf: Engine

    def issue(self, *tokens: str, member: str = "members/1") -> list[Event]:
        events = [card_issued(token, member) for token in tokens]
        self.announce(*events)
        return events

    def announce(self, *events: Event) -> None:
        with transaction(self.members) as connection:
            outbox.append(connection, "public", events)

    def kept(self, member: str = "members/1") -> list[str]:
        with transaction(self.shelf) as connection:
            query = "SELECT token FROM shelf WHERE member = %s ORDER BY id"
            return list(connection.exec_driver_sql(query, (member,)).scalars())

    def parked(self) -> dict[str, str]:
        """The errors of the events that were put aside, by the ids of these."""
        with transaction(self.shelf) as connection:
            found = inbox.parked(connection, limit=1_000)
        return {each.event.id: each.error for each in found}

    def close(self) -> None:
        self.members.dispose()
        self.shelf.dispose()


def build(members_url: str, shelf_url: str) -> Town:
    """A town on two empty databases."""
    town = Town(members_url, shelf_url, engine(members_url), engine(shelf_url))
    for source in (town.members, town.shelf):
        with transaction(source) as connection:
            connection.exec_driver_sql(outbox.create_table("public"))
            connection.exec_driver_sql(inbox.TABLES)
    with transaction(town.shelf) as connection:
        connection.exec_driver_sql(SHELF_TABLES)
    return town


def embedded_bus(town: Town, *, doorbell: str = "") -> EmbeddedBus:
    return EmbeddedBus(
        [Source("members", town.members, ["public"])],
        [Consumer(Shelf, town.shelf, {"DATABASE_URL": town.shelf_url})],
        doorbell=doorbell,
    )


def run_embedded() -> None:
    urls = environ["MEMBERS_DATABASE_URL"], environ["SHELF_DATABASE_URL"]
    town = Town(*urls, *map(engine, urls))
    bus = embedded_bus(town)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    telemetry.serve_metrics(int(environ["BUS_METRICS_PORT"]))
    bus.start()
    told.wait()
    bus.stop()


def run_worker(name: str, reactions: type | None) -> None:
    from services.plumbing import worker
    from services.plumbing.worker_settings import WorkerSettings

    settings = WorkerSettings(
        database_url=environ[f"{name.upper()}_DATABASE_URL"],
        worker_metrics_port=int(environ[f"{name.upper()}_METRICS_PORT"]),
    )
    worker.run(name, settings, reactions)


def main(arguments: Sequence[str]) -> None:
    # Tell poison, and a lock that is never given, in less time than in production.
    delivery.BACK_OFF_SECONDS = 0.001
    database.LOCK_TIMEOUT_MS = 100
    match list(arguments):
        case ["embedded"]:
            run_embedded()
        case ["relay"]:
            run_worker("members", None)
        case ["worker"]:
            run_worker("shelf", Shelf)


if __name__ == "__main__":
    main(sys.argv[1:])
