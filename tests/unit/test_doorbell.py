"""The doorbell of the embedded bus: who waits rings, and is told."""

import threading
from queue import Queue

import pytest

from services.plumbing import doorbell


def test_who_hurries_the_bus_is_told_of_what_it_delivers() -> None:
    door = doorbell.Doorbell("127.0.0.1:0")
    ended = threading.Event()
    rung: Queue[tuple[str, doorbell.Address]] = Queue()
    listener = threading.Thread(target=door.listen, args=(lambda *ring: rung.put(ring), ended))
    listener.start()
    with doorbell.bell_at(door.address) as waiting:
        doorbell.hurry(waiting, "members")
        name, who = rung.get(timeout=60)
        door.tell([who, who])
        # Longer than the test may last: what is waited for was told, all of it at once.
        doorbell.wait(waiting, 3_600.0)
        with pytest.raises(BlockingIOError):
            waiting.recv(1)
    ended.set()
    door.wake()
    listener.join()
    assert name == f"{doorbell.HURRY}members"
