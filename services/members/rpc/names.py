"""Ids out of resources' names, and who asks."""

from uuid import UUID

from services.members.domain.refusals import (
    HouseholdNotFound,
    InvitationNotFound,
    MemberNotFound,
    MergeNotFound,
    NotYours,
)
from services.plumbing.auth import current_caller
from services.plumbing.errors import Missing


def read_id(name: str, *, missing: type[Missing]) -> UUID:
    """The id at the end of a name. Refuses: what is missing, for what can be no name."""
    try:
        return UUID(name.rpartition("/")[2])
    except ValueError:
        raise missing from None


def read_member(name: str) -> UUID:
    """Refuses: MemberNotFound."""
    return read_id(name, missing=MemberNotFound)


def read_merge(name: str) -> UUID:
    """Refuses: MergeNotFound."""
    return read_id(name, missing=MergeNotFound)


def read_household(name: str) -> UUID:
    """Refuses: HouseholdNotFound."""
    return read_id(name, missing=HouseholdNotFound)


def read_invitation(name: str) -> tuple[UUID, UUID]:
    """The household's id and the invitation's. Refuses: InvitationNotFound."""
    household, _, _ = name.partition("/invitations/")
    return (
        read_id(household, missing=InvitationNotFound),
        read_id(name, missing=InvitationNotFound),
    )


def acting_member() -> UUID | None:
    """The member who asks, where that is all the caller may speak for. Refuses: NotYours."""
    caller = current_caller()
    if not caller.own_only:
        return None
    try:
        member_id = read_member(caller.subject)
    except MemberNotFound:
        raise NotYours from None
    if caller.subject != f"members/{member_id}":
        raise NotYours
    return member_id
