"""What a reaction gets: the event it was declared for, and its service's database.

Reactions are methods of a nameko service, declared with nameko's `@event_handler(source, type)`.
Two runtimes deliver to them: nameko on RabbitMQ, and the embedded bus. The one argument is a
serialized `plumbing.v1.Envelope` in both.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from google.protobuf.message import Message
from nameko.events import EventHandler
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR, DependencyProvider
from plumbing.v1 import envelope_pb2
from sqlalchemy import Connection, Engine

from services.plumbing import inbox
from services.plumbing.database import engine
from services.plumbing.delivery import CONCERNS

Payload = TypeVar("Payload", bound=Message)
Method = TypeVar("Method", bound=Callable[..., object])


class Database(DependencyProvider):  # type: ignore[misc]
    """The engine of the service's own database; nameko's configuration names its URL."""

    def setup(self) -> None:
        self._engine = engine(self.container.config["DATABASE_URL"], pool_size=4)

    def stop(self) -> None:
        self._engine.dispose()

    def get_dependency(self, worker_ctx: Any) -> Engine:  # noqa: ARG002
        return self._engine


def sources(reactions: type) -> set[str]:
    """Whose events a nameko service reacts to."""
    return {
        str(entrypoint.source_service)
        for _, method in inspect.getmembers(reactions, inspect.isfunction)
        for entrypoint in getattr(method, ENTRYPOINT_EXTENSIONS_ATTR, ())
        if isinstance(entrypoint, EventHandler)
    }


def concerned_by(found: Callable[[bytes], bool]) -> Callable[[Method], Method]:
    """Declares which events, by their data, a reaction has anything to do about: of the others no
    note is kept, for applied again they would do nothing again. What cannot be read is of concern.
    """

    def declare(reaction: Method) -> Method:
        setattr(reaction, CONCERNS, found)
        return reaction

    return declare


@contextmanager
def apply(
    database: Engine, consumer: str, envelope: bytes, kind: type[Payload], *, gathers: bool = False
) -> Iterator[tuple[Connection, Payload] | None]:
    """The transaction and the event to apply in it; None when it was applied before.

    A reaction that gathers does nothing itself: it hands all it has to `inbox.gather`.
    Refuses: google.protobuf.message.DecodeError when the event cannot be read, ValueError when it
    is of another type.
    """
    received = envelope_pb2.Envelope.FromString(envelope)
    expected = kind.DESCRIPTOR.full_name
    if received.type != expected:
        raise ValueError(f"expected {expected}, got {received.type}")
    event = kind.FromString(received.data)
    with inbox.applied_once(
        database,
        consumer=consumer,
        source=received.source,
        event_id=received.id,
        gathers=gathers,
    ) as connection:
        yield (connection, event) if connection is not None else None
