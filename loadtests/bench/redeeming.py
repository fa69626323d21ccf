"""Rewards redeemed end to end, beside sales one by one on the same platform."""

import statistics
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from loyalty.ledger.v1 import ledger_pb2, ledger_pb2_grpc, point_of_sale_pb2
from loyalty.rewards.v1 import catalogue_pb2, catalogue_pb2_grpc

from loadtests.bench.crew import Crew, Round
from loadtests.bench.generator import Call, Desk
from loadtests.bench.plan import BULK_IN_FLIGHT, FIRST_GUESS, REDEEM_IN_FLIGHT, Plan
from loadtests.bench.subject import SERVER, Subject
from services.plumbing.database import engine, transaction
from services.plumbing.grpc_client import bearer, channel

REWARDS = "rewards"
PRICE = 100
# Enough for whoever is drawn often; more takes a second person to give.
POINTS_EACH = 10_000
PIECES = 1_000_000_000
MEMBERS = 5_000
CALLERS = 16
# How much more is made beforehand than the fastest round so far would have used.
SPARE = 1.5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Redeemed:
    """Rounds of redemptions and, between them, of sales with as many in flight."""

    per_second: tuple[float, ...]
    p50_seconds: tuple[float, ...]
    p99_seconds: tuple[float, ...]
    sale_p99_seconds: tuple[float, ...]
    core_share: dict[str, float]

    @property
    def redemptions_per_second(self) -> float:
        return statistics.median(self.per_second)

    @property
    def p99_ratio(self) -> float:
        """A redemption's p99 over a sale's."""
        return statistics.median(self.p99_seconds) / statistics.median(self.sale_p99_seconds)


def with_rewards(subject: Subject) -> Subject:
    """The same subject, with the rewards server among the processes that are watched."""
    process_ids = {
        **subject.process_ids,
        SERVER: [*subject.process_ids[SERVER], subject.platform.process(REWARDS).pid],
    }
    return replace(subject, process_ids=process_ids)


def open_desk(subject: Subject) -> Desk:
    """A reward with counted stock and a limit a day, and members with points to spend on it."""
    members = _members(subject)
    _credit(subject, members)
    return Desk(
        address=subject.platform.grpc_address(REWARDS),
        reward=_offer(subject),
        price_points=PRICE,
        members=tuple(f"members/{member}" for member in members),
    )


def measure_redeeming(subject: Subject, crew: Crew, plan: Plan, say: Say) -> Redeemed:
    """Sales and redemptions in turn."""
    if not crew.sales_acknowledged:
        crew.record_first_sales(subject.wallets, in_flight=BULK_IN_FLIGHT)
    subject.settle()
    fastest = dict(FIRST_GUESS)
    rounds: dict[Call, list[Round]] = {Call.SALE: [], Call.REDEEM: []}
    # The first turn of each is not counted: caches fill up in it.
    for number in range(plan.rounds + 1):
        for call, done in rounds.items():
            ready = int(fastest[call] * (plan.seconds + 1) * SPARE) + REDEEM_IN_FLIGHT
            found = crew.measure(
                call, in_flight=REDEEM_IN_FLIGHT, seconds=plan.seconds, ready=ready
            )
            fastest[call] = max(fastest[call], found.calls_per_second)
            say(
                f"round {number} {call.name.lower()}: {found.calls_per_second:,.0f}/s,"
                f" p50 {found.p50_seconds * 1000:.1f} ms, p99 {found.p99_seconds * 1000:.1f} ms"
            )
            if number:
                done.append(found)
    return _redeemed(rounds[Call.REDEEM], rounds[Call.SALE])


def _redeemed(redeemed: Sequence[Round], sold: Sequence[Round]) -> Redeemed:
    shares = [each.usage.core_shares() for each in redeemed]
    return Redeemed(
        per_second=tuple(each.calls_per_second for each in redeemed),
        p50_seconds=tuple(each.p50_seconds for each in redeemed),
        p99_seconds=tuple(each.p99_seconds for each in redeemed),
        sale_p99_seconds=tuple(each.p99_seconds for each in sold),
        core_share={
            name: round(statistics.median(each[name] for each in shares), 3) for name in shares[0]
        },
    )


def _members(subject: Subject) -> Sequence[uuid.UUID]:
    ledger = engine(subject.database_url, pool_size=1)
    try:
        with transaction(ledger) as connection:
            rows = connection.exec_driver_sql(
                "SELECT member_id FROM wallet_owners ORDER BY wallet_id LIMIT %s", (MEMBERS,)
            )
            return list(rows.scalars())
    finally:
        ledger.dispose()


def _credit(subject: Subject, members: Sequence[uuid.UUID]) -> None:
    metadata = bearer(subject.token)
    with (
        channel(subject.address) as opened,
        ThreadPoolExecutor(CALLERS, thread_name_prefix="credit") as pool,
    ):
        stub = ledger_pb2_grpc.LedgerServiceStub(opened)

        def credit(member: uuid.UUID) -> None:
            request = ledger_pb2.AdjustPointsRequest(
                request_id=str(uuid.uuid4()),
                wallet=f"members/{member}/wallet",
                kind=point_of_sale_pb2.POINT_KIND_REDEEMABLE,
                points=POINTS_EACH,
                reason="to be spent",
            )
            stub.AdjustPoints(request, metadata=metadata)

        list(pool.map(credit, members))


def _offer(subject: Subject) -> str:
    """The name of a reward that was published."""
    name = f"rewards/r-{uuid.uuid4().hex[:12]}"
    definition = catalogue_pb2.RewardDefinition(
        kind=catalogue_pb2.REWARD_KIND_VOUCHER,
        texts={"en": catalogue_pb2.RewardTexts(title="A coffee")},
        default_language="en",
        points=PRICE,
        member_limits=[
            catalogue_pb2.MemberLimit(
                period=catalogue_pb2.MemberLimit.PERIOD_DAY, most=POINTS_EACH // PRICE
            )
        ],
        voucher=catalogue_pb2.VoucherDefinition(
            generated=catalogue_pb2.GeneratedCode(), life_days=90
        ),
    )
    metadata = bearer(subject.token)
    with channel(subject.platform.grpc_address(REWARDS)) as opened:
        stub = catalogue_pb2_grpc.CatalogueServiceStub(opened)
        creation = catalogue_pb2.CreateRewardRequest(
            request_id=str(uuid.uuid4()),
            name=name,
            definition=definition,
            stock=catalogue_pb2.Stock(total=PIECES, per_day=PIECES),
        )
        stub.CreateReward(creation, metadata=metadata)
        stub.PublishReward(catalogue_pb2.PublishRewardRequest(name=name), metadata=metadata)
    return name
