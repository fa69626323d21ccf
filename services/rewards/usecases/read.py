"""What can be seen of redemptions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from services.plumbing.database import transaction
from services.rewards.domain.saga import Redemption
from services.rewards.storage import redemptions


def get_redemption(database: Engine, member_id: UUID, redemption_id: UUID) -> Redemption:
    """Refuses: RedemptionNotFound."""
    with transaction(database) as connection:
        return redemptions.of_member(connection, member_id, redemption_id)


def list_redemptions(
    database: Engine, member_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[Redemption]:
    """A member's redemptions, newest first, from a place in that order on."""
    with transaction(database) as connection:
        return redemptions.before(connection, member_id, before, limit=limit)
