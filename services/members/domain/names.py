"""What members, merges, households and invitations are called outside of this service."""

from uuid import UUID


def member_name(member_id: UUID) -> str:
    return f"members/{member_id}"


def merge_name(merge_id: UUID) -> str:
    return f"merges/{merge_id}"


def household_name(household_id: UUID) -> str:
    return f"households/{household_id}"


def invitation_name(household_id: UUID, invitation_id: UUID) -> str:
    return f"{household_name(household_id)}/invitations/{invitation_id}"
