"""A shop whose tills, and whose care and marketing people, call the ledger as they usually do."""

import asyncio
import functools
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import (
    earn_policy_pb2,
    earn_policy_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    night_pb2,
    night_pb2_grpc,
    point_of_sale_pb2_grpc,
    points_pb2,
    points_pb2_grpc,
)
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.ledger import events
from services.ledger.rpc.earn_policies import read_policy
from services.ledger.usecases.policies import Policies
from services.plumbing.database import engine, transaction
from tests.service.contents import Contents, contents
from tests.service.databases import Databases
from tests.service.refusals import refused
from tests.service.servers import Running
from tests.service.tokens import Metadata, Tokens

EVERYTHING = (
    "sales.write",
    "policies.write",
    "policies.read",
    "wallets.read",
    "points.adjust",
    "points.hold",
    "accounts.read",
    "days.read",
    "days.write",
)
BOTH = (pos.POINT_KIND_REDEEMABLE, pos.POINT_KIND_QUALIFYING)
LONG_AGO_SECONDS = 1_000_000_000
POLL_SECONDS = 0.01
POLLS_MAX = 1_500
# Sales of a test lie a second apart, none of them ahead of now, and all within twelve hours:
# what was bought at noon of a day that is over was bought before them.
_seconds = itertools.count(int(time.time()) - 43_000)
_numbers = itertools.count(1)


def moment(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)


def next_moment() -> Timestamp:
    """A business time after all that were given out before."""
    return moment(next(_seconds))


def new_card() -> str:
    return f"card-{uuid.uuid4().hex[:12]}"


def new_id() -> str:
    return str(uuid.uuid4())


def line(amount: int, *category: str, **fields: Any) -> pos.Line:
    usual = {"sku": "sku-1", "quantity_thousandths": 1000, "amount_minor": amount}
    return pos.Line(category_path=category, **{**usual, **fields})


def sale(card: str, *lines: pos.Line, **fields: Any) -> pos.Sale:
    """A sale in USD at terminal 1 of store 31, a little later than the one before."""
    usual = {
        "store": "31",
        "terminal": "1",
        "receipt_number": f"R{next(_numbers)}",
        "business_time": next_moment(),
        "currency_code": "USD",
    }
    return pos.Sale(card_token=card, lines=lines or [line(1000)], **{**usual, **fields})


def rule(name: str, **fields: Any) -> earn_policy_pb2.EarnRule:
    """A redeemable point per dollar, unless fields say otherwise."""
    usual: dict[str, Any] = {"title": f"Rule {name}", "kinds": [pos.POINT_KIND_REDEEMABLE]}
    if not fields.keys() & {"multiplier", "fixed_points"}:
        usual["per_amount"] = earn_policy_pb2.PointsPerAmount(points=1, per_minor=100)
    return earn_policy_pb2.EarnRule(rule=name, **{**usual, **fields})


def categories(*patterns: Sequence[str]) -> earn_policy_pb2.LineCondition:
    found = [earn_policy_pb2.CategoryPattern(segments=segments) for segments in patterns]
    return earn_policy_pb2.LineCondition(categories=found)


def earn_policy(*rules: earn_policy_pb2.EarnRule, **fields: Any) -> earn_policy_pb2.EarnPolicy:
    """A point of both kinds per dollar, one more for produce, none for tobacco; since long ago."""
    usual = {
        "currency_code": "USD",
        "effective_time": moment(LONG_AGO_SECONDS),
        "exclusions": [categories(("TOBACCO",))],
        "rules": rules
        or [rule("base", kinds=BOTH), rule("produce", lines=categories(("PRODUCE",)))],
    }
    return earn_policy_pb2.EarnPolicy(**{**usual, **fields})


@functools.cache
def common_database(databases: Databases) -> str:
    """A ledger with the usual policy, for every test that minds its own cards."""
    url = databases.create("ledger")
    publish(url, earn_policy())
    return url


def publish(url: str, policy: earn_policy_pb2.EarnPolicy) -> None:
    publishing = engine(url, pool_size=1)
    try:
        Policies(publishing, events.policy_published).publish(
            read_policy(policy),
            request_id=new_id(),
            body_hash=new_id(),
            publisher="marketing",
            now=time.time_ns() // 1_000,
        )
    finally:
        publishing.dispose()


class Shop:
    """Callers who may do everything, unless other metadata is given."""

    def __init__(self, running: Running, tokens: Tokens, database_url: str) -> None:
        self.tills = point_of_sale_pb2_grpc.PointOfSaleServiceStub(running.channel)
        self.marketing = earn_policy_pb2_grpc.EarnPolicyServiceStub(running.channel)
        self.care = ledger_pb2_grpc.LedgerServiceStub(running.channel)
        self.spending = points_pb2_grpc.PointsServiceStub(running.channel)
        self.nights = night_pb2_grpc.NightServiceStub(running.channel)
        self.everything = tokens.bearer(*EVERYTHING)
        self.database_url = database_url

    async def record(
        self, sold: pos.Sale, request_id: str = "", metadata: Metadata | None = None
    ) -> pos.RecordSaleResponse:
        request = pos.RecordSaleRequest(request_id=request_id or new_id(), sale=sold)
        return await self.tills.RecordSale(request, metadata=metadata or self.everything)

    async def record_all(self, *requests: pos.RecordSaleRequest) -> list[pos.SaleOutcome]:
        request = pos.BatchRecordSalesRequest(requests=requests)
        answer = await self.tills.BatchRecordSales(request, metadata=self.everything)
        return list(answer.outcomes)

    async def quote(self, sold: pos.Sale) -> pos.QuoteSaleResponse:
        request = pos.QuoteSaleRequest(sale=sold)
        return await self.tills.QuoteSale(request, metadata=self.everything)

    async def give_back(
        self, *lines: tuple[int, int] | int, metadata: Metadata | None = None, **fields: Any
    ) -> pos.RecordReturnResponse:
        """Return lines, by number or with a quantity, of the sale (or receipt) in fields."""
        asked = [
            pos.ReturnedLine(line=each)
            if isinstance(each, int)
            else pos.ReturnedLine(line=each[0], quantity_thousandths=each[1])
            for each in lines
        ]
        request = pos.RecordReturnRequest(lines=asked, **{**self._taking_back(), **fields})
        if not request.receipt_number:
            request.receipt_number = f"B{next(_numbers)}"
        return await self.tills.RecordReturn(request, metadata=metadata or self.everything)

    async def void(self, **fields: Any) -> pos.VoidSaleResponse:
        request = pos.VoidSaleRequest(**{**self._taking_back(), **fields})
        return await self.tills.VoidSale(request, metadata=self.everything)

    async def adjust(self, wallet: str, points: int, **fields: Any) -> pos.Balance:
        usual = {"request_id": new_id(), "kind": pos.POINT_KIND_REDEEMABLE, "reason": "goodwill"}
        request = ledger_pb2.AdjustPointsRequest(
            wallet=wallet, points=points, **{**usual, **fields}
        )
        return (await self.care.AdjustPoints(request, metadata=self.everything)).balance

    async def wallet(self, name: str, metadata: Metadata | None = None) -> ledger_pb2.Wallet:
        request = ledger_pb2.GetWalletRequest(name=name)
        return (await self.care.GetWallet(request, metadata=metadata or self.everything)).wallet

    async def entries(self, parent: str, **fields: Any) -> ledger_pb2.ListEntriesResponse:
        request = ledger_pb2.ListEntriesRequest(parent=parent, **fields)
        return await self.care.ListEntries(request, metadata=self.everything)

    async def hold(
        self, wallet: str, points: int, metadata: Metadata | None = None, **fields: Any
    ) -> points_pb2.HoldPointsResponse:
        usual = {"request_id": new_id(), "purpose": "a coffee"}
        request = points_pb2.HoldPointsRequest(wallet=wallet, points=points, **{**usual, **fields})
        return await self.spending.HoldPoints(request, metadata=metadata or self.everything)

    async def capture(
        self, hold: str, points: int = 0, request_id: str = ""
    ) -> points_pb2.CapturePointsResponse:
        request = points_pb2.CapturePointsRequest(
            request_id=request_id or new_id(), hold=hold, points=points
        )
        return await self.spending.CapturePoints(request, metadata=self.everything)

    async def release(self, hold: str, request_id: str = "") -> points_pb2.ReleaseHoldResponse:
        request = points_pb2.ReleaseHoldRequest(request_id=request_id or new_id(), hold=hold)
        return await self.spending.ReleaseHold(request, metadata=self.everything)

    async def refund(
        self, burn: str, points: int = 0, **fields: Any
    ) -> points_pb2.RefundPointsResponse:
        usual = {"request_id": new_id(), "reason": "out of stock"}
        request = points_pb2.RefundPointsRequest(burn=burn, points=points, **{**usual, **fields})
        return await self.spending.RefundPoints(request, metadata=self.everything)

    async def burn(self, wallet: str, points: int) -> str:
        """Hold and capture points; answers the burn's name."""
        held = await self.hold(wallet, points)
        return (await self.capture(held.hold.name)).hold.burn

    async def get_hold(self, name: str, metadata: Metadata | None = None) -> points_pb2.Hold:
        request = points_pb2.GetHoldRequest(name=name)
        return (await self.spending.GetHold(request, metadata=metadata or self.everything)).hold

    async def lots(
        self, parent: str, metadata: Metadata | None = None, **fields: Any
    ) -> points_pb2.ListLotsResponse:
        request = points_pb2.ListLotsRequest(parent=parent, **fields)
        return await self.spending.ListLots(request, metadata=metadata or self.everything)

    async def night(
        self, step: night_pb2.NightStep.ValueType, day: date, wallets_max: int = 0
    ) -> night_pb2.RunNightStepResponse:
        """Do a part of a step of the night after a day."""
        request = night_pb2.RunNightStepRequest(
            step=step, day=day.isoformat(), wallets_max=wallets_max
        )
        return await self.nights.RunNightStep(request, metadata=self.everything)

    async def publish(
        self, policy: earn_policy_pb2.EarnPolicy, request_id: str = ""
    ) -> earn_policy_pb2.EarnPolicy:
        request = earn_policy_pb2.PublishEarnPolicyRequest(
            request_id=request_id or new_id(), policy=policy
        )
        answer = await self.marketing.PublishEarnPolicy(request, metadata=self.everything)
        return answer.policy

    async def waiting_for_locks(self) -> bool:
        """Whether a transaction waits for another."""
        found = self.rows(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(found[0][0])

    async def has_heard(self, card: str, reason: str) -> None:
        """Wait until sales with a card are refused for a reason.

        They are in a foreign currency, so they are refused in any case and move nothing.
        """

        async def heard() -> bool:
            wrong = sale(card, currency_code="XTS")
            return (await refused(self.record(wrong))).reason == reason

        await eventually(heard, what=f"{reason} of a card")

    def contents(self) -> Contents:
        return contents(self.database_url)

    def rows(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """What a statement selects; values stand in it as %(name)s."""
        reading = engine(self.database_url, pool_size=1)
        try:
            with transaction(reading) as connection:
                return [tuple(row) for row in connection.exec_driver_sql(statement, values)]
        finally:
            reading.dispose()

    def execute(self, statement: str, *values: object) -> None:
        """Change the books behind the ledger's back."""
        changing = engine(self.database_url, pool_size=1)
        try:
            with transaction(changing) as connection:
                connection.exec_driver_sql(statement, values)
        finally:
            changing.dispose()

    @staticmethod
    def _taking_back() -> dict[str, Any]:
        return {
            "request_id": new_id(),
            "store": "31",
            "terminal": "1",
            "business_time": next_moment(),
        }


async def eventually(condition: Callable[[], Awaitable[bool]], *, what: str) -> None:
    for _ in range(POLLS_MAX):
        if await condition():
            return
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(f"{what} did not happen within {POLLS_MAX * POLL_SECONDS:g} s")


def wallet_of(recorded: str) -> str:
    """wallets/{wallet} of the name of a sale, a return or an entry."""
    return "/".join(recorded.split("/")[:2])


def schema_of(wallet: str) -> str:
    """Where a wallet's rows stand, of the two shards there are in tests."""
    return f"ledger_{int(wallet.split('/')[1]) % 2:02d}"


def added(before: Contents, after: Contents) -> dict[str, int]:
    """How many rows each table has more; one that lost or changed a row fails the test."""
    grown = {}
    for table, rows in after.items():
        rest = list(rows)
        for row in before[table]:
            assert row in rest, f"{table} lost or changed {row}"
            rest.remove(row)
        if rest:
            grown[table] = len(rest)
    return grown
