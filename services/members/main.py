"""`python -m services.members server|migrate`; the worker is a process of another kind."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from loyalty.members.v1 import (
    households_pb2,
    households_pb2_grpc,
    members_pb2,
    members_pb2_grpc,
    merges_pb2,
    merges_pb2_grpc,
)

from services.members.rpc.households import HouseholdService
from services.members.rpc.merges import MergeService
from services.members.rpc.service import MembersService
from services.members.settings import MembersSettings
from services.members.usecases.prune import prune
from services.plumbing import grpc_server, telemetry
from services.plumbing.auth import TokenVerifier
from services.plumbing.config import AuthSettings, LogSettings, read
from services.plumbing.database import engine
from services.plumbing.database_work import DatabaseWork
from services.plumbing.housekeeping import CHUNK, EVERY_SECONDS
from services.plumbing.repeating import Repeating

MIGRATIONS = Path(__file__).parent / "migrations"
DOMAIN = "members.loyalty.example"


def utc_now() -> datetime:
    return datetime.now(UTC)


async def start(
    settings: MembersSettings, auth: AuthSettings, *, clock: Callable[[], datetime] = utc_now
) -> grpc_server.Server:
    """A running server on a migrated database. Refuses: OSError when the address is taken."""
    threads = settings.database_pool_size
    work = DatabaseWork(engine(settings.database_url, pool_size=threads), threads=threads)
    server = await grpc_server.start(
        settings.grpc_address,
        services(settings, work, clock),
        verifier=TokenVerifier(auth),
        domain=DOMAIN,
    )
    # What uses something is closed before it.
    server.closers += [pruning(settings, work, clock).close, work.close]
    return server


def pruning(
    settings: MembersSettings, work: DatabaseWork, clock: Callable[[], datetime]
) -> Repeating:
    """Drops what nobody needs any more. Every server does; they keep out of each other's way."""
    kept = timedelta(days=settings.requests_kept_days)

    async def prune_some() -> int:
        return await work.run(prune, before=clock() - kept, limit=CHUNK)

    return Repeating("old requests", prune_some, every_seconds=EVERY_SECONDS, full=CHUNK)


def services(
    settings: MembersSettings, work: DatabaseWork, clock: Callable[[], datetime]
) -> list[grpc_server.Service]:
    members = MembersService(work, clock)
    merges = MergeService(work, clock, merged_members_max=settings.merged_members_max)
    households = HouseholdService(work, clock, limits=settings.limits)
    return [
        grpc_server.Service(
            members_pb2.DESCRIPTOR.services_by_name["MembersService"].full_name,
            partial(members_pb2_grpc.add_MembersServiceServicer_to_server, members),
        ),
        grpc_server.Service(
            merges_pb2.DESCRIPTOR.services_by_name["MergeService"].full_name,
            partial(merges_pb2_grpc.add_MergeServiceServicer_to_server, merges),
        ),
        grpc_server.Service(
            households_pb2.DESCRIPTOR.services_by_name["HouseholdService"].full_name,
            partial(households_pb2_grpc.add_HouseholdServiceServicer_to_server, households),
        ),
    ]


async def serve() -> None:
    settings = read(MembersSettings)
    server = await start(settings, read(AuthSettings))
    telemetry.serve_metrics(settings.metrics_port)
    await grpc_server.serve_until_told(server, drain_seconds=settings.drain_seconds)


def main(arguments: Sequence[str]) -> None:
    telemetry.start_logging(read(LogSettings).level)
    match list(arguments):
        case ["server"]:
            grpc_server.run(serve())
        case ["migrate"]:
            settings = read(MembersSettings)
            # Alembic takes long to import, and the server has no need of it.
            from services.plumbing.migrations import migrate

            migrate(settings.database_url, MIGRATIONS)
        case _:
            sys.exit("usage: python -m services.members server|worker|migrate")
