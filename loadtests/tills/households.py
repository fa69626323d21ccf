"""Forms the families of a load: each member lets the others spend of their points."""

import time
import uuid
from collections.abc import Sequence

from loyalty.ledger.v1 import pools_pb2, pools_pb2_grpc
from loyalty.members.v1 import households_pb2, households_pb2_grpc

from loadtests.tills.customers import issuer_of
from services.cli.run_file import RunningPlatform
from services.plumbing.development_issuer import DevelopmentIssuer
from services.plumbing.grpc_client import bearer, channel

FAMILY_SIZE = 3
FAMILIES_MAX = 50
# Of all customers, so many are in families.
SHARE_IN_FAMILIES = 0.3
# What each lets the others spend in thirty days.
POINTS_LIMIT = 1_000
SCOPES = ("households.write.own", "wallets.read.own")
TOKEN_SECONDS = 600
CALL_SECONDS_MAX = 30.0
HEARD_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05

Metadata = tuple[tuple[str, str], ...]


class FamilyNotHeard(Exception):  # noqa: N818 — says what happened
    """The ledger did not hear of a family."""


def form_families(platform: RunningPlatform, members: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Let a part of the members form households, each doing what only they may do.

    Refuses: FamilyNotHeard.
    """
    count = min(int(len(members) * SHARE_IN_FAMILIES) // FAMILY_SIZE, FAMILIES_MAX)
    families = [members[FAMILY_SIZE * n : FAMILY_SIZE * (n + 1)] for n in range(count)]
    issuer = issuer_of(platform)
    with channel(platform.grpc_address("members")) as opened:
        households = households_pb2_grpc.HouseholdServiceStub(opened)
        for family in families:
            _form(households, family, issuer)
    deadline = time.monotonic() + HEARD_SECONDS_MAX
    with channel(platform.grpc_address("ledger")) as opened:
        pools = pools_pb2_grpc.PoolServiceStub(opened)
        for family in families:
            while not _is_heard(pools, family, issuer):
                if time.monotonic() > deadline:
                    raise FamilyNotHeard(family[0])
                time.sleep(POLL_SECONDS)
    return tuple(tuple(family) for family in families)


def _form(
    households: households_pb2_grpc.HouseholdServiceStub,
    family: Sequence[str],
    issuer: DevelopmentIssuer,
) -> None:
    owner, *others = family
    creation = households_pb2.CreateHouseholdRequest(request_id=_new_id(), owner=owner)
    created = households.CreateHousehold(
        creation, timeout=CALL_SECONDS_MAX, metadata=_metadata(issuer, owner)
    )
    for member in others:
        inviting = households_pb2.CreateInvitationRequest(
            request_id=_new_id(), household=created.household.name, member=member
        )
        invited = households.CreateInvitation(
            inviting, timeout=CALL_SECONDS_MAX, metadata=_metadata(issuer, owner)
        )
        accepting = households_pb2.AcceptInvitationRequest(
            request_id=_new_id(), member=member, invitation=invited.invitation.name
        )
        households.AcceptInvitation(
            accepting, timeout=CALL_SECONDS_MAX, metadata=_metadata(issuer, member)
        )
    for member in family:
        sharing = households_pb2.SetShareRequest(
            request_id=_new_id(), member=member, points_limit=POINTS_LIMIT
        )
        households.SetShare(sharing, timeout=CALL_SECONDS_MAX, metadata=_metadata(issuer, member))


def _is_heard(
    pools: pools_pb2_grpc.PoolServiceStub, family: Sequence[str], issuer: DevelopmentIssuer
) -> bool:
    request = pools_pb2.GetPoolRequest(name=f"{family[0]}/pool")
    metadata = _metadata(issuer, family[0])
    answer = pools.GetPool(request, timeout=CALL_SECONDS_MAX, metadata=metadata)
    limits = [each.points_limit for each in answer.pool.contributions]
    return limits == [POINTS_LIMIT] * len(family)


def _metadata(issuer: DevelopmentIssuer, member: str) -> Metadata:
    return bearer(issuer.mint(member, SCOPES, [], TOKEN_SECONDS))


def _new_id() -> str:
    return str(uuid.uuid4())
