"""Members who merge, part, share a household, are blocked and erased, as `members` tells of it."""

import functools
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import earn_policy_pb2, points_pb2, pools_pb2, pools_pb2_grpc
from loyalty.members.v1 import events_pb2

from services.cli.audit import run_audit
from services.ledger.reactions import LedgerReactions
from services.plumbing.database import engine
from tests.service.databases import Databases
from tests.service.ledger_history import Problems, problems_of
from tests.service.ledger_members import Told, envelope, new_member, wallet_name
from tests.service.ledger_shop import Shop, earn_policy, line, new_card, publish, sale
from tests.service.servers import Running
from tests.service.tokens import Metadata

TillRedemption = earn_policy_pb2.TillRedemption

HOUSEHOLD_JOINED = 1_700_000_000


def now() -> Timestamp:
    moment = Timestamp()
    moment.FromNanoseconds(time.time_ns())
    return moment


class Together(Told):
    """The ledger's reactions, told also of what members are to each other."""

    def merged(self, source: str, target: str, *, name: str = "") -> str:
        """Answers the merge."""
        merge = name or f"merges/{uuid.uuid4()}"
        event = events_pb2.MembersMerged(merge=merge, source=source, target=target)
        event.merge_time.CopyFrom(now())
        self.reactions.members_merged(envelope(event))
        return merge

    def unmerged(self, merge: str, source: str, target: str) -> None:
        event = events_pb2.MergeUndone(merge=merge, source=source, target=target)
        event.undo_time.CopyFrom(now())
        self.reactions.merge_undone(envelope(event))

    def member_blocked(self, member: str, at: Timestamp | None = None) -> None:
        event = events_pb2.MemberBlocked(member=member, block_time=at or now())
        self.reactions.member_blocked(envelope(event))

    def member_unblocked(self, member: str, at: Timestamp | None = None) -> None:
        event = events_pb2.MemberUnblocked(member=member, unblock_time=at or now())
        self.reactions.member_unblocked(envelope(event))

    def erased(self, member: str) -> None:
        event = events_pb2.MemberErased(member=member, erase_time=now())
        self.reactions.member_erased(envelope(event))

    def household(self, household: str, revision: int, limits: Mapping[str, int]) -> None:
        """Who belongs to it, in the order they joined, and what the others may spend of each."""
        event = events_pb2.HouseholdChanged(household=household, revision=revision)
        event.change_time.CopyFrom(now())
        for place, (member, points_limit) in enumerate(limits.items()):
            share = event.members.add(member=member, points_limit=points_limit)
            share.join_time.FromSeconds(HOUSEHOLD_JOINED + place)
        self.reactions.household_changed(envelope(event))


@contextmanager
def told_together(database_url: str) -> Iterator[Together]:
    """Reactions on a ledger's database while the block runs."""
    reactions: Any = LedgerReactions()
    reactions.database = engine(database_url, pool_size=4)
    try:
        yield Together(reactions)
    finally:
        reactions.database.dispose()


@functools.cache
def common_families(databases: Databases) -> str:
    """A ledger for every test that minds its own members, with an audit in the end."""
    url = databases.create("ledger")
    publish(url, earn_policy(redemption=TillRedemption(points=1, amount_minor=1)))
    return url


class Families:
    """A shop, and members of households that buy there."""

    def __init__(self, shop: Shop, running: Running, told_of: Together) -> None:
        self.shop = shop
        self.told = told_of
        self.pools = pools_pb2_grpc.PoolServiceStub(running.channel)

    async def member(self, *points: int) -> str:
        """A member with a wallet for each number of points, the first one's card first."""
        member = new_member()
        self.told.enrolled(member)
        for each in points:
            await self.card(member, each)
        return member

    async def card(self, member: str, points: int) -> str:
        """A card that earned before its member got it, so that it came with a wallet of its own."""
        card = new_card()
        await self.shop.record(sale(card, line(points * 100)))
        self.told.issued(member, card)
        return card

    def household(self, limits: Mapping[str, int], *, revision: int = 1, name: str = "") -> str:
        household = name or f"households/{uuid.uuid4()}"
        self.told.household(household, revision, limits)
        return household

    async def available(self, *members: str) -> list[tuple[int, int]]:
        """What each has available, and held."""
        wallets = [await self.shop.wallet(wallet_name(member)) for member in members]
        return [(wallet.available, wallet.held) for wallet in wallets]

    async def pool(self, member: str, metadata: Metadata | None = None) -> pools_pb2.Pool:
        request = pools_pb2.GetPoolRequest(name=f"{member}/pool")
        answer = await self.pools.GetPool(request, metadata=metadata or self.shop.everything)
        return answer.pool

    async def burns(
        self, member: str, metadata: Metadata | None = None, **fields: Any
    ) -> pools_pb2.ListPoolBurnsResponse:
        request = pools_pb2.ListPoolBurnsRequest(parent=f"{member}/pool", **fields)
        return await self.pools.ListPoolBurns(request, metadata=metadata or self.shop.everything)


def problems(database_url: str) -> Problems:
    """What an audit finds."""
    return problems_of(run_audit(database_url).checks)


def shares(hold: points_pb2.Hold) -> list[tuple[str, int, bool]]:
    """Whose points a shared hold is made of, how many, and whether they are lent."""
    return [(part.member, part.points, part.pooled) for part in hold.parts]
