"""Households and invitations to messages."""

from datetime import datetime

from loyalty.members.v1 import households_pb2

from services.members.domain.households import Household, ShareConsent
from services.members.domain.invitations import Invitation, InvitationState
from services.members.domain.names import household_name, invitation_name, member_name
from services.plumbing.timestamps import timestamp

INVITATION_STATES = {
    InvitationState.OPEN: households_pb2.Invitation.STATE_OPEN,
    InvitationState.ACCEPTED: households_pb2.Invitation.STATE_ACCEPTED,
    InvitationState.DECLINED: households_pb2.Invitation.STATE_DECLINED,
    InvitationState.WITHDRAWN: households_pb2.Invitation.STATE_WITHDRAWN,
    InvitationState.EXPIRED: households_pb2.Invitation.STATE_EXPIRED,
}


def household(found: Household) -> households_pb2.Household:
    return households_pb2.Household(
        name=household_name(found.id),
        owner=member_name(found.owner_id) if found.owner_id else "",
        members=[
            households_pb2.HouseholdMember(
                member=member_name(share.member_id),
                given_name=share.given_name,
                points_limit=share.points_limit,
                join_time=timestamp(share.join_time),
            )
            for share in found.shares
        ],
        revision=found.revision,
        create_time=timestamp(found.create_time),
        end_time=timestamp(found.end_time) if found.end_time else None,
    )


def share_consent(said: ShareConsent) -> households_pb2.ShareConsent:
    return households_pb2.ShareConsent(
        household=household_name(said.household_id),
        points_limit=said.points_limit,
        time=timestamp(said.time),
    )


def invitation(found: Invitation, *, now: datetime) -> households_pb2.Invitation:
    return households_pb2.Invitation(
        name=invitation_name(found.household_id, found.id),
        member=member_name(found.member_id) if found.member_id else "",
        code=found.code or "",
        state=INVITATION_STATES[found.state_at(now)],
        create_time=timestamp(found.create_time),
        expire_time=timestamp(found.expire_time),
    )
