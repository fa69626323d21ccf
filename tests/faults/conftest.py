"""A platform for the tests of a module; what one of them kills is up again for the next."""

from collections.abc import Iterator

import pytest

from tests.faults.programme import Programme


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programme]:
    programme = Programme(tmp_path_factory.mktemp("faults") / "data")
    programme.start()
    try:
        programme.publish_policy()
        yield programme
    finally:
        programme.stop()


@pytest.fixture
def programme(running: Programme) -> Programme:
    """A healthy platform with an earn policy."""
    running.wait_until_healthy()
    return running
