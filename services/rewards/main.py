"""`python -m services.rewards server|migrate`; the worker is a process of another kind."""

import gc
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from loyalty.rewards.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    redemption_pb2,
    redemption_pb2_grpc,
    vouchers_pb2,
    vouchers_pb2_grpc,
)

from services.plumbing import grpc_server, telemetry
from services.plumbing.auth import TokenVerifier
from services.plumbing.config import AuthSettings, LogSettings, read
from services.plumbing.database import engine
from services.plumbing.database_work import DatabaseWork
from services.plumbing.token_file import TokenFile
from services.rewards.clients import LedgerPoints
from services.rewards.pruner import Pruner
from services.rewards.recoverer import Recoverer
from services.rewards.redeeming import Redeeming
from services.rewards.rpc.catalogue import Catalogue
from services.rewards.rpc.redemptions import Redemptions
from services.rewards.rpc.vouchers import Vouchers
from services.rewards.settings import RewardsMigrationSettings, RewardsSettings
from services.rewards.signing import open_signer

MIGRATIONS = Path(__file__).parent / "migrations"
DOMAIN = "rewards.loyalty.example"
# A batch of redemptions runs in a thread that waits for the interpreter after each of its
# statements. At Python's usual 5 ms it waited for the calls longer than for the database.
SWITCH_SECONDS = 0.0005
# A call makes hundreds of objects and no cycle; looking for cycles every 700 of them took a tenth
# of the server's time.
COLLECT_AFTER = (50_000, 20, 20)


def utc_now() -> datetime:
    return datetime.now(UTC)


async def start(
    settings: RewardsSettings, auth: AuthSettings, *, clock: Callable[[], datetime] = utc_now
) -> grpc_server.Server:
    """A running server on a migrated database. Refuses: OSError when the address is taken."""
    signer = open_signer(settings.signing_keys_file)
    threads = settings.database_pool_size
    work = DatabaseWork(engine(settings.database_url, pool_size=threads), threads=threads)
    points = LedgerPoints(settings.ledger_address, TokenFile(settings.ledger_token_file))
    redeeming = Redeeming(settings.database_url, work, points, clock)
    redemptions = Redemptions(work, clock, signer, points, redeeming)
    vouchers = Vouchers(
        work, clock, signer, undone_within=timedelta(hours=settings.voucher_undo_hours)
    )
    server = await grpc_server.start(
        settings.grpc_address,
        services(work, clock, vouchers, redemptions),
        verifier=TokenVerifier(auth),
        domain=DOMAIN,
    )
    recoverer = Recoverer(work, redeeming)
    pruner = Pruner(work, clock)
    # What uses something is closed before it.
    server.closers += [pruner.close, recoverer.close, redeeming.close, points.close, work.close]
    return server


def services(
    work: DatabaseWork,
    clock: Callable[[], datetime],
    vouchers: Vouchers,
    redemptions: Redemptions,
) -> Sequence[grpc_server.Service]:
    return [
        grpc_server.Service(
            catalogue_pb2.DESCRIPTOR.services_by_name["CatalogueService"].full_name,
            partial(
                catalogue_pb2_grpc.add_CatalogueServiceServicer_to_server, Catalogue(work, clock)
            ),
        ),
        grpc_server.Service(
            vouchers_pb2.DESCRIPTOR.services_by_name["VoucherService"].full_name,
            partial(vouchers_pb2_grpc.add_VoucherServiceServicer_to_server, vouchers),
        ),
        grpc_server.Service(
            redemption_pb2.DESCRIPTOR.services_by_name["RedemptionService"].full_name,
            partial(redemption_pb2_grpc.add_RedemptionServiceServicer_to_server, redemptions),
        ),
    ]


async def serve() -> None:
    settings = read(RewardsSettings)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    server = await start(settings, read(AuthSettings))
    telemetry.serve_metrics(settings.metrics_port)
    await grpc_server.serve_until_told(server, drain_seconds=settings.drain_seconds)


def main(arguments: Sequence[str]) -> None:
    telemetry.start_logging(read(LogSettings).level)
    match list(arguments):
        case ["server"]:
            grpc_server.run(serve())
        case ["migrate"]:
            # The database alone: who migrates needs neither keys nor the ledger.
            url = read(RewardsMigrationSettings).database_url
            # Alembic takes long to import, and the server has no need of it.
            from services.plumbing.migrations import migrate

            migrate(url, MIGRATIONS)
        case _:
            sys.exit("usage: python -m services.rewards server|worker|migrate")
