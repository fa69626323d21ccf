"""Waiting until one service has heard what another has announced."""

import time
from contextlib import ExitStack
from types import TracebackType

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from services.plumbing import doorbell, inbox, outbox
from services.plumbing.database import connection_was_lost, engine, looking
from services.plumbing.prepared import BY_KEY_ONLY

HEAR_SECONDS_MAX = 120.0
POLL_SECONDS = 0.002
# Who is told of deliveries looks so often anyhow: what is told may get lost.
TOLD_SECONDS_MAX = 0.01


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
        bus: str = "",
        seconds_max: float = HEAR_SECONDS_MAX,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """bus is the doorbell, "host:port", of the embedded bus that carries the events, if it is
        one: while somebody waits it gathers none.
        """
        self._seconds_max = seconds_max
        self._poll_seconds = poll_seconds
        self._consumer = consumer
        self._source = source
        self._bell = doorbell.bell_at(bus) if bus else None
        self._streams: list[str] = []
        self._consuming, self._announcing = (
            engine(url, pool_size=1, settings=BY_KEY_ONLY, checks_first=False)
            for url in (consumer_url, source_url)
        )
        self._database = str(self._announcing.url.database)

    def __enter__(self) -> "Hearing":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        with ExitStack() as opened:
            if self._bell is not None:
                opened.enter_context(self._bell)
            self._consuming.dispose()
            self._announcing.dispose()

    def wait(self) -> None:
        """Wait until all that is announced by now is applied. Refuses: NotHeard in the end."""
        deadline = time.monotonic() + self._seconds_max
        try:
            self._wait_until(deadline)
        except DBAPIError as error:
            if not connection_was_lost(error):
                raise
            # It may have broken long ago; the next ones are new.
            self._wait_until(deadline)

    def _wait_until(self, deadline: float) -> None:
        self._hurry()
        with looking(self._announcing) as connection:
            if not self._streams:
                self._streams = outbox.streams(connection)
            waited_for = outbox.newest(connection, self._streams)
        with looking(self._consuming) as connection:
            while waited_for := self._not_heard(connection, waited_for):
                if time.monotonic() > deadline:
                    raise NotHeard(f"{self._consumer} does not hear {self._source}; is the bus up?")
                self._pause()

    def _hurry(self) -> None:
        if self._bell is not None:
            doorbell.hurry(self._bell, self._database)

    def _pause(self) -> None:
        """Until something was delivered, as far as that is told, or it is time to look anyhow."""
        if self._bell is None:
            time.sleep(self._poll_seconds)
        else:
            doorbell.wait(self._bell, TOLD_SECONDS_MAX)
            self._hurry()

    def _not_heard(self, connection: Connection, announced: dict[str, int]) -> dict[str, int]:
        heard = inbox.positions(connection, consumer=self._consumer, source=self._source)
        return {
            stream: position
            for stream, position in announced.items()
            if heard.get(stream, outbox.START) < position
        }
