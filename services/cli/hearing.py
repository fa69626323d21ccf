"""Waiting until one service has heard what another has announced."""

import time
from types import TracebackType

from sqlalchemy import Connection

from services.plumbing import inbox, outbox
from services.plumbing.database import engine, transaction

HEAR_SECONDS_MAX = 120.0
POLL_SECONDS = 0.005


class NotHeard(Exception):  # noqa: N818 — an answer, not an accident
    """A consumer is too far behind, or the bus is down."""


class Hearing:
    """A consumer of a source's events; a context manager."""

    def __init__(
        self,
        *,
        consumer: str,
        consumer_url: str,
        source: str,
        source_url: str,
        seconds_max: float = HEAR_SECONDS_MAX,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._seconds_max = seconds_max
        self._poll_seconds = poll_seconds
        self._consumer = consumer
        self._source = source
        self._consuming = engine(consumer_url, pool_size=1)
        self._announcing = engine(source_url, pool_size=1)

    def __enter__(self) -> "Hearing":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._consuming.dispose()
        self._announcing.dispose()

    def wait(self) -> None:
        """Wait until all that is announced by now is applied. Refuses: NotHeard in the end."""
        deadline = time.monotonic() + self._seconds_max
        waited_for = self._announced()
        while waited_for := self._not_heard(waited_for):
            if time.monotonic() > deadline:
                raise NotHeard(f"{self._consumer} does not hear {self._source}; is the bus up?")
            time.sleep(self._poll_seconds)

    def _announced(self) -> dict[str, int]:
        """The newest event's position, by stream."""
        with transaction(self._announcing) as connection:
            return {
                stream: connection.exec_driver_sql(
                    f"SELECT coalesce(max(position), 0) FROM {stream}.outbox"  # noqa: S608 -- a schema
                ).scalar_one()
                for stream in outbox.streams(connection)
            }

    def _not_heard(self, announced: dict[str, int]) -> dict[str, int]:
        with transaction(self._consuming) as connection:
            return {
                stream: position
                for stream, position in announced.items()
                if self._heard(connection, stream) < position
            }

    def _heard(self, connection: Connection, stream: str) -> int:
        found = inbox.cursor(
            connection, consumer=self._consumer, source=self._source, stream=stream
        )
        return found.position
