"""What one committer keeps between batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import URL

from services.ledger.domain.circumstances import NO_TIERS, Limits, Rules
from services.ledger.domain.documents import Document
from services.ledger.domain.standing import TierBook
from services.ledger.storage.shards import schema as schema_of
from services.plumbing import doorbell, outbox
from services.plumbing.batch_session import BatchSession

# What a batch's documents announce; made by the caller, who knows the contract.
Announce = Callable[[int, Sequence[Document], int], outbox.Event]


@dataclass(slots=True)
class Shard:
    """What one committer keeps between batches: its session, its rules and a block of ids. Used by
    one thread.
    """

    session: BatchSession
    number: int
    limits: Limits
    announce: Announce
    clock: Callable[[], int]
    rules: Rules
    ids: Iterator[int]
    tiers: TierBook = NO_TIERS
    # Whether an event was committed that the bus was not told of.
    unheard: bool = False

    @property
    def schema(self) -> str:
        return schema_of(self.number)

    def close(self) -> None:
        self.session.close()


def open_shard(
    url: str | URL, number: int, *, limits: Limits, announce: Announce, clock: Callable[[], int]
) -> Shard:
    """url is the ledger's database; clock answers microseconds since 1970-01-01 UTC."""
    return Shard(BatchSession(url), number, limits, announce, clock, Rules([]), iter(()))


def ring(shard: Shard) -> None:
    """Tell the bus what was announced since it was last told: after whoever waits was answered."""
    if shard.unheard:
        shard.unheard = False
        doorbell.ring(shard.session.database)
