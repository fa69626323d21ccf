"""The embedded bus as a process: every service's reactions on the outboxes of all."""

from collections.abc import Mapping

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.cli.service_table import SERVICES
from services.cli.stop_signals import StopSignals
from services.ledger.reactions import LedgerReactions
from services.plumbing import outbox, telemetry
from services.plumbing.config import LogSettings, read
from services.plumbing.database import engine, transaction
from services.plumbing.embedded_bus import Consumer, EmbeddedBus
from services.plumbing.prepared import BY_KEY_ONLY
from services.plumbing.stream_delivery import Source
from services.rewards.reactions import RewardsReactions
from services.tiering.reactions import TieringReactions

# Who reacts to events, by the name of the service.
REACTIONS: Mapping[str, type] = {
    "ledger": LedgerReactions,
    "tiering": TieringReactions,
    "rewards": RewardsReactions,
}


class BusSettings(BaseSettings):
    """A database URL for every service of the service table."""

    model_config = SettingsConfigDict(frozen=True)

    members_database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    ledger_database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    tiering_database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    rewards_database_url: str = Field(pattern=r"^postgresql\+psycopg2://")
    outbox_retention_days: int = Field(default=30, ge=1, le=3_650)
    # Where announcers ring, "host:port"; the bus keeps looking where it is empty.
    bus_doorbell: str = Field(default="", pattern=r"^([0-9.]+:\d+)?$")
    bus_metrics_port: int = Field(default=7290, ge=0, le=65535)

    def database_url(self, service: str) -> str:
        return str(getattr(self, f"{service}_database_url"))


def wire(settings: BusSettings) -> EmbeddedBus:
    """The bus over the databases of all services."""
    urls = {service.name: settings.database_url(service.name) for service in SERVICES}
    # What is interrupted by a connection that broke is done again soon.
    engines = {
        name: engine(url, settings=BY_KEY_ONLY, checks_first=False) for name, url in urls.items()
    }
    sources = []
    for name, source in engines.items():
        with transaction(source) as connection:
            sources.append(Source(name, source, outbox.streams(connection)))
    consumers = [
        Consumer(reactions, engines[name], {"DATABASE_URL": urls[name]})
        for name, reactions in REACTIONS.items()
    ]
    return EmbeddedBus(
        sources,
        consumers,
        retention_days=settings.outbox_retention_days,
        doorbell=settings.bus_doorbell,
    )


def main() -> None:
    telemetry.start_logging(read(LogSettings).level)
    settings = read(BusSettings)
    bus = wire(settings)
    stop_signals = StopSignals()
    stop_signals.install()
    bus.start()
    telemetry.serve_metrics(settings.bus_metrics_port)
    stop_signals.told.wait()
    bus.stop()


if __name__ == "__main__":
    main()
