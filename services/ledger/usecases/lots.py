"""Which lots and holds there are. Each reads in one transaction and changes nothing."""

import heapq
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Engine

from services.ledger.domain.lots import Hold, HoldState, Lot
from services.ledger.domain.refusals import HoldNotFound
from services.ledger.storage import holds, journal, lots
from services.ledger.storage.holds import HoldKey
from services.ledger.storage.lots import LotKey
from services.ledger.storage.shards import schema, shard_of
from services.ledger.usecases.read import Holding, balances_of, by_schema
from services.plumbing.database import transaction


@dataclass(frozen=True, slots=True)
class Lots:
    engine: Engine
    shards: int

    def wallet_to_hold(self, holding: Holding, points: int, request_id: str) -> int | None:
        """The one wallet of a holding to hold points in: the one that answered the request before,
        else the first that has as many; None where it takes several.
        """
        with transaction(self.engine) as connection:
            for where, ids in by_schema(holding.wallet_ids, self.shards):
                answered = journal.wallet_of_request(connection, where, ids, request_id)
                if answered is not None:
                    return answered
            balances = balances_of(connection, holding.wallet_ids, self.shards)
        return next(
            (w for w in holding.wallet_ids if w in balances and balances[w].available >= points),
            None,
        )

    def hold(self, wallet_id: int, hold_id: int) -> Hold:
        """Refuses: HoldNotFound."""
        where = schema(shard_of(wallet_id, self.shards))
        with transaction(self.engine) as connection:
            found = holds.find_holds(connection, where, {(wallet_id, hold_id)})
        if not found:
            raise HoldNotFound("the wallet has no such hold")
        return found[0][1]

    def holds(
        self,
        holding: Holding,
        *,
        states: Collection[HoldState],
        before: HoldKey | None,
        limit: int,
    ) -> list[tuple[HoldKey, Hold]]:
        """Holds in these states with their keys, the newest first."""
        with transaction(self.engine) as connection:
            pages = [
                holds.page(connection, where, ids, states=states, before=before, limit=limit)
                for where, ids in by_schema(holding.wallet_ids, self.shards)
            ]
        keyed = [[(hold_key(wallet, hold), hold) for wallet, hold in page] for page in pages]
        merged = heapq.merge(*keyed, key=lambda each: each[0], reverse=True)
        return list(islice(merged, limit))

    def page(
        self, holding: Holding, *, after: LotKey | None, limit: int
    ) -> list[tuple[LotKey, Lot]]:
        """Lots that hold points, with their keys, the soonest expiry first."""
        with transaction(self.engine) as connection:
            pages = [
                lots.page(connection, where, ids, after=after, limit=limit)
                for where, ids in by_schema(holding.wallet_ids, self.shards)
            ]
        merged = heapq.merge(*pages, key=lambda keyed: keyed[0])
        return list(islice(merged, limit))


def hold_key(wallet_id: int, hold: Hold) -> HoldKey:
    return hold.business_time, hold.hold_id, wallet_id
