"""Shared holds step by step, without a server: nothing goes on by itself, and any step can be the
last one.
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from services.cli.audit import run_audit
from services.ledger.committing import ThreadCommitter, now_micros
from services.ledger.domain.documents import AdjustPoints, Command, Document, HoldPoints
from services.ledger.domain.policy import PointKind
from services.ledger.domain.shared_holds import AskedHold, Move, MoveKind
from services.ledger.settings import LedgerSettings
from services.ledger.shards import Shards
from services.ledger.sharing import SharedHoldsLeftAlone, Sharing
from services.ledger.storage import accounts, audit_together, directory, households
from services.ledger.storage.households import Share
from services.ledger.storage.shards import schema, shard_of
from services.ledger.usecases.shared_holds import SharedHolds
from services.plumbing.database import engine, transaction
from tests.service.ledger_history import SHARDS, Problems, problems_of

LIFE = 900 * 1_000_000


class Died(Exception):  # noqa: N818 — what becomes of a server
    """The server ended right here."""


class Mortal:
    """Counts the moments between which a server can die, and dies at one of them."""

    def __init__(self, at: int = 0) -> None:
        self.count = 0
        self._at = at

    def moment(self) -> None:
        self.count += 1
        if self.count == self._at:
            raise Died


class MortalShards:
    """Wallets, asked one after the other by a server that may die before and after each."""

    def __init__(self, shards: Shards, mortal: Mortal) -> None:
        self._shards = shards
        self._mortal = mortal

    async def post_all(self, commands: Sequence[Command]) -> list[Document | Exception]:
        answers: list[Document | Exception] = []
        for command in commands:
            self._mortal.moment()
            answers += await self._shards.post_all([command])
            self._mortal.moment()
        return answers


class MortalHolds:
    """The transactions of shared holds, by a server that may die after each that changes one."""

    def __init__(self, holds: SharedHolds, mortal: Mortal) -> None:
        self._holds = holds
        self._mortal = mortal

    def __getattr__(self, name: str) -> Any:
        done = getattr(self._holds, name)

        def do(*arguments: Any) -> Any:
            answer = done(*arguments)
            if name in ("prepare", "begin", "settle"):
                self._mortal.moment()
            return answer

        return do


@dataclass
class Family:
    """Members with a wallet each, in one household; the first one spends, the others lend."""

    members: list[str]
    wallets: list[int]


class Steps:
    def __init__(self, url: str) -> None:
        self.url = url
        self.database = engine(url, pool_size=8)
        settings = LedgerSettings(database_url=url, grpc_address=":0", metrics_port=0)
        committers = [ThreadCommitter(url, n, settings.limits) for n in range(SHARDS)]
        self.shards = Shards(committers, batch_max=100, queue_max=1_000)
        # By the ledger's clock, and so much later.
        self.later = 0
        self.holds = SharedHolds(self.database, lambda: now_micros() + self.later)
        self.sharing = Sharing(self.shards, self.holds)
        self._left_alone = SharedHoldsLeftAlone(self.sharing, self.holds, every_seconds=1_000_000)

    async def close(self) -> None:
        await self._left_alone.close()
        await self.shards.close()
        self.database.dispose()

    def mortal(self, at: int) -> tuple[Sharing, Mortal]:
        """A server that dies at a moment; at none, if it is zero."""
        mortal = Mortal(at)
        shards = cast("Shards", MortalShards(self.shards, mortal))
        return Sharing(shards, cast("SharedHolds", MortalHolds(self.holds, mortal))), mortal

    async def sweep(self) -> None:
        """What a server does every few seconds, as often as there is something to do."""
        while await self._left_alone.advance(older_than=0):
            pass

    async def family(self, *points: int) -> Family:
        """Each lends up to fifty points."""
        members = [str(uuid.uuid4()) for _ in points]
        now = datetime.now(UTC)
        with transaction(self.database) as connection:
            wallets = [directory.next_wallet(connection) for _ in points]
            for member, wallet in zip(members, wallets, strict=True):
                directory.own(connection, wallet, member)
            shares = [Share(member, 50, now) for member in sorted(members)]
            households.put(connection, str(uuid.uuid4()), revision=1, shares=shares, time=now)
        await self.shards.post_all([gift(*each) for each in zip(wallets, points, strict=True)])
        return Family(members, wallets)

    async def earn(self, wallet: int, points: int) -> None:
        await self.shards.post_one(gift(wallet, points))

    async def spend(self, wallet: int, points: int) -> None:
        """Points of a wallet that somebody else holds."""
        ids = a_uuid(), a_uuid()
        await self.shards.post_one(
            HoldPoints(wallet, *ids, points, "a rival", LIFE, "x", now_micros())
        )

    def points(self, family: Family) -> list[tuple[int, int]]:
        """What each has available, and held."""
        found = []
        with transaction(self.database) as connection:
            for wallet in family.wallets:
                where = schema(shard_of(wallet, SHARDS))
                balance = accounts.balances(connection, where, [wallet])[wallet]
                found.append((balance.available, balance.held))
        return found

    def half_done(self) -> Problems:
        """What an audit of shared holds finds, whatever is under way."""
        with transaction(self.database) as connection:
            found = audit_together.compare_directory(connection)
            for shard in range(SHARDS):
                found.append(audit_together.compare_parts(connection, shard, SHARDS))
        return problems_of(found)

    def problems(self) -> Problems:
        return problems_of(run_audit(self.url).checks)


def gift(wallet: int, points: int) -> AdjustPoints:
    ids = a_uuid(), a_uuid()
    return AdjustPoints(wallet, *ids, PointKind.REDEEMABLE, points, "gift", "x", now_micros())


def a_uuid() -> str:
    return str(uuid.uuid4())


def asking(member: str, points: int, request_id: str) -> AskedHold:
    body = str(uuid.UUID(int=points))
    return AskedHold(request_id, body, member, points, "tea", LIFE, False, "app", now_micros())


def moving(kind: MoveKind, hold: str, points: int, request_id: str) -> Move:
    body = str(uuid.UUID(int=1_000 * kind + points))
    time = now_micros()
    return Move(request_id, body, hold, kind, points, "none left", "app", time, time)


@asynccontextmanager
async def stepping(url: str) -> AsyncIterator[Steps]:
    steps = Steps(url)
    try:
        yield steps
    finally:
        await steps.close()
