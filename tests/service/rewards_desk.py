"""Members who redeem rewards, with the ledger that has their points."""

import asyncio
import functools
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loyalty.ledger.v1 import points_pb2, points_pb2_grpc
from loyalty.rewards.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    redemption_pb2,
    redemption_pb2_grpc,
    vouchers_pb2,
    vouchers_pb2_grpc,
)

from services.plumbing import outbox
from services.plumbing.database import engine, transaction
from tests.service.databases import Databases
from tests.service.ledger_members import new_member, told, wallet_name
from tests.service.ledger_shop import Shop, new_id
from tests.service.servers import Running
from tests.service.tokens import Metadata, Tokens

EVERYTHING = (
    *("rewards.read", "rewards.write", "rewards.publish", "rewards.stock", "rewards.redeem"),
    *("redemptions.read", "vouchers.read", "vouchers.write", "vouchers.redeem"),
)
LEDGER_SCOPES = ("points.hold", "wallets.read")
EVENTS_MAX = 10_000
PRICE = 100
CREDITED_AT_ONCE = 32


@functools.cache
def common_database(databases: Databases) -> str:
    """A rewards database for every test that minds its own rewards and members."""
    return databases.create("rewards")


def settings(
    database_url: str, directory: Path, tokens: Tokens, ledger_address: str
) -> dict[str, Any]:
    """What a rewards server needs."""
    token_file = directory / "ledger-token"
    token_file.write_text(tokens.mint(*LEDGER_SCOPES, subject="services/rewards"))
    return {
        "database_url": database_url,
        "signing_keys_file": directory / "voucher-keys.json",
        "ledger_address": ledger_address,
        "ledger_token_file": token_file,
    }


def definition(**fields: Any) -> catalogue_pb2.RewardDefinition:
    """A coffee for a hundred points, with a voucher whose code is made, unless fields differ."""
    usual: dict[str, Any] = {
        "kind": catalogue_pb2.REWARD_KIND_VOUCHER,
        "texts": {"en": catalogue_pb2.RewardTexts(title="A coffee")},
        "default_language": "en",
        "points": PRICE,
        "voucher": catalogue_pb2.VoucherDefinition(generated=catalogue_pb2.GeneratedCode()),
    }
    return catalogue_pb2.RewardDefinition(**{**usual, **fields})


def once(period: int = catalogue_pb2.MemberLimit.PERIOD_EVER) -> catalogue_pb2.MemberLimit:
    return catalogue_pb2.MemberLimit(
        period=catalogue_pb2.MemberLimit.Period.ValueType(period), most=1
    )


class Desk:
    """Callers who may do everything, unless other metadata is given."""

    def __init__(
        self,
        rewards: Running,
        settings: dict[str, Any],
        ledger: Running,
        shop: Shop,
        tokens: Tokens,
    ) -> None:
        """settings are those of the rewards server."""
        self.points = points_pb2_grpc.PointsServiceStub(ledger.channel)
        self.marketing = catalogue_pb2_grpc.CatalogueServiceStub(rewards.channel)
        self.redemptions = redemption_pb2_grpc.RedemptionServiceStub(rewards.channel)
        self.vouchers = vouchers_pb2_grpc.VoucherServiceStub(rewards.channel)
        self.shop = shop
        self.everything = tokens.bearer(*EVERYTHING)
        self.settings = settings
        self.database_url = str(settings["database_url"])

    async def offer(
        self, stock: catalogue_pb2.Stock | None = None, **fields: Any
    ) -> catalogue_pb2.Reward:
        """A reward that was published just now."""
        return await self.publish((await self.draft(stock, **fields)).name)

    async def draft(
        self, stock: catalogue_pb2.Stock | None = None, **fields: Any
    ) -> catalogue_pb2.Reward:
        request = catalogue_pb2.CreateRewardRequest(
            request_id=new_id(),
            name=f"rewards/r-{uuid.uuid4().hex[:12]}",
            definition=definition(**fields),
            stock=stock,
        )
        return (await self.marketing.CreateReward(request, metadata=self.everything)).reward

    async def change(self, reward: catalogue_pb2.Reward, **fields: Any) -> catalogue_pb2.Reward:
        """Another version of a reward, published."""
        request = catalogue_pb2.UpdateRewardRequest(
            name=reward.name, definition=definition(**fields)
        )
        await self.marketing.UpdateReward(request, metadata=self.everything)
        return await self.publish(reward.name)

    async def publish(self, name: str) -> catalogue_pb2.Reward:
        request = catalogue_pb2.PublishRewardRequest(name=name)
        return (await self.marketing.PublishReward(request, metadata=self.everything)).reward

    async def end(self, reward: catalogue_pb2.Reward) -> None:
        request = catalogue_pb2.EndRewardRequest(name=reward.name)
        await self.marketing.EndReward(request, metadata=self.everything)

    async def set_stock(self, reward: catalogue_pb2.Reward, **fields: Any) -> None:
        request = catalogue_pb2.SetStockRequest(
            name=reward.name, stock=catalogue_pb2.Stock(**fields)
        )
        await self.marketing.SetStock(request, metadata=self.everything)

    async def stock_taken(self, reward: catalogue_pb2.Reward) -> catalogue_pb2.StockTaken:
        request = catalogue_pb2.GetRewardRequest(name=reward.name)
        answer = await self.marketing.GetReward(request, metadata=self.everything)
        return answer.reward.stock_taken

    async def pool(self, *codes: str) -> str:
        """The name of a pool of codes."""
        name = f"codePools/p-{uuid.uuid4().hex[:12]}"
        request = vouchers_pb2.UploadCodesRequest(
            pool=name, upload_id=new_id(), first_line=1, codes=codes
        )
        await self.vouchers.UploadCodes(request, metadata=self.everything)
        return name

    async def member(self, points: int = PRICE) -> str:
        """A member with so many points to spend."""
        return (await self.crowd(1, points))[0]

    async def crowd(self, count: int, points: int = PRICE) -> Sequence[str]:
        """Members with so many points each."""
        names = [new_member() for _ in range(count)]
        with told(self.shop.database_url) as ledger:
            for name in names:
                ledger.enrolled(name)
        # Not all at once: a slow machine would let the last ones wait past their deadline.
        at_once = asyncio.Semaphore(CREDITED_AT_ONCE)

        async def credit(name: str) -> None:
            async with at_once:
                await self.shop.adjust(wallet_name(name), points)

        await asyncio.gather(*map(credit, names))
        return names

    async def balance(self, member: str) -> tuple[int, int]:
        """What a member can spend, and what is held."""
        wallet = await self.shop.wallet(wallet_name(member))
        return wallet.available, wallet.held

    async def lots(self, member: str) -> list[points_pb2.Lot]:
        """What a member's points are made of."""
        request = points_pb2.ListLotsRequest(parent=wallet_name(member))
        answer = await self.points.ListLots(request, metadata=self.shop.everything)
        return list(answer.lots)

    def let_leases_end(self, member: str) -> None:
        """Let whoever sees to a member's redemptions be thought to be gone."""
        self.execute(
            "UPDATE redemptions SET lease_time = now() - interval '1 minute'"
            " WHERE lease_time IS NOT NULL AND member_id = %(member)s::uuid",
            member=member.removeprefix("members/"),
        )

    def let_pass(self, reward: catalogue_pb2.Reward, seconds: int) -> None:
        """Let what became of a reward have become of it earlier."""
        self.execute(
            "UPDATE publications SET start_time = start_time - %(passed)s * interval '1 second',"
            " end_time = end_time - %(passed)s * interval '1 second' WHERE reward_id = %(reward)s",
            passed=seconds,
            reward=reward.name.removeprefix("rewards/"),
        )

    def request(
        self, member: str, reward: catalogue_pb2.Reward, **fields: Any
    ) -> redemption_pb2.RedeemRewardRequest:
        usual = {
            "request_id": new_id(),
            "member": member,
            "reward": reward.name,
            "expected_points": PRICE,
            "channel": catalogue_pb2.CHANNEL_APP,
        }
        return redemption_pb2.RedeemRewardRequest(**{**usual, **fields})

    async def send(
        self,
        request: redemption_pb2.RedeemRewardRequest,
        metadata: Metadata | None = None,
        **options: Any,
    ) -> redemption_pb2.RedeemRewardResponse:
        return await self.redemptions.RedeemReward(
            request, metadata=metadata or self.everything, **options
        )

    async def redeem(
        self, member: str, reward: catalogue_pb2.Reward, **fields: Any
    ) -> redemption_pb2.RedeemRewardResponse:
        return await self.send(self.request(member, reward, **fields))

    async def cancel(self, redemption: redemption_pb2.Redemption) -> redemption_pb2.Redemption:
        request = redemption_pb2.CancelRedemptionRequest(
            name=redemption.name, reason="bought by mistake"
        )
        answer = await self.redemptions.CancelRedemption(request, metadata=self.everything)
        return answer.redemption

    async def get(self, name: str) -> redemption_pb2.Redemption:
        request = redemption_pb2.GetRedemptionRequest(name=name)
        answer = await self.redemptions.GetRedemption(request, metadata=self.everything)
        return answer.redemption

    async def history(self, member: str, **fields: Any) -> redemption_pb2.ListRedemptionsResponse:
        request = redemption_pb2.ListRedemptionsRequest(parent=member, **fields)
        return await self.redemptions.ListRedemptions(request, metadata=self.everything)

    async def voucher(self, name: str) -> vouchers_pb2.Voucher:
        request = vouchers_pb2.GetVoucherRequest(name=name)
        return (await self.vouchers.GetVoucher(request, metadata=self.everything)).voucher

    async def usable_vouchers(self, member: str) -> list[str]:
        request = vouchers_pb2.ListVouchersRequest(parent=member, usable_only=True)
        answer = await self.vouchers.ListVouchers(request, metadata=self.everything)
        return [voucher.name for voucher in answer.vouchers]

    async def use(self, voucher: vouchers_pb2.Voucher, **fields: Any) -> None:
        """Use a voucher at a till."""
        usual = {
            "request_id": new_id(),
            "code": voucher.code,
            "store": "31",
            "terminal": "1",
            "receipt_number": f"R{uuid.uuid4().hex[:8]}",
        }
        request = vouchers_pb2.RedeemVoucherRequest(**{**usual, **fields})
        await self.vouchers.RedeemVoucher(request, metadata=self.everything)

    def announced(self, kind: type[Any], member: str) -> list[Any]:
        """The events of a kind about a member, in the order they were announced."""
        reading = engine(self.database_url, pool_size=1)
        try:
            with transaction(reading) as connection:
                stored = outbox.read(connection, "public", 0, limit=EVENTS_MAX)
        finally:
            reading.dispose()
        return [
            kind.FromString(each.event.data)
            for each in stored
            if each.event.type == kind.DESCRIPTOR.full_name and each.event.subject == member
        ]

    def execute(self, statement: str, **values: object) -> None:
        """Change the rewards database behind the server's back."""
        changing = engine(self.database_url, pool_size=1)
        try:
            with transaction(changing) as connection:
                connection.exec_driver_sql(statement, values)
        finally:
            changing.dispose()

    def rows(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """What a statement selects of the rewards database; values stand in it as %(name)s."""
        reading = engine(self.database_url, pool_size=1)
        try:
            with transaction(reading) as connection:
                return [tuple(row) for row in connection.exec_driver_sql(statement, values)]
        finally:
            reading.dispose()
