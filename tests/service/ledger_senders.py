"""Members who send each other points, at a ledger whose policy lets them."""

import functools
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import Message
from loyalty.ledger.v1 import (
    earn_policy_pb2,
    ledger_pb2,
    liability_pb2,
    liability_pb2_grpc,
    transfers_pb2,
    transfers_pb2_grpc,
)
from sqlalchemy import Connection

from services.plumbing.database import engine, transaction
from tests.service.databases import Databases
from tests.service.ledger_members import told, wallet_name
from tests.service.ledger_shop import (
    BOTH,
    EVERYTHING,
    Shop,
    earn_policy,
    new_id,
    publish,
    rule,
)
from tests.service.servers import Running
from tests.service.tokens import Metadata, Tokens

RULES = earn_policy_pb2.TransferRules(
    points_min=2,
    points_max=100,
    points_sent_max=150,
    points_received_max=400,
    transfers_per_day_max=100,
)
LIFE = earn_policy_pb2.PointLife(expiry=earn_policy_pb2.PointLife.EXPIRY_DAYS, expiry_count=100)


@functools.cache
def senders_database(databases: Databases) -> str:
    """A ledger whose members may send points that live for a hundred days, for every test that
    minds its own members.
    """
    url = databases.create("ledger")
    publish(url, earn_policy(rule("base", kinds=BOTH), life=LIFE, transfers=RULES))
    return url


class Senders(Shop):
    """A shop whose members send each other points."""

    def __init__(self, running: Running, tokens: Tokens, database_url: str) -> None:
        super().__init__(running, tokens, database_url)
        self.transfers = transfers_pb2_grpc.TransferServiceStub(running.channel)
        self.figures = liability_pb2_grpc.LiabilityServiceStub(running.channel)
        self.everything = tokens.bearer(*EVERYTHING, "points.transfer")

    async def member(self, *points: int) -> str:
        """A member with a lot of each."""
        member = f"members/{uuid.uuid4()}"
        with told(self.database_url) as ledger:
            ledger.enrolled(member)
        for each in points:
            await self.adjust(wallet_name(member), each)
        return member

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """A transaction in which the ledger is told of members."""
        source = engine(self.database_url, pool_size=1)
        try:
            with transaction(source) as connection:
                yield connection
        finally:
            source.dispose()

    async def send(
        self,
        source: str,
        target: str,
        points: int,
        metadata: Metadata | None = None,
        **fields: Any,
    ) -> transfers_pb2.TransferPointsResponse:
        """Between members, or between wallets by their names."""
        request = transfers_pb2.TransferPointsRequest(
            **{"request_id": new_id(), **fields},
            from_wallet=wallet_name(source) if source.startswith("members/") else source,
            to_wallet=wallet_name(target) if target.startswith("members/") else target,
            points=points,
        )
        return await self.transfers.TransferPoints(request, metadata=metadata or self.everything)

    async def get(self, name: str, metadata: Metadata | None = None) -> transfers_pb2.Transfer:
        request = transfers_pb2.GetTransferRequest(name=name)
        answer = await self.transfers.GetTransfer(request, metadata=metadata or self.everything)
        return answer.transfer

    async def sent_by(
        self, member: str, metadata: Metadata | None = None, **fields: Any
    ) -> transfers_pb2.ListTransfersResponse:
        request = transfers_pb2.ListTransfersRequest(parent=wallet_name(member), **fields)
        return await self.transfers.ListTransfers(request, metadata=metadata or self.everything)

    async def available(self, *members: str) -> list[int]:
        return [(await self.wallet(wallet_name(member))).available for member in members]

    async def lots_of(self, member: str) -> list[tuple[int, Message, Message]]:
        """Points, when they were earned, when they expire: lot by lot."""
        found = (await self.lots(wallet_name(member))).lots
        return [(lot.remaining_points, lot.earn_time, lot.expire_time) for lot in found]

    async def under_way(self) -> int:
        """What the programme's account of transfers holds."""
        request = ledger_pb2.GetProgrammeAccountsRequest()
        found = await self.care.GetProgrammeAccounts(request, metadata=self.everything)
        return -sum(each.issued for each in found.accounts if each.account == "transfer")

    async def liability(self) -> liability_pb2.Liability:
        """Of today."""
        today = time.strftime("%Y-%m-%d", time.gmtime())
        request = liability_pb2.GetLiabilityRequest(as_of_day=today, point_value_minor="1")
        return (await self.figures.GetLiability(request, metadata=self.everything)).liability
