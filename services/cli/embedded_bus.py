"""The embedded bus as a process: every service's reactions on the outboxes of all."""

import signal
import threading

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.ledger.reactions import LedgerReactions
from services.ledger.storage import shards as ledger_shards
from services.plumbing import telemetry
from services.plumbing.config import LogSettings, read
from services.plumbing.database import engine, transaction
from services.plumbing.embedded_bus import Consumer, EmbeddedBus, Source


class BusSettings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True)

    members_database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    ledger_database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    bus_metrics_port: int = Field(default=7290, ge=0, le=65535)


def wire(members_database_url: str, ledger_database_url: str) -> EmbeddedBus:
    """The bus over both services' databases."""
    members = engine(members_database_url)
    ledger = engine(ledger_database_url)
    with transaction(ledger) as connection:
        streams = ledger_shards.schemas(connection)
    return EmbeddedBus(
        sources=[
            Source("members", members, ["public"]),
            Source("ledger", ledger, ["public", *streams]),
        ],
        consumers=[
            Consumer(LedgerReactions, ledger, {"DATABASE_URL": ledger_database_url}),
        ],
    )


def main() -> None:
    telemetry.start_logging(read(LogSettings).level)
    settings = read(BusSettings)
    bus = wire(settings.members_database_url, settings.ledger_database_url)
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    bus.start()
    telemetry.serve_metrics(settings.bus_metrics_port)
    told.wait()
    bus.stop()


if __name__ == "__main__":
    main()
