"""Which wallet a card credits, remembered by every server and forgotten when the card changes."""

import logging
import select
import socket
import threading
from collections.abc import Iterable

import psycopg2
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from services.ledger.storage import directory
from services.ledger.storage.directory import Card
from services.plumbing.database import transaction

log = logging.getLogger("cards")

CARDS_MAX = 2_000_000
POLL_SECONDS = 1.0
RECONNECT_SECONDS = 0.5


class CardCache:
    """Cards by token. Trusted only while changes are heard of; without that every look-up goes
    to the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cards: dict[str, Card] = {}
        self._hearing = False
        self._closing = threading.Event()
        # Wakes the listener when there is nothing to hear but the end.
        self._ear, self._bell = socket.socketpair()
        # Counts what was forgotten, so that a look-up under way does not bring back what is stale.
        self._forgotten = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="cards", daemon=True)
        self._thread.start()

    def get(self, token: str) -> Card | None:
        """The card if it is remembered; touches no database."""
        return self._cards.get(token)

    def look_up(self, tokens: Iterable[str]) -> dict[str, Card]:
        """The cards of tokens; those nobody knows get a provisional wallet."""
        wanted = list(dict.fromkeys(tokens))
        seen = self._forgotten
        with transaction(self._engine) as connection:
            found = directory.find_cards(connection, wanted)
            unknown = [token for token in wanted if token not in found]
            if unknown:
                found |= directory.add_unknown_cards(connection, unknown)
        with self._lock:
            if self._hearing and seen == self._forgotten:
                if len(self._cards) + len(found) > CARDS_MAX:
                    self._cards.clear()
                self._cards.update(found)
        return found

    def find(self, token: str) -> Card | None:
        """The card of a token, without making one."""
        card = self._cards.get(token)
        if card is None:
            with transaction(self._engine) as connection:
                card = directory.find_cards(connection, [token]).get(token)
        return card

    def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        self._bell.send(b"!")
        self._thread.join()
        self._ear.close()
        self._bell.close()

    def _forget(self, token: str | None) -> None:
        with self._lock:
            self._forgotten += 1
            if token is None:
                self._cards.clear()
            else:
                self._cards.pop(token, None)

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                self._hear()
            except (DBAPIError, psycopg2.Error, OSError):
                log.warning("cards: connection lost, nothing is remembered meanwhile")
            finally:
                self._hearing = False
                self._forget(None)
            self._closing.wait(RECONNECT_SECONDS)

    def _hear(self) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"LISTEN {directory.CHANNEL}")
            connection.commit()
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101 — for the type checker: it is connected
            # Only now: what changed before LISTEN was not heard of.
            self._hearing = True
            while not self._closing.is_set():
                if driver in select.select([driver, self._ear], [], [], POLL_SECONDS)[0]:
                    driver.poll()
                    if driver.closed:
                        raise OSError("connection closed")
                while driver.notifies:
                    self._forget(driver.notifies.pop(0).payload)
