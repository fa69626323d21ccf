"""What can be seen of redemptions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from services.plumbing.database import transaction
from services.rewards.domain.saga import Redemption
from services.rewards.storage import members, redemptions


def get_redemption(database: Engine, member_id: UUID, redemption_id: UUID) -> Redemption:
    """Refuses: RedemptionNotFound."""
    with transaction(database) as connection:
        return redemptions.of_member(connection, member_id, redemption_id)


def list_redemptions(
    database: Engine, member_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[Redemption]:
    """The redemptions of a member and of those merged into them, newest first, from a place on.

    Refuses: MemberMerged.
    """
    with transaction(database) as connection:
        everybody = members.all_of(connection, member_id)
        return redemptions.before(connection, everybody, before, limit=limit)
