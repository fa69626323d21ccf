"""The way of commands to the committers of their shards."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from services.ledger.committing import Answers
from services.ledger.domain.basket import Sale
from services.ledger.domain.documents import CardState, Command, RecordSale
from services.ledger.domain.refusals import CardBlocked
from services.ledger.shards import Shards
from services.ledger.storage.shards import shard_of

SHARDS = 2
DEADLINE_SECONDS = 10.0
SALE = Sale("31", "2", "R-1", 1_700_000_000_000_000, "EUR", "[]")


class Refusing:
    """Refuses all that it is to commit as soon as it may, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, bool]] = []
        self.entered = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def start(self) -> None:
        pass

    async def commit(self, commands: Sequence[Command], *, is_alone: bool) -> Answers:
        self.told.append((len(commands), is_alone))
        self.entered.set()
        await self.may_go_on.wait()
        return [CardBlocked("the card is blocked")] * len(commands)

    async def close(self) -> None:
        pass


def wallet_of(shard: int) -> int:
    return next(wallet for wallet in range(1, 1_000) if shard_of(wallet, SHARDS) == shard)


def sale(shard: int) -> RecordSale:
    return RecordSale(wallet_of(shard), "r", "b", SALE, CardState.ACTIVE.value, unknown_card=False)


@pytest.fixture
async def committers() -> Sequence[Refusing]:
    return [Refusing() for _ in range(SHARDS)]


@pytest.fixture
async def shards(committers: Sequence[Refusing]) -> AsyncIterator[Shards]:
    made = Shards(committers, batch_max=100, queue_max=100)
    yield made
    await made.close()


async def test_a_committer_is_told_of_who_is_alone(
    shards: Shards, committers: Sequence[Refusing]
) -> None:
    for _ in range(2):
        with pytest.raises(CardBlocked):
            await shards.record(sale(0))
    assert committers[0].told == [(1, True)] * 2


async def test_who_comes_while_another_shard_is_busy_is_not_alone(
    shards: Shards, committers: Sequence[Refusing]
) -> None:
    committers[0].may_go_on.clear()
    first = asyncio.create_task(shards.record_all([sale(0)]))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await committers[0].entered.wait()
    with pytest.raises(CardBlocked):
        await shards.record(sale(1))
    committers[0].may_go_on.set()
    await first
    assert (committers[0].told, committers[1].told) == ([(1, True)], [(1, False)])


async def test_who_comes_with_others_is_not_alone(
    shards: Shards, committers: Sequence[Refusing]
) -> None:
    await shards.record_all([sale(0), sale(0)])
    assert committers[0].told == [(2, False)]
