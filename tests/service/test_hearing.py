"""Who waits until a service has heard another."""

from collections.abc import Iterator

import pytest

from services.cli.hearing import Hearing, NotHeard
from services.plumbing import embedded_bus as bus_module
from tests.service.databases import Databases
from tests.service.shelf import Town, build, embedded_bus
from tests.service.waiting import wait_until


@pytest.fixture
def quiet_town(databases: Databases) -> Iterator[Town]:
    urls = databases.create_empty(), databases.create_empty()
    made = build(*urls)
    yield made
    made.close()
    for url in urls:
        databases.drop(url)


def hearing(town: Town, *, bus: str = "", seconds_max: float = 60.0) -> Hearing:
    return Hearing(
        consumer="shelf",
        consumer_url=town.shelf_url,
        source="members",
        source_url=town.members_url,
        bus=bus,
        seconds_max=seconds_max,
    )


def test_what_is_not_heard_in_time_is_refused_and_heard_it_is_not_waited_for(
    quiet_town: Town,
) -> None:
    bus = embedded_bus(quiet_town)
    quiet_town.issue("card-1")
    with hearing(quiet_town, seconds_max=0.05) as impatient:
        with pytest.raises(NotHeard, match="shelf does not hear members"):
            impatient.wait()
        bus.drain()
        impatient.wait()
    bus.stop()


def test_a_bus_that_gathers_events_stops_doing_so_while_somebody_waits(
    quiet_town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the test may last: what is gathered is delivered because somebody waits.
    monkeypatch.setattr(bus_module, "QUIET_SECONDS", 3_600.0)
    monkeypatch.setattr(bus_module, "GATHER_SECONDS_MAX", 3_600.0)
    monkeypatch.setattr(bus_module, "CURSOR_SECONDS", 3_600.0)
    monkeypatch.setattr(bus_module, "BUSY_PER_SECOND", 0.0)
    monkeypatch.setattr(bus_module, "BUSY_SECONDS", 3_600.0)
    bus = embedded_bus(quiet_town, doorbell="127.0.0.1:0")
    quiet_town.issue("card-1")
    quiet_town.issue("card-2")
    bus.start()
    wait_until(lambda: quiet_town.kept() == ["card-1", "card-2"])
    quiet_town.issue("card-3")
    with hearing(quiet_town, bus=bus.doorbell) as waiting:
        waiting.wait()
    assert quiet_town.kept() == ["card-1", "card-2", "card-3"]
    bus.stop()
