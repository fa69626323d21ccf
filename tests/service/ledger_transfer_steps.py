"""Transfers of points, step by step: without a server, so that nothing goes on by itself."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from services.ledger import events
from services.ledger.committing import ThreadCommitter
from services.ledger.domain.circumstances import Limits
from services.ledger.domain.documents import AdjustPoints
from services.ledger.domain.lots import Lot
from services.ledger.domain.point_life import Expiry, PointLife
from services.ledger.domain.policy import Clawback, PointKind
from services.ledger.domain.refusals import InsufficientPoints
from services.ledger.domain.transfer_rules import TransferRules
from services.ledger.domain.transferring import AskedTransfer
from services.ledger.shards import Shards
from services.ledger.storage import directory, lots
from services.ledger.storage.shards import schema, shard_of
from services.ledger.transferring import Transferring, TransfersUnderWay
from services.ledger.usecases import attach
from services.ledger.usecases.transfers import Transfers
from services.plumbing.database import engine, transaction
from services.plumbing.errors import Refused
from tests.service.ledger_history import DAY, NOON, SHARDS, Tills, policy
from tests.service.ledger_members import told

# The second wallet of member 1; the first is in the other shard.
SECOND = 6
MEMBERS = tuple(str(uuid.UUID(int=number)) for number in range(1, 5))
LIFE = PointLife(expiry=Expiry.DAYS, expiry_count=3_000)
RULES = TransferRules(points_sent_max=100)


class Died(Exception):  # noqa: N818 — what becomes of a server
    """Nothing of the server is left but what it wrote."""


class Stepping:
    """Members 1 to 4 with wallets 1 to 4, and what moves points between them. Member 1 has another
    wallet.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # By the ledger's clock; it stands still.
        self.now = NOON + 60 * DAY
        limits = Limits(past=10_000 * DAY, future=DAY)
        committers = [ThreadCommitter(url, number, limits) for number in range(SHARDS)]
        self.shards = Shards(committers, batch_max=100, queue_max=1_000)
        self.database = engine(url, pool_size=8)
        self.transfers = Transfers(self.database, lambda: self.now)
        self.transferring = Transferring(self.shards, self.transfers)
        self.under_way = TransfersUnderWay(
            self.transferring, self.transfers, every_seconds=1_000_000
        )

    def begin(self) -> None:
        with told(self.url) as ledger:
            for number, member in enumerate(MEMBERS, 1):
                ledger.enrolled(f"members/{member}")
                assert number == attach.first_wallet(
                    self.database,
                    member,
                    now=datetime.now(UTC),
                    announce=events.wallet_attached,
                )
        with transaction(self.database) as connection:
            wallets = [directory.next_wallet(connection) for _ in range(2)]
            assert wallets[1] == SECOND
            directory.own(connection, SECOND, MEMBERS[0])
        draft = policy(NOON - DAY, Clawback.WITHIN_BALANCE, LIFE)
        Tills(self.database).publish(msgspec.structs.replace(draft, transfers=RULES))

    async def give(self, wallet_id: int, points: int) -> None:
        """A lot a day older than now, and than those given later."""
        time = self.now - 30 * DAY
        self.now += DAY
        ids = a_uuid(), a_uuid()
        command = AdjustPoints(wallet_id, *ids, PointKind.REDEEMABLE, points, "gift", "x", time)
        await self.shards.post_one(command)

    async def die(self, asked: AskedTransfer, *, after: int) -> None:
        """Take so many steps of a transfer after it was agreed, then die; or come to its end."""
        left = after

        def stepping_on(step: Callable[..., Any]) -> Callable[..., Any]:
            def taken(*arguments: Any) -> Any:
                nonlocal left
                if not left:
                    raise Died
                left -= 1
                return step(*arguments)

            return taken

        with pytest.MonkeyPatch.context() as patching:
            for owner, name in (
                (self.shards, "post_one"),
                (Transfers, "note_done"),
                (Transfers, "note_refusal"),
            ):
                patching.setattr(owner, name, stepping_on(getattr(owner, name)))
            with suppress(Died, Refused):
                await self.transferring.transfer(asked)

    def lots(self, wallet_id: int) -> list[Lot]:
        """Lots that hold points, the oldest first."""
        where = schema(shard_of(wallet_id, SHARDS))
        with transaction(self.database) as connection:
            found = lots.wallets_with_lots(connection, where, [wallet_id]).get(wallet_id)
        return sorted(found.lots.values(), key=lambda lot: lot.earn_time) if found else []

    def points(self, *wallet_ids: int) -> list[int]:
        return [sum(lot.remaining for lot in self.lots(wallet_id)) for wallet_id in wallet_ids]


def a_uuid() -> str:
    return str(uuid.uuid4())


def asking(source: int, target: int, points: int, *others: int) -> AskedTransfer:
    """From the wallet of the same member, and other wallets of that member."""
    sender, receiver = MEMBERS[source - 1], MEMBERS[target - 1]
    wallets = source, *others
    return AskedTransfer(
        a_uuid(), a_uuid(), wallets, sender, target, receiver, points, "for you", "app"
    )


@asynccontextmanager
async def stepping(url: str) -> AsyncIterator[Stepping]:
    """On a ledger in which nothing has happened yet."""
    steps = Stepping(url)
    try:
        steps.begin()
        yield steps
    finally:
        await steps.under_way.close()
        await steps.shards.close()
        steps.database.dispose()


async def make_transfers(url: str) -> None:
    """Transfer 1 arrived at wallet 2, transfer 2 is on its way to wallet 3, transfer 3 was
    refused.
    """
    async with stepping(url) as ledger:
        await ledger.give(1, 30)
        await ledger.give(1, 40)
        await ledger.transferring.transfer(asking(1, 2, 40))
        await ledger.die(asking(1, 3, 10), after=1)
        with pytest.raises(InsufficientPoints):
            await ledger.transferring.transfer(asking(2, 3, 50))
