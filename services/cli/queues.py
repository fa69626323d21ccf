"""Declares every consumer's queues on RabbitMQ, before any relay publishes.

What is published while a consumer has no queue yet would never reach it. Run to its end by
`loyalty up`, and on Kubernetes before each worker; declaring again what is there does nothing.
"""

import sys
import time
from typing import Any

from services.cli.embedded_bus import REACTIONS
from services.plumbing import rabbitmq, telemetry
from services.plumbing.config import LogSettings, read
from services.plumbing.reactions import sources
from services.plumbing.worker_settings import AmqpSettings

# A broker that is started along with us needs a while.
WAIT_SECONDS_MAX = 30.0
RETRY_SECONDS = 1.0


def connect(url: str) -> Any:
    """Refuses: OSError when the broker does not answer for too long."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        try:
            return rabbitmq.connect(url)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)


def main() -> None:
    telemetry.start_logging(read(LogSettings).level)
    url = read(AmqpSettings).url
    try:
        connection = connect(url)
    except OSError as error:
        # Without what stands before it, which is a password.
        sys.exit(f"RabbitMQ does not answer at {url.rpartition('@')[2]}: {type(error).__name__}")
    with connection:
        for consumer, reactions in REACTIONS.items():
            rabbitmq.declare_queues(connection.default_channel, consumer, sources(reactions))


if __name__ == "__main__":
    main()
