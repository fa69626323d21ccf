"""Invitations into households: for one member, or for one who brings a code."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.members.domain.refusals import (
    InvitationEnded,
    InvitationExpired,
    InvitationNotFound,
)

# Without letters and digits that look alike or spell words: people read codes to each other.
ALPHABET = "346789ACDEFHJKMNPRTVWXY"
# 23 to the power of 20 is more than 2 to the power of 90: nobody guesses one.
CODE_LETTERS = 20
GROUP = 5
BETWEEN = re.compile(r"[\s-]+")


class InvitationState(StrEnum):
    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Invitation:
    id: UUID
    household_id: UUID
    # One of the two is None.
    member_id: UUID | None
    code: str | None
    create_time: datetime
    expire_time: datetime
    # As it was left; an open one may have expired.
    state: InvitationState = InvitationState.OPEN

    def state_at(self, now: datetime) -> InvitationState:
        if self.state is InvitationState.OPEN and now >= self.expire_time:
            return InvitationState.EXPIRED
        return self.state


def invite(
    *,
    invitation_id: UUID,
    household_id: UUID,
    member_id: UUID | None,
    code: str,
    life: timedelta,
    now: datetime,
) -> Invitation:
    """An invitation for a member, or where there is none for whoever brings the code."""
    return Invitation(
        id=invitation_id,
        household_id=household_id,
        member_id=member_id,
        code=None if member_id else code,
        create_time=now,
        expire_time=now + life,
    )


def answered(
    invitation: Invitation, member_id: UUID, answer: InvitationState, *, now: datetime
) -> Invitation:
    """The invitation with a member's answer.

    Refuses: InvitationNotFound where it is for somebody else, InvitationEnded, InvitationExpired.
    """
    if invitation.member_id not in (None, member_id):
        raise InvitationNotFound
    return _ended(invitation, answer, now)


def withdrawn(invitation: Invitation, *, now: datetime) -> Invitation:
    """The invitation that the owner took back; one taken back or expired before stays as it is.

    Refuses: InvitationEnded where it was answered.
    """
    if invitation.state_at(now) in (InvitationState.WITHDRAWN, InvitationState.EXPIRED):
        return invitation
    return _ended(invitation, InvitationState.WITHDRAWN, now)


def _ended(invitation: Invitation, state: InvitationState, now: datetime) -> Invitation:
    match invitation.state_at(now):
        case InvitationState.OPEN:
            return replace(invitation, state=state)
        case InvitationState.EXPIRED:
            raise InvitationExpired
        case already:
            raise InvitationEnded(already)


def code_of(letters: str) -> str:
    """Letters drawn from the alphabet, in groups for people."""
    return "-".join(letters[start : start + GROUP] for start in range(0, len(letters), GROUP))


def normalised(code: str) -> str:
    """A code as it is kept, however somebody typed it."""
    return code_of(BETWEEN.sub("", code).upper())
