"""Calls to the catalogue and the vouchers as their usual callers make them; no ledger is needed."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.rewards.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    vouchers_pb2,
    vouchers_pb2_grpc,
)
from sqlalchemy import Connection

from services.plumbing import outbox
from services.plumbing.database import engine, transaction
from services.plumbing.timestamps import timestamp
from services.rewards.rpc.definitions import read_definition
from services.rewards.storage import pools, vouchers
from services.rewards.storage.vouchers import Issue
from tests.service.rewards_desk import definition
from tests.service.servers import Running
from tests.service.tokens import Metadata, Tokens

SCOPES = (
    *("rewards.read", "rewards.write", "rewards.publish", "rewards.stock"),
    *("vouchers.read", "vouchers.write", "vouchers.redeem"),
)
EVENTS_MAX = 10_000
# Where no ledger answers.
NOWHERE = "127.0.0.1:1"
MEMBER = "members/00000000-0000-4000-8000-000000000001"
ANOTHER = "members/00000000-0000-4000-8000-000000000002"
COFFEE = "rewards/coffee"


def moment(text: str) -> Timestamp:
    return timestamp(datetime.fromisoformat(text).astimezone(UTC))


def new_id() -> str:
    return str(uuid.uuid4())


class Rewards:
    """A caller who may do everything, unless other metadata is given."""

    def __init__(self, running: Running, tokens: Tokens, database_url: str) -> None:
        self.catalogue = catalogue_pb2_grpc.CatalogueServiceStub(running.channel)
        self.vouchers = vouchers_pb2_grpc.VoucherServiceStub(running.channel)
        self.address = running.address
        self.database_url = database_url
        self.tokens = tokens
        self.everything = tokens.bearer(*SCOPES)

    async def create(
        self, name: str = COFFEE, *, request_id: str = "", stock: Any = None, **fields: Any
    ) -> catalogue_pb2.Reward:
        request = catalogue_pb2.CreateRewardRequest(
            request_id=request_id or new_id(),
            name=name,
            definition=definition(**fields),
            stock=stock,
        )
        return (await self.catalogue.CreateReward(request, metadata=self.everything)).reward

    async def update(
        self, name: str = COFFEE, *, etag: str = "", **fields: Any
    ) -> catalogue_pb2.Reward:
        request = catalogue_pb2.UpdateRewardRequest(
            name=name, definition=definition(**fields), etag=etag
        )
        return (await self.catalogue.UpdateReward(request, metadata=self.everything)).reward

    async def publish(self, name: str = COFFEE, **fields: Any) -> catalogue_pb2.Reward:
        request = catalogue_pb2.PublishRewardRequest(name=name, **fields)
        return (await self.catalogue.PublishReward(request, metadata=self.everything)).reward

    async def offer(self, name: str = COFFEE, **fields: Any) -> catalogue_pb2.Reward:
        """A reward that was published just now."""
        await self.create(name, **fields)
        return await self.publish(name)

    async def end(self, name: str = COFFEE, etag: str = "") -> catalogue_pb2.Reward:
        request = catalogue_pb2.EndRewardRequest(name=name, etag=etag)
        return (await self.catalogue.EndReward(request, metadata=self.everything)).reward

    async def get(self, name: str = COFFEE) -> catalogue_pb2.Reward:
        request = catalogue_pb2.GetRewardRequest(name=name)
        return (await self.catalogue.GetReward(request, metadata=self.everything)).reward

    async def set_stock(self, name: str = COFFEE, **fields: Any) -> catalogue_pb2.Reward:
        request = catalogue_pb2.SetStockRequest(name=name, stock=catalogue_pb2.Stock(**fields))
        return (await self.catalogue.SetStock(request, metadata=self.everything)).reward

    async def page(
        self, metadata: Metadata | None = None, **fields: Any
    ) -> catalogue_pb2.ListRewardsResponse:
        request = catalogue_pb2.ListRewardsRequest(**fields)
        return await self.catalogue.ListRewards(request, metadata=metadata or self.everything)

    async def shown(self, **fields: Any) -> list[catalogue_pb2.OfferedReward]:
        return list((await self.page(**fields)).rewards)

    async def names(self, **fields: Any) -> list[str]:
        """What somebody is offered, without what all names have in common."""
        found = await self.shown(**fields)
        return [offered.reward.removeprefix("rewards/") for offered in found]

    async def segment(
        self, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
    ) -> int:
        request = catalogue_pb2.SetSegmentRequest(
            segment=f"segments/{name}", added_members=added, removed_members=removed
        )
        return (await self.catalogue.SetSegment(request, metadata=self.everything)).members

    async def upload(
        self, *codes: str, pool: str = "codePools/cinema", **fields: Any
    ) -> vouchers_pb2.UploadCodesResponse:
        usual = {"pool": pool, "upload_id": new_id(), "first_line": 1, "codes": codes}
        request = vouchers_pb2.UploadCodesRequest(**{**usual, **fields})
        return await self.vouchers.UploadCodes(request, metadata=self.everything)

    async def codes_left(self, pool: str = "codePools/cinema") -> tuple[int, int]:
        """How many codes a pool has, and how many of them are free."""
        request = vouchers_pb2.GetCodePoolRequest(name=pool)
        found = (await self.vouchers.GetCodePool(request, metadata=self.everything)).pool
        return found.codes, found.codes_left

    async def voucher(self, name: str) -> vouchers_pb2.Voucher:
        request = vouchers_pb2.GetVoucherRequest(name=name)
        return (await self.vouchers.GetVoucher(request, metadata=self.everything)).voucher

    async def issued(
        self, member: str = MEMBER, *, of: str = COFFEE, count: int = 1
    ) -> list[vouchers_pb2.Voucher]:
        """Vouchers of a reward, as redemptions would have issued them, one after another."""
        described = read_definition((await self.get(of)).latest_version.definition).voucher
        assert described is not None
        names = []
        for _ in range(count):
            wanted = Issue(
                redemption_id=uuid.uuid4(),
                member_id=uuid.UUID(member.removeprefix("members/")),
                reward_id=of.removeprefix("rewards/"),
                version=1,
                voucher=described,
            )
            with self.connection() as connection:
                if described.pool:
                    pools.take_codes(connection, [(wanted.redemption_id, described.pool)])
                made = vouchers.issue(connection, [wanted], datetime.now(UTC))
            names.append(f"{member}/vouchers/{made[wanted.redemption_id].id}")
        return [await self.voucher(name) for name in names]

    def use_request(
        self, voucher: vouchers_pb2.Voucher, **fields: Any
    ) -> vouchers_pb2.RedeemVoucherRequest:
        usual = {
            "request_id": new_id(),
            "code": voucher.code,
            "store": "31",
            "terminal": "4",
            "receipt_number": "R-1",
        }
        return vouchers_pb2.RedeemVoucherRequest(**{**usual, **fields})

    async def use(
        self, voucher: vouchers_pb2.Voucher, **fields: Any
    ) -> vouchers_pb2.RedeemVoucherResponse:
        request = self.use_request(voucher, **fields)
        return await self.vouchers.RedeemVoucher(request, metadata=self.everything)

    async def revoke(self, voucher: vouchers_pb2.Voucher) -> vouchers_pb2.Voucher:
        request = vouchers_pb2.RevokeVoucherRequest(name=voucher.name, reason="reported stolen")
        return (await self.vouchers.RevokeVoucher(request, metadata=self.everything)).voucher

    def events(self) -> list[outbox.Event]:
        """What was announced, in its order."""
        with self.connection() as connection:
            stored = outbox.read(connection, "public", 0, limit=EVENTS_MAX)
        return [each.event for each in stored]

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A transaction in the service's own database."""
        source = engine(self.database_url, pool_size=1)
        try:
            with transaction(source) as connection:
                yield connection
        finally:
            source.dispose()
