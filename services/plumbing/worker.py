"""A service's worker: its reactions as a nameko service on RabbitMQ, and the relay of its outboxes.

Runs in a process that is green (see services.plumbing.green) and never imports grpc.
"""

import logging
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import eventlet
from nameko.runners import ServiceRunner
from prometheus_client import Gauge

from services.plumbing import housekeeping, outbox, outbox_metrics, relay, telemetry
from services.plumbing.config import LogSettings, read
from services.plumbing.database import database_is_away, engine, transaction
from services.plumbing.relay import Relay
from services.plumbing.worker_settings import AmqpSettings, WorkerSettings

log = logging.getLogger("worker")

POLL_SECONDS = 0.05
DATABASE_RETRY_SECONDS = 1.0
# Workers of nameko wait for each other only within a stream; there are never that many.
STREAMS_MAX = 1_000
CONTAINER = "services.plumbing.ordered_events.OrderedContainer"

RELAY_LEADS = Gauge("bus_relay_leads", "1 where this relay leads, 0 where it waits.", ["source"])


class ReactionsEnded(Exception):  # noqa: N818 — an answer, not an accident
    """nameko has stopped the reactions without being told to."""


class Worker:
    """Until told to stop: a relay, and the reactions if the service has any."""

    def __init__(
        self, name: str, settings: WorkerSettings, amqp: AmqpSettings, reactions: type | None
    ) -> None:
        self._name = name
        self._settings = settings
        self._stopping = False
        self._engine = engine(settings.database_url, pool_size=4)
        self._relay = Relay(settings.database_url, name, amqp.url, pause=self.pause)
        self._runner = ServiceRunner(
            {
                "AMQP_URI": amqp.url,
                "DATABASE_URL": settings.database_url,
                "PREFETCH": settings.worker_prefetch,
                "max_workers": STREAMS_MAX,
                "SERVICE_CONTAINER_CLS": CONTAINER,
            }
        )
        self._reacts = reactions is not None
        if reactions is not None:
            self._runner.add_service(reactions)

    def tell_to_stop(self, *_: object) -> None:
        self._stopping = True

    def pause(self, seconds: float) -> bool:
        """Sleep, but not beyond the wish to stop. Returns whether there is one."""
        with eventlet.Timeout(seconds, False):
            while seconds and not self._stopping:
                eventlet.sleep(min(POLL_SECONDS, seconds))
        return self._stopping

    def run(self) -> None:
        """Refuses: what ended the reactions, if anything did; a new process is the way out then."""
        self._watch()
        threads = [
            eventlet.spawn(self._relay.run),
            eventlet.spawn(self._repeat, housekeeping.EVERY_SECONDS, self._prune),
        ]
        self._runner.start()
        reacting = eventlet.spawn(self._runner.wait)
        while not self.pause(POLL_SECONDS):
            if self._reacts and reacting.dead:
                reacting.wait()
                raise ReactionsEnded
        self._runner.stop()
        for thread in threads:
            thread.wait()
        self._engine.dispose()

    def _watch(self) -> None:
        """Let the metrics of the outboxes read the tables when they are scraped."""
        RELAY_LEADS.labels(self._name).set_function(lambda: float(self._relay.leads))
        for stream in self._streams():
            outbox_metrics.watch(self._name, stream, partial(self._waiting, stream))

    def _streams(self) -> list[str]:
        while not self._stopping:
            try:
                with transaction(self._engine) as connection:
                    return outbox.streams(connection)
            except Exception as error:
                if not database_is_away(error):
                    raise
                self.pause(DATABASE_RETRY_SECONDS)
        return []

    def _waiting(self, stream: str) -> outbox.Waiting:
        return relay.waiting(self._engine, self._name, stream)

    def _prune(self) -> None:
        relay.prune(self._engine, self._name, retention_days=self._settings.outbox_retention_days)

    def _repeat(self, seconds: float, work: Callable[[], None]) -> None:
        while not self.pause(seconds):
            try:
                work()
            except Exception:
                log.exception("interrupted")


def run(name: str, settings: WorkerSettings, reactions: Any = None) -> None:
    """Run a service's worker until SIGTERM or SIGINT."""
    telemetry.start_logging(read(LogSettings).level)
    # nameko logs an error with its text, which could quote what is personal; we log its kind.
    logging.getLogger("nameko.containers").setLevel(logging.CRITICAL)
    worker = Worker(name, settings, read(AmqpSettings), reactions)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, worker.tell_to_stop)
    telemetry.serve_metrics(settings.worker_metrics_port)
    worker.run()
