"""Invitations into households, and what becomes of them.

acting is the member who asks, where that is all the caller may speak for; None for an operator.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from services.members.domain import households, invitations
from services.members.domain.households import Household
from services.members.domain.invitations import Invitation, InvitationState
from services.members.domain.refusals import (
    AlreadyInvited,
    InvitationNotFound,
    TooManyInvitations,
)
from services.members.domain.requests import Request
from services.members.domain.standing import require_unmerged
from services.members.storage import households as households_stored
from services.members.storage import invitations as storage
from services.members.storage import members as rows
from services.members.storage import requests
from services.members.usecases.changing import change_household
from services.members.usecases.households import joined, require_owner, seen_by
from services.members.usecases.locking import locked
from services.plumbing.database import transaction


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds households and the invitations into them."""

    members_most: int
    invitations_most: int
    invitation_life: timedelta


def create_invitation(
    database: Engine,
    household_id: UUID,
    member_id: UUID | None,
    *,
    acting: UUID | None,
    limits: Limits,
    request: Request,
    now: datetime,
) -> Invitation:
    """Invite a member, or whoever brings the code that is made.

    Refuses: NotYours, HouseholdNotFound, HouseholdEnded, HouseholdFull, TooManyInvitations,
    AlreadyInvited, MemberInHousehold, MemberNotFound, MemberMerged, MemberErased, RequestIdReused.
    """
    invitation = invitations.invite(
        invitation_id=uuid4(),
        household_id=household_id,
        member_id=member_id,
        code=new_code(),
        life=limits.invitation_life,
        now=now,
    )
    with transaction(database) as connection:
        first = requests.note(connection, request, invitation.id)
        require_owner(seen_by(connection, household_id, acting=acting), acting)
        if first is not None:
            return storage.read_invitation(connection, first)
        invited = None if member_id is None else locked(connection, member_id)
        household = households_stored.lock_household(connection, household_id)
        require_owner(household, acting)
        if invited is None:
            households.require_room(household, most=limits.members_most)
        else:
            households.require_invitable(household, invited, most=limits.members_most)
        storage.drop_ended(connection, household_id, member_id, now=now)
        count, again = storage.open_invitations(connection, household_id, member_id, now=now)
        if again:
            raise AlreadyInvited
        if count >= limits.invitations_most:
            raise TooManyInvitations(limits.invitations_most)
        storage.add_invitation(connection, invitation)
    return invitation


def new_code() -> str:
    letters = (secrets.choice(invitations.ALPHABET) for _ in range(invitations.CODE_LETTERS))
    return invitations.code_of("".join(letters))


def accept_invitation(
    database: Engine,
    member_id: UUID,
    key: UUID | str,
    *,
    limits: Limits,
    request: Request,
    now: datetime,
) -> Household:
    """Join by an invitation's id or its code; asked again, the household the member is in.

    Refuses: MemberNotFound, MemberBlocked, MemberMerged, MemberErased, MemberInHousehold,
    InvitationNotFound, InvitationEnded, InvitationExpired, HouseholdFull, RequestIdReused.
    """
    with transaction(database) as connection:
        if requests.note(connection, request, member_id) is not None:
            return joined(connection, member_id)
        member = locked(connection, member_id)
        invitation = _invitation(connection, key)

        def decide(household: Household) -> Household:
            offered = storage.lock_invitation(connection, invitation.id)
            accepted = invitations.answered(offered, member_id, InvitationState.ACCEPTED, now=now)
            storage.change_invitation(connection, accepted)
            return households.join(household, member, most=limits.members_most, now=now)

        return change_household(connection, invitation.household_id, decide, now=now)


def decline_invitation(
    database: Engine, member_id: UUID, invitation_id: UUID, *, request: Request, now: datetime
) -> Invitation:
    """Refuses: InvitationNotFound, InvitationEnded, InvitationExpired, RequestIdReused."""
    with transaction(database) as connection:
        if requests.note(connection, request, invitation_id) is not None:
            return storage.read_invitation(connection, invitation_id)
        invitation = storage.lock_invitation(connection, invitation_id)
        if invitation.member_id is None:
            # It is for nobody yet, so nobody can decline it.
            raise InvitationNotFound
        declined = invitations.answered(invitation, member_id, InvitationState.DECLINED, now=now)
        storage.change_invitation(connection, declined)
    return declined


def withdraw_invitation(
    database: Engine,
    household_id: UUID,
    invitation_id: UUID,
    *,
    acting: UUID | None,
    request: Request,
    now: datetime,
) -> Invitation:
    """Refuses: NotYours, HouseholdNotFound, InvitationNotFound, InvitationEnded,
    RequestIdReused.
    """
    with transaction(database) as connection:
        repeated = requests.note(connection, request, invitation_id) is not None
        require_owner(seen_by(connection, household_id, acting=acting), acting)
        invitation = storage.lock_invitation(connection, invitation_id)
        if invitation.household_id != household_id:
            raise InvitationNotFound
        if repeated:
            return invitation
        withdrawn = invitations.withdrawn(invitation, now=now)
        storage.change_invitation(connection, withdrawn)
    return withdrawn


def list_invitations_for(
    database: Engine, member_id: UUID, *, before: int | None, limit: int, now: datetime
) -> list[tuple[int, Invitation]]:
    """The open invitations for a member, newest first, with their places.

    Refuses: MemberNotFound, MemberMerged.
    """
    with transaction(database) as connection:
        require_unmerged(rows.read_member(connection, member_id))
        return storage.open_before(connection, "member_id", member_id, before, now=now, limit=limit)


def list_invitations_into(
    database: Engine,
    household_id: UUID,
    *,
    acting: UUID | None,
    before: int | None,
    limit: int,
    now: datetime,
) -> list[tuple[int, Invitation]]:
    """The open invitations into a household, newest first, with their places.

    Refuses: NotYours, HouseholdNotFound.
    """
    with transaction(database) as connection:
        require_owner(seen_by(connection, household_id, acting=acting), acting)
        return storage.open_before(
            connection, "household_id", household_id, before, now=now, limit=limit
        )


def _invitation(connection: Connection, key: UUID | str) -> Invitation:
    if isinstance(key, str):
        return storage.invitation_of_code(connection, invitations.normalised(key))
    return storage.read_invitation(connection, key)
