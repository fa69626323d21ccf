"""Members who spend points together, and how much of their own each lets the others spend."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from services.members.domain.members import Member
from services.members.domain.refusals import (
    HouseholdEnded,
    HouseholdFull,
    MemberInHousehold,
    NotInHousehold,
    OwnerMustHandOver,
)
from services.members.domain.standing import require_active, require_present


@dataclass(frozen=True, slots=True)
class Share:
    """A member of a household, and what the others may spend of that member's points."""

    member_id: UUID
    # What the others know them by.
    given_name: str
    join_time: datetime
    # In any thirty days; zero without the member's consent.
    points_limit: int = 0


@dataclass(frozen=True, slots=True)
class ShareConsent:
    """How much of their points a member let the others of a household spend, from when on."""

    household_id: UUID
    points_limit: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Household:
    id: UUID
    # None where it has ended, as it does when nobody is left.
    owner_id: UUID | None
    # In the order they joined.
    shares: tuple[Share, ...]
    create_time: datetime
    # Grows with every change.
    revision: int = 1
    end_time: datetime | None = None

    def has(self, member_id: UUID) -> bool:
        return any(share.member_id == member_id for share in self.shares)

    def share_of(self, member_id: UUID) -> Share:
        """Refuses: NotInHousehold."""
        for share in self.shares:
            if share.member_id == member_id:
                return share
        raise NotInHousehold


def create(owner: Member, *, household_id: UUID, now: datetime) -> Household:
    """A household of one. Refuses: MemberErased, MemberMerged, MemberBlocked, MemberInHousehold."""
    _require_free(owner)
    return Household(household_id, owner.id, (_share_of(owner, now),), now)


def join(household: Household, member: Member, *, most: int, now: datetime) -> Household:
    """The household with one more, who lets the others spend nothing yet.

    Refuses: MemberErased, MemberMerged, MemberBlocked, MemberInHousehold, HouseholdEnded,
    HouseholdFull.
    """
    _require_free(member)
    require_room(household, most=most)
    return _changed(household, shares=(*household.shares, _share_of(member, now)))


def require_room(household: Household, *, most: int) -> None:
    """Refuses: HouseholdEnded, HouseholdFull."""
    if household.end_time is not None:
        raise HouseholdEnded
    if len(household.shares) >= most:
        raise HouseholdFull(most)


def require_invitable(household: Household, invited: Member, *, most: int) -> None:
    """That a member may be invited. Whether they are in another household is only theirs to know.

    Refuses: HouseholdEnded, HouseholdFull, MemberErased, MemberMerged, MemberInHousehold.
    """
    require_room(household, most=most)
    require_present(invited)
    if household.has(invited.id):
        raise MemberInHousehold


def leave(household: Household, member_id: UUID, *, now: datetime) -> Household:
    """The household without a member, ended where that was the last.

    Refuses: NotInHousehold, OwnerMustHandOver.
    """
    household.share_of(member_id)
    if household.owner_id == member_id and len(household.shares) > 1:
        raise OwnerMustHandOver
    return forget(household, member_id, now=now)


def forget(household: Household, member_id: UUID, *, now: datetime) -> Household:
    """The household without a member who is no more; one who has just left changes nothing. What
    an owner leaves behind goes to whoever has been in it longest.
    """
    left = tuple(share for share in household.shares if share.member_id != member_id)
    if left == household.shares:
        return household
    if not left:
        return _changed(household, shares=(), owner_id=None, end_time=now)
    owner_id = left[0].member_id if household.owner_id == member_id else household.owner_id
    return _changed(household, shares=left, owner_id=owner_id)


def set_share(household: Household, member: Member, points_limit: int) -> Household:
    """The household with another limit of a member's; the same limit changes nothing.

    Refuses: NotInHousehold, MemberErased, MemberMerged, MemberBlocked, unless the limit is zero:
    consent can always be withdrawn.
    """
    share = household.share_of(member.id)
    if share.points_limit == points_limit:
        return household
    if points_limit:
        require_active(member)
    changed = replace(share, points_limit=points_limit)
    return _changed(
        household, shares=tuple(changed if each == share else each for each in household.shares)
    )


def hand_over(household: Household, member: Member) -> Household:
    """The household with another owner, who is in it; the same owner changes nothing.

    Refuses: NotInHousehold, MemberErased, MemberMerged, MemberBlocked.
    """
    household.share_of(member.id)
    if household.owner_id == member.id:
        return household
    require_active(member)
    return _changed(household, owner_id=member.id)


def _require_free(member: Member) -> None:
    require_active(member)
    if member.standing.household_id is not None:
        raise MemberInHousehold


def _share_of(member: Member, now: datetime) -> Share:
    return Share(member.id, member.details.given_name, now)


def _changed(household: Household, **changes: Any) -> Household:
    return replace(household, revision=household.revision + 1, **changes)
