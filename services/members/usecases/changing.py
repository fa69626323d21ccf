"""A household that is about to be changed."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.households import Household
from services.members.events import announce_household
from services.members.storage import households, invitations


def change_household(
    connection: Connection,
    household_id: UUID,
    decide: Callable[[Household], Household],
    *,
    now: datetime,
) -> Household:
    """Lock a household, decide what it becomes, write that and announce it, where it is another.

    After the members who come or go were locked. Refuses: HouseholdNotFound, or as decided.
    """
    old = households.lock_household(connection, household_id)
    new = decide(old)
    if new != old:
        households.change_household(connection, old, new)
        announce_household(connection, new, now=now)
    if new.end_time is not None:
        invitations.drop_all_of(connection, household_id)
    return new
