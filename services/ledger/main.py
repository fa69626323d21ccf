"""`python -m services.ledger server|migrate`; the worker is a process of another kind."""

import asyncio
import gc
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType

from loyalty.ledger.v1 import (
    adjustments_pb2,
    adjustments_pb2_grpc,
    earn_policy_pb2,
    earn_policy_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    liability_pb2,
    liability_pb2_grpc,
    night_pb2,
    night_pb2_grpc,
    point_of_sale_pb2,
    point_of_sale_pb2_grpc,
    points_pb2,
    points_pb2_grpc,
    pools_pb2,
    pools_pb2_grpc,
    transfers_pb2,
    transfers_pb2_grpc,
)
from sqlalchemy import Engine

from services.ledger import events, metrics
from services.ledger.adjusting import Adjusting, ApprovedProposals
from services.ledger.card_cache import CardCache
from services.ledger.card_lookups import CardLookups
from services.ledger.committing import (
    COLLECT_AFTER,
    ProcessCommitter,
    ThreadCommitter,
    now_micros,
)
from services.ledger.overdue import OverdueHolds
from services.ledger.rpc.adjustments import Adjustments
from services.ledger.rpc.earn_policies import EarnPolicies
from services.ledger.rpc.holdings import Holdings
from services.ledger.rpc.ledger import Ledger
from services.ledger.rpc.liability import LiabilityFigures
from services.ledger.rpc.night import Night
from services.ledger.rpc.point_of_sale import CODECS, PointOfSale
from services.ledger.rpc.points import Points
from services.ledger.rpc.pools import PoolReading
from services.ledger.rpc.shared_holds import SharedPoints
from services.ledger.rpc.transfers import TransfersOfPoints
from services.ledger.settings import LedgerSettings
from services.ledger.shards import Shards
from services.ledger.sharing import SharedHoldsLeftAlone, Sharing
from services.ledger.storage import shards as shard_storage
from services.ledger.transferring import Transferring, TransfersUnderWay
from services.ledger.usecases import attach
from services.ledger.usecases.liability import Liabilities
from services.ledger.usecases.lots import Lots
from services.ledger.usecases.night import Nights
from services.ledger.usecases.plan_expiry import ExpiryPlans
from services.ledger.usecases.policies import Policies
from services.ledger.usecases.pools import Pools
from services.ledger.usecases.proposals import Proposals
from services.ledger.usecases.quote import Quotes
from services.ledger.usecases.read import Reading
from services.ledger.usecases.shared_holds import SharedHolds
from services.ledger.usecases.transfers import Transfers
from services.plumbing import grpc_server, outbox, telemetry
from services.plumbing.auth import TokenVerifier
from services.plumbing.config import AuthSettings, LogSettings, read
from services.plumbing.database import engine, transaction
from services.plumbing.grpc_calls import Codec
from services.plumbing.prepared import BY_INDEX_ONLY

MIGRATIONS = Path(__file__).parent / "migrations"
DOMAIN = "ledger.loyalty.example"
NO_CODECS: Mapping[str, Codec] = {}


async def start(settings: LedgerSettings, auth: AuthSettings) -> grpc_server.Server:
    """A running server on a migrated database."""
    database = engine(settings.database_url, pool_size=settings.database_pool_size)
    with transaction(database) as connection:
        count = shard_storage.count(connection)
    shards = await open_shards(settings, count)
    # One connection listens for as long as the server lives.
    listening = engine(settings.database_url, pool_size=4)
    cards = CardCache(listening)
    lookups = CardLookups(cards, queue_max=settings.queue_max)
    # Members are looked up by keys alone, all that wait in one statement.
    members = engine(settings.database_url, pool_size=1, settings=BY_INDEX_ONLY)
    holdings = Holdings(
        Reading(database, count), members=Reading(members, count), queue_max=settings.queue_max
    )
    server = await grpc_server.start(
        settings.grpc_address,
        [
            *services(database, count, shards, holdings, settings),
            *till_services(database, count, shards, cards, lookups, settings),
        ],
        verifier=TokenVerifier(auth),
        domain=DOMAIN,
    )
    watch_outboxes(database, count)
    overdue = OverdueHolds(shards, Nights(database, now_micros))
    proposals = Proposals(database, now_micros, settings.adjustment_window)
    approved = ApprovedProposals(
        Adjusting(shards, proposals, settings.adjustment_limits), proposals
    )
    transfers = Transfers(database, now_micros)
    under_way = TransfersUnderWay(Transferring(shards, transfers), transfers)
    shared_holds = SharedHolds(database, now_micros)
    left_alone = SharedHoldsLeftAlone(Sharing(shards, shared_holds), shared_holds)

    async def close() -> None:
        await overdue.close()
        await approved.close()
        await under_way.close()
        await left_alone.close()
        await lookups.close()
        await holdings.close()
        await shards.close()
        await asyncio.to_thread(cards.close)
        for used in (database, listening, members):
            used.dispose()

    server.closers.append(close)
    return server


async def open_shards(settings: LedgerSettings, count: int) -> Shards:
    """The shards with a committer each that is ready."""
    kind = ProcessCommitter if settings.committer_processes else ThreadCommitter
    committers = [kind(settings.database_url, n, settings.limits) for n in range(count)]
    await asyncio.gather(*(committer.start() for committer in committers))
    return Shards(committers, batch_max=settings.batch_max, queue_max=settings.queue_max)


def services(
    database: Engine, count: int, shards: Shards, holdings: Holdings, settings: LedgerSettings
) -> Sequence[grpc_server.Service]:
    reading = Reading(database, count)
    proposals = Proposals(database, now_micros, settings.adjustment_window)
    adjusting = Adjusting(shards, proposals, settings.adjustment_limits)
    ledger = Ledger(
        adjusting=adjusting,
        reading=reading,
        holdings=holdings,
        first_wallet=partial(first_wallet, database),
    )
    adjustments = Adjustments(adjusting, proposals)
    liability = LiabilityFigures(Liabilities(database))
    points = Points(
        shards=shards,
        holdings=holdings,
        lots=Lots(database, count),
        plans=ExpiryPlans(database, count, now_micros),
        shared=SharedPoints(Sharing(shards, SharedHolds(database, now_micros))),
    )
    pools = PoolReading(holdings=holdings, pools=Pools(database, now_micros))
    night = Night(shards=shards, nights=Nights(database, now_micros))
    return [
        served(ledger_pb2, ledger_pb2_grpc, "LedgerService", ledger),
        served(points_pb2, points_pb2_grpc, "PointsService", points),
        served(pools_pb2, pools_pb2_grpc, "PoolService", pools),
        served(night_pb2, night_pb2_grpc, "NightService", night),
        served(adjustments_pb2, adjustments_pb2_grpc, "AdjustmentService", adjustments),
        served(liability_pb2, liability_pb2_grpc, "LiabilityService", liability),
        transfer_service(database, shards, holdings),
    ]


def transfer_service(database: Engine, shards: Shards, holdings: Holdings) -> grpc_server.Service:
    """What members send each other points by."""
    transfers = Transfers(database, now_micros)
    servicer = TransfersOfPoints(
        transferring=Transferring(shards, transfers),
        transfers=transfers,
        holdings=holdings,
        first_wallet=partial(first_wallet, database),
    )
    return served(transfers_pb2, transfers_pb2_grpc, "TransferService", servicer)


def first_wallet(database: Engine, member_id: str) -> int:
    return attach.first_wallet(
        database, member_id, now=datetime.now(UTC), announce=events.wallet_attached
    )


def till_services(
    database: Engine,
    count: int,
    shards: Shards,
    cards: CardCache,
    lookups: CardLookups,
    settings: LedgerSettings,
) -> Sequence[grpc_server.Service]:
    """What tills call, and marketing publishes what sales earn by."""
    quotes = Quotes(database, count, settings.limits, now_micros)
    point_of_sale = PointOfSale(shards=shards, cards=cards, lookups=lookups, quotes=quotes)
    policies = EarnPolicies(Policies(database, events.policy_published))
    return [
        served(
            point_of_sale_pb2, point_of_sale_pb2_grpc, "PointOfSaleService", point_of_sale, CODECS
        ),
        served(earn_policy_pb2, earn_policy_pb2_grpc, "EarnPolicyService", policies),
    ]


def served(
    contract: ModuleType,
    stubs: ModuleType,
    name: str,
    servicer: object,
    codecs: Mapping[str, Codec] = NO_CODECS,
) -> grpc_server.Service:
    """A service of a contract; generated stubs name what adds it to a server after it."""
    add = getattr(stubs, f"add_{name}Servicer_to_server")
    return grpc_server.Service(
        contract.DESCRIPTOR.services_by_name[name].full_name, partial(add, servicer), codecs
    )


def watch_outboxes(database: Engine, count: int) -> None:
    """Let the metric of each shard's outbox read the table when it is scraped."""
    for number in range(count):
        schema = shard_storage.schema(number)
        metrics.OUTBOX_AGE_SECONDS.labels(str(number)).set_function(
            lambda schema=schema: outbox.newest_age_seconds(database, schema)  # type: ignore[misc]
        )


async def serve() -> None:
    settings = read(LedgerSettings)
    auth = read(AuthSettings)
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    server = await start(settings, auth)
    telemetry.serve_metrics(settings.metrics_port)
    await grpc_server.serve_until_told(server, drain_seconds=settings.drain_seconds)


def main(arguments: Sequence[str]) -> None:
    telemetry.start_logging(read(LogSettings).level)
    match list(arguments):
        case ["server"]:
            grpc_server.run(serve())
        case ["migrate"]:
            settings = read(LedgerSettings)
            # Alembic takes long to import, and the server has no need of it.
            from services.plumbing.migrations import migrate

            migrate(settings.database_url, MIGRATIONS, shards=settings.shards)
        case _:
            sys.exit("usage: python -m services.ledger server|worker|migrate")
