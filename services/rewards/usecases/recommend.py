"""What a member may like."""

from datetime import datetime, timedelta

from sqlalchemy import Engine

from services.plumbing.database import transaction
from services.rewards.domain.recommending import Recommendation, recommend
from services.rewards.storage import popularity
from services.rewards.usecases.offers import Looker, list_offers, standing_of

# A catalogue has fewer rewards; of one with more the first by name are looked at.
OFFERS_MAX = 1_000
COUNTED_EVERY = timedelta(minutes=1)


class Recommending:
    """Keeps for a minute what is popular, which everybody of a tier is told. Any thread may ask."""

    def __init__(self) -> None:
        self._counted: dict[frozenset[str], tuple[datetime, dict[str, int]]] = {}

    def recommend(
        self,
        database: Engine,
        looker: Looker,
        *,
        available_points: int,
        limit: int,
        now: datetime,
    ) -> list[Recommendation]:
        """The best first."""
        offers = list_offers(database, looker, after="", limit=OFFERS_MAX, now=now)
        return recommend(
            offers,
            available_points=available_points,
            redemptions=self._redemptions(database, looker, now),
            limit=limit,
        )

    def _redemptions(self, database: Engine, looker: Looker, now: datetime) -> dict[str, int]:
        with transaction(database) as connection:
            tiers = standing_of(connection, looker.member_id, now).tiers
            known = self._counted.get(tiers)
            if known is None or not now - COUNTED_EVERY < known[0] <= now:
                known = now, popularity.taken_by_tiers(connection, tiers, now)
                self._counted[tiers] = known
        return known[1]
