"""What all users of a Locust process share: a channel to each service, and whose cards there are.

Made once gevent has been told of gRPC, and before any user exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from loadtests.tills.customers import Customers, issuer_of
from services.cli.run_file import RunningPlatform
from services.plumbing.development_issuer import DevelopmentIssuer
from services.plumbing.grpc_client import channel

TOKEN_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class World:
    """A running platform as the users of one process see it."""

    ledger: grpc.Channel
    members: grpc.Channel
    tiering: grpc.Channel
    rewards: grpc.Channel
    customers: Customers
    issuer: DevelopmentIssuer

    def token(self, subject: str, *scopes: str, stores: Sequence[str] = ()) -> str:
        return self.issuer.mint(subject, scopes, stores, TOKEN_SECONDS)


_worlds: list[World] = []


def enter(data_dir: Path) -> None:
    """Open the world of a platform. Refuses: NothingRuns."""
    platform = RunningPlatform.load(data_dir)
    _worlds.append(
        World(
            ledger=channel(platform.grpc_address("ledger")),
            members=channel(platform.grpc_address("members")),
            tiering=channel(platform.grpc_address("tiering")),
            rewards=channel(platform.grpc_address("rewards")),
            customers=Customers.load(data_dir),
            issuer=issuer_of(platform),
        )
    )


def world() -> World:
    return _worlds[-1]
