"""What lies on RabbitMQ: an exchange for each source, a queue for each consumer of a source.

One queue, and one active consumer at a time, so that events arrive in the order they were
announced; quorum queues, so that no node's end loses any. A message that ended its consumer again
and again goes to the consumer's queue of rejected ones, and from there is parked.
"""

from collections.abc import Iterable
from typing import Any

from kombu.connection import Connection

CONNECT_SECONDS = 2.0
# The broker stops reading when it is short of memory or disk.
WRITE_SECONDS = 2
HEARTBEAT_SECONDS = 10
# Of one message; the end of a consumer returns all it was handed, so that even innocent ones are
# delivered some times more.
DELIVERIES_MAX = 50

EVERY_TYPE = "#"
STREAM_HEADER = "stream"
POSITION_HEADER = "position"
ORIGIN_HEADER = "origin"


def connect(url: str) -> Any:
    """A kombu.Connection that is open.

    Refuses: OSError and what amqp raises.
    """
    # kombu has types for a half of it.
    kind: Any = Connection
    connection = kind(
        url,
        connect_timeout=CONNECT_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        transport_options={"write_timeout": WRITE_SECONDS},
    )
    connection.ensure_connection(
        # Whoever asks tries again, and has other things to do in between.
        max_retries=1,
        interval_start=0,
        interval_step=0,
        interval_max=0,
        reraise_as_library_errors=False,
    )
    return connection


def exchange_name(source: str) -> str:
    return f"{source}.events"


def queue_name(consumer: str, source: str) -> str:
    return f"{consumer}.{source}"


def rejected_queue_name(consumer: str) -> str:
    return f"{consumer}.rejected"


def declare_exchange(channel: Any, source: str) -> None:
    channel.exchange_declare(exchange_name(source), "topic", durable=True, auto_delete=False)


def declare_queues(channel: Any, consumer: str, sources: Iterable[str]) -> None:
    """A consumer's queues, one for all that a source announces.

    Also what it does not react to: so its position in a stream tells how far it is behind.
    """
    quorum: dict[str, Any] = {"x-queue-type": "quorum", "x-single-active-consumer": True}
    rejected = rejected_queue_name(consumer)
    _declare(channel, rejected, quorum)
    for source in sources:
        declare_exchange(channel, source)
        queue = queue_name(consumer, source)
        arguments = quorum | {
            "x-delivery-limit": DELIVERIES_MAX,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": rejected,
            # Not lost on the way there either; it asks for this overflow, which never comes.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        _declare(channel, queue, arguments)
        channel.queue_bind(queue, exchange_name(source), routing_key=EVERY_TYPE)


def _declare(channel: Any, queue: str, arguments: dict[str, Any]) -> None:
    channel.queue_declare(
        queue, durable=True, exclusive=False, auto_delete=False, arguments=arguments
    )
