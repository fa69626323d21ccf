"""What a member's points come to if they spend as they mean to. Reads and changes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from services.ledger.domain.circumstances import Rules
from services.ledger.domain.expiry_plan import ExpiryPlan, PlannedBurn, plan
from services.ledger.domain.point_life import BurnOrder
from services.ledger.storage import lots, policies
from services.ledger.usecases.read import Holding, by_schema
from services.plumbing.database import transaction


@dataclass(frozen=True, slots=True)
class Planned:
    """The best plan for each wallet with lots, and what the policy's own order would lose."""

    wallets: Sequence[tuple[int, ExpiryPlan]]
    lost_points_by_policy: int


@dataclass(frozen=True, slots=True)
class ExpiryPlans:
    """clock answers microseconds since 1970-01-01 UTC."""

    engine: Engine
    shards: int
    clock: Callable[[], int]

    def plan(self, holding: Holding, burns: Sequence[PlannedBurn]) -> Planned:
        """Burns are planned for the first wallet of a holding."""
        with transaction(self.engine) as connection:
            wallets = {
                wallet_id: wallet
                for where, ids in by_schema(holding.wallet_ids, self.shards)
                for wallet_id, wallet in lots.wallets_with_lots(connection, where, ids).items()
            }
            order = Rules(policies.all_policies(connection)).life_at(self.clock()).burn_order
        planned = [
            (wallet_id, wallets[wallet_id], burns if place == 0 else ())
            for place, wallet_id in enumerate(holding.wallet_ids)
            if wallet_id in wallets
        ]
        best = BurnOrder.SOONEST_EXPIRY
        return Planned(
            [(wallet_id, plan(wallet, own, best)) for wallet_id, wallet, own in planned],
            sum(plan(wallet, own, order).lost_points for _, wallet, own in planned),
        )
