"""Numbers of documents: none is used twice, whatever becomes of the batch that drew them."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from sqlalchemy import Engine

from services.ledger import events
from services.ledger.domain.circumstances import Limits
from services.ledger.domain.documents import AdjustPoints, Document
from services.ledger.domain.policy import PointKind
from services.ledger.storage.posting import DOCUMENT_ID_BLOCK
from services.ledger.usecases.shard import Shard, open_shard
from services.plumbing.database import engine, transaction
from services.plumbing.outbox import Event
from tests.service.databases import Databases
from tests.service.ledger_posting import answers
from tests.service.ledger_shop import common_database

NOW = 1_767_225_600_000_000
WALLET = 10**12


class Announcer:
    """Announces batches, except the next one when told to fail."""

    def __init__(self) -> None:
        self.fails = False

    def __call__(self, shard: int, documents: Sequence[Document], time: int) -> Event:
        if self.fails:
            self.fails = False
            raise RuntimeError("the batch comes to nothing")
        return events.entries_posted(shard, documents, time)


@pytest.fixture
def database(databases: Databases) -> Iterator[Engine]:
    opened = engine(common_database(databases), pool_size=2)
    yield opened
    opened.dispose()


def a_shard(database: Engine, announcer: Announcer) -> "closing[Shard]":
    limits = Limits(past=NOW, future=0)
    return closing(
        open_shard(database.url, 0, limits=limits, announce=announcer, clock=lambda: NOW)
    )


def gift() -> AdjustPoints:
    kind, time = PointKind.REDEEMABLE, NOW - 1
    return AdjustPoints(
        WALLET, str(uuid.uuid4()), str(uuid.uuid4()), kind, 1, "a gift", "care", time
    )


def posted_id(shard: Shard, command: AdjustPoints) -> int:
    [answer] = answers(shard, [command])
    assert isinstance(answer, Document)
    return answer.document_id


def test_documents_are_numbered_from_a_block_of_the_shards_own(database: Engine) -> None:
    with a_shard(database, Announcer()) as first, a_shard(database, Announcer()) as second:
        ids = [posted_id(shard, gift()) for shard in (first, second, first, second)]
    assert ids[2:] == [ids[0] + 1, ids[1] + 1]
    assert ids[1] - ids[0] == DOCUMENT_ID_BLOCK


def test_a_block_drawn_by_a_batch_that_came_to_nothing_is_given_up(database: Engine) -> None:
    """After a crash the database may hand the very same block to another server."""
    announcer = Announcer()
    command = gift()
    with a_shard(database, announcer) as shard:
        announcer.fails = True
        with pytest.raises(RuntimeError, match="comes to nothing"):
            answers(shard, [command])
        with transaction(database) as connection:
            drawn = connection.exec_driver_sql(
                "SELECT last_value FROM ledger_00.document_ids"
            ).scalar_one()
            found = connection.exec_driver_sql(
                "SELECT count(*) FROM ledger_00.journal WHERE request_id = %s",
                (command.request_id,),
            ).scalar_one()
        assert found == 0
        assert posted_id(shard, command) == drawn + DOCUMENT_ID_BLOCK
