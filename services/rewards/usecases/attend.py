"""Who sees to redemptions that are under way."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from services.plumbing.database import transaction
from services.rewards.domain.saga import Redemption
from services.rewards.storage import redemptions
from services.rewards.usecases.redeem import Given, as_it_stands


@dataclass(frozen=True, slots=True)
class Attended:
    """A redemption as it stands; taken_over says that the caller has to see to it now."""

    given: Given
    taken_over: bool


def look(database: Engine, redemption_id: UUID) -> Attended:
    """See how a redemption stands, and take it over where nobody sees to it any more."""
    with transaction(database) as connection:
        left = redemptions.take_over(connection, redemption_id)
        if left is not None:
            return Attended(Given(left), taken_over=True)
        found = redemptions.by_id(connection, redemption_id)
        return Attended(as_it_stands(connection, found), taken_over=False)


def take_over_standing(database: Engine, *, limit: int) -> list[Redemption]:
    """The redemptions to which nobody sees any more; the caller has to."""
    with transaction(database) as connection:
        return redemptions.take_over_standing(connection, limit=limit)


def oldest_seconds(database: Engine) -> float:
    """How long ago the redemption was begun that has been under way longest; zero for none."""
    with transaction(database) as connection:
        return redemptions.oldest_seconds(connection)


def let_go(database: Engine, redemption_id: UUID) -> None:
    """Let whoever asks for a redemption next see to it."""
    with transaction(database) as connection:
        redemptions.let_go(connection, redemption_id)
