"""Households: who owns one, who is in it, and what they share.

acting is the member who asks, where that is all the caller may speak for; None for an operator.
"""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from services.members.domain import households
from services.members.domain.households import Household, ShareConsent
from services.members.domain.refusals import HouseholdNotFound, NotInHousehold, NotYours
from services.members.domain.requests import Request
from services.members.domain.standing import require_unmerged
from services.members.events import announce_household
from services.members.storage import households as storage
from services.members.storage import members as rows
from services.members.storage import merges, requests
from services.members.usecases.changing import change_household
from services.members.usecases.locking import locked
from services.plumbing.database import transaction


def create_household(
    database: Engine, owner_id: UUID, *, acting: UUID | None, request: Request, now: datetime
) -> Household:
    """Refuses: MemberNotFound, MemberBlocked, MemberMerged, MemberErased, MemberInHousehold,
    RequestIdReused.
    """
    household_id = uuid4()
    with transaction(database) as connection:
        first = requests.note(connection, request, household_id)
        if first is not None:
            return seen_by(connection, first, acting=acting)
        owner = locked(connection, owner_id)
        created = households.create(owner, household_id=household_id, now=now)
        storage.add_household(connection, created)
        announce_household(connection, created, now=now)
    return created


def get_household(database: Engine, household_id: UUID, *, acting: UUID | None) -> Household:
    """Refuses: NotYours, HouseholdNotFound."""
    with transaction(database) as connection:
        return seen_by(connection, household_id, acting=acting)


def leave_household(database: Engine, member_id: UUID, *, request: Request, now: datetime) -> None:
    """Refuses: MemberNotFound, NotInHousehold, OwnerMustHandOver, RequestIdReused."""
    with transaction(database) as connection:
        if requests.note(connection, request, member_id) is None:
            member = locked(connection, member_id)
            change_household(
                connection,
                _household_of(member.standing.household_id),
                lambda household: households.leave(household, member_id, now=now),
                now=now,
            )


def remove_household_member(
    database: Engine,
    household_id: UUID,
    member_id: UUID,
    *,
    acting: UUID | None,
    request: Request,
    now: datetime,
) -> Household:
    """Refuses: NotYours, HouseholdNotFound, NotInHousehold, OwnerMustHandOver, RequestIdReused."""

    def decide(household: Household) -> Household:
        require_owner(household, acting)
        return households.leave(household, member_id, now=now)

    with transaction(database) as connection:
        repeated = requests.note(connection, request, household_id) is not None
        household = seen_by(connection, household_id, acting=acting)
        if repeated:
            return household
        return change_household(connection, household_id, decide, now=now)


def set_share(
    database: Engine, member_id: UUID, points_limit: int, *, request: Request, now: datetime
) -> Household:
    """Refuses: MemberNotFound, MemberBlocked, NotInHousehold, RequestIdReused."""
    with transaction(database) as connection:
        repeated = requests.note(connection, request, member_id) is not None
        member = locked(connection, member_id)
        household_id = _household_of(member.standing.household_id)
        if repeated:
            return storage.read_household(connection, household_id)

        def decide(household: Household) -> Household:
            changed = households.set_share(household, member, points_limit)
            if changed != household:
                said = ShareConsent(household_id, points_limit, now)
                storage.add_consent(connection, member_id, said)
            return changed

        return change_household(connection, household_id, decide, now=now)


def list_share_consents(
    database: Engine, member_id: UUID, *, before: int | None, limit: int
) -> list[tuple[int, ShareConsent]]:
    """What a member, or who is merged into them, ever let others spend, newest first, with places.

    Refuses: MemberNotFound, MemberMerged.
    """
    with transaction(database) as connection:
        require_unmerged(rows.read_member(connection, member_id))
        sources = [source_id for _, source_id in merges.merged_into(connection, [member_id])]
        return storage.consents_before(connection, [member_id, *sources], before, limit=limit)


def hand_over_household(
    database: Engine,
    household_id: UUID,
    member_id: UUID,
    *,
    acting: UUID | None,
    request: Request,
    now: datetime,
) -> Household:
    """Refuses: NotYours, HouseholdNotFound, NotInHousehold, MemberBlocked, RequestIdReused."""
    with transaction(database) as connection:
        repeated = requests.note(connection, request, household_id) is not None
        household = seen_by(connection, household_id, acting=acting)
        if repeated:
            return household
        require_owner(household, acting)
        household.share_of(member_id)
        member = locked(connection, member_id)

        def decide(household: Household) -> Household:
            require_owner(household, acting)
            return households.hand_over(household, member)

        return change_household(connection, household_id, decide, now=now)


def seen_by(connection: Connection, household_id: UUID, *, acting: UUID | None) -> Household:
    """A household for an operator or one of its members. Refuses: NotYours, HouseholdNotFound."""
    try:
        household = storage.read_household(connection, household_id)
    except HouseholdNotFound:
        # Of one that does not exist a member is told no more than of another's.
        if acting is not None:
            raise NotYours from None
        raise
    if acting is not None and not household.has(acting):
        raise NotYours
    return household


def require_owner(household: Household, acting: UUID | None) -> None:
    """Refuses: NotYours."""
    if acting is not None and household.owner_id != acting:
        raise NotYours


def joined(connection: Connection, member_id: UUID) -> Household:
    """The household a member is in. Refuses: MemberNotFound, NotInHousehold."""
    member = rows.read_member(connection, member_id)
    return storage.read_household(connection, _household_of(member.standing.household_id))


def _household_of(household_id: UUID | None) -> UUID:
    if household_id is None:
        raise NotInHousehold
    return household_id
