"""What tests of several kinds share, and which of them share a worker.

`pytest -n 3` runs them in three processes, for on two cores one of them mostly waits: a module's
tests stay together, and so do those of a group below.
"""

import asyncio
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import pytest
import uvloop
from xdist.scheduler import LoadScopeScheduling

from loadtests.broker import Broker, running_broker
from tests.disk import spare_the_disk
from tests.faults.programme import Programme

pytest_plugins = ["tests.collection"]

# No day closes by itself under a test that has not asked for it.
os.environ["LOYALTY_NIGHT"] = "no"
# Everything here is at an address: eventlet's own resolver is a fifth of what a worker imports.
os.environ["EVENTLET_NO_GREENDNS"] = "yes"

# By the beginnings of the modules' names; the first that fits counts. The tests of PLATFORM share
# one, parts of which they kill, so that one at a time may have it; those of RABBITMQ another.
YEAR, PLATFORM, RABBITMQ = "year", "platform", "rabbitmq"
MEASURES, STARTS = "measures", "starts"
GROUPS = {
    "tests/journeys/test_real_year.py": YEAR,
    "tests/journeys/test_platform_on_rabbitmq.py": RABBITMQ,
    "tests/service/test_bus_": RABBITMQ,
    "tests/journeys/test_platform_up.py": STARTS,
    "tests/journeys/": PLATFORM,
    "tests/faults/test_bus_rabbitmq.py": RABBITMQ,
    "tests/faults/": PLATFORM,
    "tests/service/test_loadtests_": MEASURES,
}
# The longest first. Not among the first one of a test or two: xdist gives its worker the next
# group at once.
ORDER = (YEAR, RABBITMQ, PLATFORM, MEASURES, STARTS)


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001 — the hook's signature
    item: pytest.Item,  # noqa: ARG001
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the event loop that servers run on."""
    return {"uvloop": uvloop.new_event_loop}


def group_of(node_id: str) -> str:
    """Whose worker a test shares: that of its group, or of its module's other tests."""
    module = node_id.partition("::")[0]
    return next((group for start, group in GROUPS.items() if module.startswith(start)), module)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest groups, so that the workers end together."""
    places = {group: place for place, group in enumerate(ORDER)}

    def place(item: pytest.Item) -> tuple[int, str]:
        # Each worker has collected the modules in an order of its own.
        module = item.nodeid.partition("::")[0]
        return places.get(group_of(item.nodeid), len(places)), module

    items.sort(key=place)


class Grouped(LoadScopeScheduling):
    """Gives a group to one worker, in the order above."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Grouped:
    # Else the groups with the most tests would be first, which are the quick ones.
    config.option.loadscopereorder = False
    return Grouped(config, log)


# The platforms that tests of several modules share, by their fixtures' names.
PLATFORMS: dict[str, Programme] = {}
LAST_USERS = pytest.StashKey[dict[str, str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note who is the last to need each platform."""
    session.stash[LAST_USERS] = {
        name: item.nodeid
        for item in session.items
        for name in ("running", "running_on_rabbitmq")
        if name in getattr(item, "fixturenames", ())
    }


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Stop a platform that nobody needs any more: an idle one takes its part of the processor."""
    yield
    for name, last_user in item.session.stash[LAST_USERS].items():
        if item.nodeid == last_user and name in PLATFORMS:
            PLATFORMS[name].stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One RabbitMQ for the whole run; a test that ends it starts it again."""
    with running_broker(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programme]:
    """One platform for the whole run, with a policy; tests mind their own cards and members."""
    data = tmp_path_factory.mktemp("programme") / "data"
    programme = PLATFORMS["running"] = Programme(data)
    programme.start()
    try:
        programme.publish_policy()
        yield programme
    finally:
        programme.stop()


@pytest.fixture(scope="session")
def running_on_rabbitmq(
    rabbitmq: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Programme]:
    """Another, on RabbitMQ; what dies there are the broker and consumers."""
    data = tmp_path_factory.mktemp("programme") / "data"
    programme = PLATFORMS["running_on_rabbitmq"] = Programme(data, amqp_url=rabbitmq.url)
    programme.start()
    spare_the_disk(programme.ledger_url)
    try:
        programme.publish_policy()
        yield programme
    finally:
        programme.stop()


@pytest.fixture
def programme(running: Programme) -> Programme:
    """That platform, healthy: what a test has killed is up again for the next."""
    running.wait_until_healthy()
    return running
