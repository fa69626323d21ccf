"""What a member may spend: their own points, and those of others in the household within what each
of them allows. Points stay in the wallets of who earned them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from services.ledger.domain.circumstances import Rules
from services.ledger.domain.point_life import MICROS_PER_DAY, BurnOrder
from services.ledger.domain.shared_holds import Lender, Source
from services.ledger.storage import directory, households, lots, merges, policies, shared_holds
from services.ledger.storage.households import Share
from services.ledger.storage.shards import count
from services.ledger.storage.shared_holds import BurnKey, LentBurn
from services.ledger.usecases.read import by_schema
from services.plumbing.database import transaction

# A member's limit is for any so many days.
PERIOD = 30 * MICROS_PER_DAY


@dataclass(frozen=True, slots=True)
class Pool:
    """A member with everybody who counts for them, and the household of these."""

    member_id: str
    members: Sequence[str]
    household_id: str | None
    # Of the others in it, the first to join first.
    others: Sequence[Share] = ()


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a member of a household lets the others spend, and what they did of it lately."""

    member_id: str
    points_limit: int
    spent: int
    available: int


@dataclass(frozen=True, slots=True)
class PoolBalance:
    """contributions are of everybody in the household; available counts of the others' alone."""

    pool: Pool
    own_available: int
    contributions: Sequence[Contribution]

    @property
    def lent_available(self) -> int:
        own = set(self.pool.members)
        return sum(c.available for c in self.contributions if c.member_id not in own)


@dataclass(frozen=True, slots=True)
class Pools:
    """clock answers microseconds since 1970-01-01 UTC."""

    engine: Engine
    clock: Callable[[], int]

    def balance(self, member_id: str) -> PoolBalance:
        """What a member may spend now, and who contributes what."""
        now = self.clock()
        with transaction(self.engine) as connection:
            pool = find_pool(connection, member_id)
            order = Rules(policies.all_policies(connection)).life_at(now).burn_order
            own, lenders = sources(connection, pool, business_time=now, order=order, now=now)
            shares = (
                households.shares_of(connection, pool.household_id) if pool.household_id else []
            )
            spent = lent_of(connection, [share.member_id for share in shares], now)
            blocked = merges.blocked_among(connection, [member_id])
        lends = {} if blocked else {lender.member_id: lender.lends for lender in lenders}
        own_available = sum(source.spendable for source in own)
        return PoolBalance(
            pool,
            own_available,
            [
                Contribution(
                    share.member_id,
                    share.points_limit,
                    spent[share.member_id],
                    own_available
                    if share.member_id in pool.members
                    else lends.get(share.member_id, 0),
                )
                for share in shares
            ],
        )

    def burns(self, member_id: str, *, before: BurnKey | None, limit: int) -> list[LentBurn]:
        """What members of one household spent of each other's points, the newest first."""
        with transaction(self.engine) as connection:
            pool = find_pool(connection, member_id)
            return shared_holds.lent_burns(
                connection,
                household_id=pool.household_id,
                member_ids=pool.members,
                before=before,
                limit=limit,
            )


def find_pool(
    connection: Connection, member_id: str, *, own_points_only: bool = False, lock: bool = False
) -> Pool:
    """With lock nobody else counts what may be spent of the household until the transaction ends,
    so that no limit is passed by two at once.
    """
    members = merges.sources_of(connection, [member_id])[member_id]
    household = None if own_points_only else households.of_members(connection, members)
    if household is None:
        return Pool(member_id, members, None)
    if lock:
        households.lock(connection, household)
    shares = households.shares_of(connection, household)
    others = [share for share in shares if share.member_id not in members]
    return Pool(member_id, members, household, others)


def sources(
    connection: Connection, pool: Pool, *, business_time: int, order: BurnOrder, now: int
) -> tuple[list[Source], list[Lender]]:
    """Where points may come from that a member spends at a business time: the wallets that count
    for the member, then those who lend, in the order they joined.
    """
    lending = {share.member_id: share.points_limit for share in pool.others if share.points_limit}
    closures = merges.sources_of(connection, lending)
    owners = directory.holding_of(connection, pool.member_id).owners
    members = [member for closure in closures.values() for member in closure]
    lent_wallets = directory.wallets_of_members(connection, members)
    spendable = spendable_of(
        connection, [*owners, *(wallet for wallet, _ in lent_wallets)], business_time, order
    )
    lent = lent_of(connection, list(lending), now)
    own = [Source(wallet, owner, spendable.get(wallet, 0)) for wallet, owner in owners.items()]
    # A wallet counts once, also where two of the household were merged.
    counted = set(owners)
    lenders = []
    for member_id, points_limit in lending.items():
        found = [
            Source(wallet, owner, spendable.get(wallet, 0))
            for wallet, owner in lent_wallets
            if owner in closures[member_id] and wallet not in counted
        ]
        counted |= {source.wallet_id for source in found}
        lenders.append(Lender(member_id, points_limit - lent[member_id], tuple(found)))
    return own, lenders


def spendable_of(
    connection: Connection, wallet_ids: Sequence[int], business_time: int, order: BurnOrder
) -> dict[int, int]:
    """How many points of each wallet can be spent at a business time."""
    return {
        wallet_id: sum(lot.free for lot in wallet.spendable(business_time, order))
        for schema, ids in by_schema(wallet_ids, count(connection))
        for wallet_id, wallet in lots.wallets_with_lots(connection, schema, ids).items()
        if not wallet.spending_blocked
    }


def lent_of(connection: Connection, member_ids: Sequence[str], now: int) -> dict[str, int]:
    """What others hold or spent in the last days of each member's points, and of those who count
    for the member.
    """
    closures = merges.sources_of(connection, member_ids)
    members = {member for closure in closures.values() for member in closure}
    lent = shared_holds.lent_since(connection, members, now - PERIOD)
    return {
        member_id: sum(lent.get(member, 0) for member in closures[member_id])
        for member_id in member_ids
    }
