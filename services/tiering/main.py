"""`python -m services.tiering server|preview|migrate`; the worker is a process of another kind."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from loyalty.tiering.v1 import rules_pb2, rules_pb2_grpc, tiering_pb2, tiering_pb2_grpc

from services.plumbing import grpc_server, telemetry
from services.plumbing.auth import TokenVerifier
from services.plumbing.config import AuthSettings, LogSettings, read
from services.plumbing.database import engine
from services.plumbing.database_work import DatabaseWork
from services.tiering import events
from services.tiering.preview_process import PreviewProcesses
from services.tiering.rpc.rule_sets import RuleSets
from services.tiering.rpc.tiers import Tiers
from services.tiering.settings import TieringSettings

MIGRATIONS = Path(__file__).parent / "migrations"
DOMAIN = "tiering.loyalty.example"


def utc_now() -> datetime:
    return datetime.now(UTC)


async def start(
    settings: TieringSettings, auth: AuthSettings, *, clock: Callable[[], datetime] = utc_now
) -> grpc_server.Server:
    """A running server on a migrated database. Refuses: OSError when the address is taken."""
    threads = settings.database_pool_size
    work = DatabaseWork(engine(settings.database_url, pool_size=threads), threads=threads)
    server = await grpc_server.start(
        settings.grpc_address,
        services(work, settings, clock),
        verifier=TokenVerifier(auth),
        domain=DOMAIN,
    )
    server.closers.append(work.close)
    return server


def services(
    work: DatabaseWork, settings: TieringSettings, clock: Callable[[], datetime]
) -> Sequence[grpc_server.Service]:
    rule_sets = RuleSets(
        work,
        clock,
        events,
        PreviewProcesses(settings),
        demoted_share_max=settings.demoted_share_max,
    )
    tiers = Tiers(work, clock, events)
    return [
        grpc_server.Service(
            rules_pb2.DESCRIPTOR.services_by_name["RuleSetService"].full_name,
            partial(rules_pb2_grpc.add_RuleSetServiceServicer_to_server, rule_sets),
        ),
        grpc_server.Service(
            tiering_pb2.DESCRIPTOR.services_by_name["TierService"].full_name,
            partial(tiering_pb2_grpc.add_TierServiceServicer_to_server, tiers),
        ),
    ]


async def serve() -> None:
    settings = read(TieringSettings)
    server = await start(settings, read(AuthSettings))
    telemetry.serve_metrics(settings.metrics_port)
    await grpc_server.serve_until_told(server, drain_seconds=settings.drain_seconds)


def main(arguments: Sequence[str]) -> None:
    telemetry.start_logging(read(LogSettings).level)
    match list(arguments):
        case ["server"]:
            grpc_server.run(serve())
        case ["migrate"]:
            settings = read(TieringSettings)
            # Alembic takes long to import, and the server has no need of it.
            from services.plumbing.migrations import migrate

            migrate(settings.database_url, MIGRATIONS)
        case _:
            sys.exit("usage: python -m services.tiering server|worker|migrate")
