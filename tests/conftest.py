"""What tests of several kinds share."""

from collections.abc import Iterator

import pytest

from tests.rabbitmq import Broker, running_broker


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One RabbitMQ for the whole run; a test that stops or kills one starts its own."""
    with running_broker(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker
