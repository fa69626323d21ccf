"""What tests of several kinds share, and which of them share a worker.

`pytest -n 2` runs them in two processes: a module's tests stay together, and so do those of a group
below.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from loadtests.broker import Broker, running_broker
from tests.faults.programme import Programme

# No day closes by itself under a test that has not asked for it.
os.environ["LOYALTY_NIGHT"] = "no"

# By the beginnings of the modules' names, and in the order in which the groups start. The first
# share a platform, parts of which they kill, so that one at a time may have it; the second share a
# RabbitMQ.
PLATFORMS, ON_RABBITMQ, MEASURES = "platforms", "rabbitmq", "measures"
GROUPS = {
    "tests/faults/": PLATFORMS,
    "tests/journeys/test_platform_on_rabbitmq.py": ON_RABBITMQ,
    "tests/journeys/": PLATFORMS,
    "tests/service/test_bus_": ON_RABBITMQ,
    "tests/service/test_loadtests_": MEASURES,
}
ORDER = list(dict.fromkeys(GROUPS.values()))


def group_of(node_id: str) -> str:
    """Whose worker a test shares: that of its group, or of its module's other tests."""
    module = node_id.partition("::")[0]
    return next((group for start, group in GROUPS.items() if module.startswith(start)), module)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest groups, so that the workers end together."""
    places = {group: place for place, group in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(group_of(item.nodeid), len(places)))


class Grouped(LoadScopeScheduling):
    """Gives a group to one worker, in the order above."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Grouped:
    # Else the groups with the most tests would be first, which are the quick ones.
    config.option.loadscopereorder = False
    return Grouped(config, log)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One RabbitMQ for the whole run; a test that stops or kills one starts its own."""
    with running_broker(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programme]:
    """One platform for the whole run, with a policy; tests mind their own cards and members."""
    programme = Programme(tmp_path_factory.mktemp("programme") / "data")
    programme.start()
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
