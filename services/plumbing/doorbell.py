"""Tells the embedded bus that something was announced, so that it need not keep looking.

A ring is a datagram on the loopback, sent after COMMIT, with the name of the database. It may get
lost, and anybody on the machine may send one: it only makes the bus look, which it does every now
and then anyhow.
"""

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import TypeAlias

log = logging.getLogger("bus")

# Names where the bus listens, "host:port"; empty without an embedded bus, which checks it when it
# starts. Read here without the settings' library: that takes a committer longer to import than all
# else it needs.
VARIABLE = "BUS_DOORBELL"
NAME_BYTES_MAX = 64
Address: TypeAlias = tuple[str, int]
# Stands before the name of a database whose events somebody is waiting for.
HURRY = "!"


def address_of(doorbell: str) -> Address:
    host, _, port = doorbell.rpartition(":")
    return host, int(port)


@cache
def bell() -> socket.socket | None:
    """What this process rings with, for as long as it lives."""
    doorbell = os.environ.get(VARIABLE, "")
    if not doorbell:
        return None
    return bell_at(doorbell)


def bell_at(doorbell: str) -> socket.socket:
    """What rings at an address, "host:port"."""
    address = address_of(doorbell)
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.connect(address)
    return opened


def ring(database: str) -> None:
    """Say that a transaction which announced something was committed."""
    try:
        opened = bell()
        if opened is not None:
            opened.send(database.encode()[:NAME_BYTES_MAX])
    except (OSError, ValueError):
        # Nobody listens, nobody could, or too many ring: the bus looks by itself.
        log.debug("the bus does not hear its doorbell")


def hurry(opened: socket.socket, database: str) -> None:
    """Say that somebody waits for all that is announced in a database; in force for a moment, in
    which each delivery is told here, too.
    """
    with suppress(OSError):
        opened.send(f"{HURRY}{database}".encode()[:NAME_BYTES_MAX])


def wait(opened: socket.socket, seconds_max: float) -> None:
    """Wait until a delivery is told after a `hurry`, or for so long: what is told may get lost."""
    told, _, _ = select.select([opened], [], [], seconds_max)
    try:
        while told:
            opened.recv(NAME_BYTES_MAX)
    except BlockingIOError:
        # That was all.
        return
    except OSError:
        # Nobody listens.
        time.sleep(seconds_max)


class Doorbell:
    """Hears who rings at an address, "host:port"; port 0 is any that is free."""

    def __init__(self, address: str) -> None:
        """Refuses: OSError, when somebody listens there already."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(address_of(address))
        except OSError:
            self._socket.close()
            raise

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def listen(self, on_ring: Callable[[str, Address], None], stopping: threading.Event) -> None:
        """Call on_ring with each database's name, and who rang, until told to stop, by `wake` at
        the latest.
        """
        with self._socket:
            while not stopping.is_set():
                name, ringer = self._socket.recvfrom(NAME_BYTES_MAX)
                if name:
                    on_ring(name.decode(errors="replace"), ringer)

    def tell(self, ringers: Iterable[Address]) -> None:
        """Tell who rang that something was delivered; they look for themselves what it was."""
        for ringer in ringers:
            with suppress(OSError):
                self._socket.sendto(b"delivered", ringer)

    def wake(self) -> None:
        """Let who listens see whether to stop."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", address_of(self.address))
