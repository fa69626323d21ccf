"""HouseholdService: one use case a call."""

from collections.abc import Callable
from datetime import datetime

from loyalty.members.v1 import households_pb2 as pb
from loyalty.members.v1 import households_pb2_grpc

from services.members.rpc import household_messages as messages
from services.members.rpc import names
from services.members.rpc.remembering import remembered
from services.members.usecases import households, invitations
from services.members.usecases.invitations import Limits
from services.plumbing.auth import current_caller
from services.plumbing.database_work import DatabaseWork
from services.plumbing.pages import next_page_token, page_size, read_page_token

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500


class HouseholdService(households_pb2_grpc.HouseholdServiceServicer):
    """Thin: reads the request, does one use case on a database thread, writes the answer.

    What only the owner may do is refused by the use case, which knows who that is.
    """

    def __init__(
        self, work: DatabaseWork, clock: Callable[[], datetime], *, limits: Limits
    ) -> None:
        self._work = work
        self._clock = clock
        self._limits = limits

    async def CreateHousehold(
        self, request: pb.CreateHouseholdRequest, _context: object
    ) -> pb.CreateHouseholdResponse:
        current_caller().require_own(request.owner)
        created = await self._work.run(
            households.create_household,
            names.read_member(request.owner),
            acting=names.acting_member(),
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return pb.CreateHouseholdResponse(household=messages.household(created))

    async def GetHousehold(
        self, request: pb.GetHouseholdRequest, _context: object
    ) -> pb.GetHouseholdResponse:
        acting = names.acting_member()
        found = await self._work.run(
            households.get_household, names.read_household(request.name), acting=acting
        )
        return pb.GetHouseholdResponse(household=messages.household(found))

    async def CreateInvitation(
        self, request: pb.CreateInvitationRequest, _context: object
    ) -> pb.CreateInvitationResponse:
        acting = names.acting_member()
        now = self._clock()
        invitation = await self._work.run(
            invitations.create_invitation,
            names.read_household(request.household),
            names.read_member(request.member) if request.member else None,
            acting=acting,
            limits=self._limits,
            request=remembered(request.request_id, request),
            now=now,
        )
        return pb.CreateInvitationResponse(invitation=messages.invitation(invitation, now=now))

    async def AcceptInvitation(
        self, request: pb.AcceptInvitationRequest, _context: object
    ) -> pb.AcceptInvitationResponse:
        current_caller().require_own(request.member)
        by_name = request.WhichOneof("key") == "invitation"
        joined = await self._work.run(
            invitations.accept_invitation,
            names.read_member(request.member),
            names.read_invitation(request.invitation)[1] if by_name else request.code,
            limits=self._limits,
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return pb.AcceptInvitationResponse(household=messages.household(joined))

    async def DeclineInvitation(
        self, request: pb.DeclineInvitationRequest, _context: object
    ) -> pb.DeclineInvitationResponse:
        current_caller().require_own(request.member)
        now = self._clock()
        declined = await self._work.run(
            invitations.decline_invitation,
            names.read_member(request.member),
            names.read_invitation(request.invitation)[1],
            request=remembered(request.request_id, request),
            now=now,
        )
        return pb.DeclineInvitationResponse(invitation=messages.invitation(declined, now=now))

    async def WithdrawInvitation(
        self, request: pb.WithdrawInvitationRequest, _context: object
    ) -> pb.WithdrawInvitationResponse:
        acting = names.acting_member()
        now = self._clock()
        household_id, invitation_id = names.read_invitation(request.invitation)
        withdrawn = await self._work.run(
            invitations.withdraw_invitation,
            household_id,
            invitation_id,
            acting=acting,
            request=remembered(request.request_id, request),
            now=now,
        )
        return pb.WithdrawInvitationResponse(invitation=messages.invitation(withdrawn, now=now))

    async def ListInvitations(
        self, request: pb.ListInvitationsRequest, _context: object
    ) -> pb.ListInvitationsResponse:
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        keys = read_page_token(request.page_token, int)
        before = int(keys[0]) if keys else None
        now = self._clock()
        if request.parent.startswith("members/"):
            current_caller().require_own(request.parent)
            found = await self._work.run(
                invitations.list_invitations_for,
                names.read_member(request.parent),
                before=before,
                limit=size + 1,
                now=now,
            )
        else:
            found = await self._work.run(
                invitations.list_invitations_into,
                names.read_household(request.parent),
                acting=names.acting_member(),
                before=before,
                limit=size + 1,
                now=now,
            )
        return pb.ListInvitationsResponse(
            invitations=[messages.invitation(each, now=now) for _, each in found[:size]],
            next_page_token=next_page_token(found, size, lambda row: row[0]),
        )

    async def LeaveHousehold(
        self, request: pb.LeaveHouseholdRequest, _context: object
    ) -> pb.LeaveHouseholdResponse:
        current_caller().require_own(request.member)
        await self._work.run(
            households.leave_household,
            names.read_member(request.member),
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return pb.LeaveHouseholdResponse()

    async def RemoveHouseholdMember(
        self, request: pb.RemoveHouseholdMemberRequest, _context: object
    ) -> pb.RemoveHouseholdMemberResponse:
        acting = names.acting_member()
        changed = await self._work.run(
            households.remove_household_member,
            names.read_household(request.household),
            names.read_member(request.member),
            acting=acting,
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return pb.RemoveHouseholdMemberResponse(household=messages.household(changed))

    async def SetShare(self, request: pb.SetShareRequest, _context: object) -> pb.SetShareResponse:
        current_caller().require_own(request.member)
        changed = await self._work.run(
            households.set_share,
            names.read_member(request.member),
            request.points_limit,
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return pb.SetShareResponse(household=messages.household(changed))

    async def ListShareConsents(
        self, request: pb.ListShareConsentsRequest, _context: object
    ) -> pb.ListShareConsentsResponse:
        current_caller().require_own(request.parent)
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        keys = read_page_token(request.page_token, int)
        found = await self._work.run(
            households.list_share_consents,
            names.read_member(request.parent),
            before=int(keys[0]) if keys else None,
            limit=size + 1,
        )
        return pb.ListShareConsentsResponse(
            share_consents=[messages.share_consent(said) for _, said in found[:size]],
            next_page_token=next_page_token(found, size, lambda row: row[0]),
        )

    async def HandOverHousehold(
        self, request: pb.HandOverHouseholdRequest, _context: object
    ) -> pb.HandOverHouseholdResponse:
        acting = names.acting_member()
        changed = await self._work.run(
            households.hand_over_household,
            names.read_household(request.household),
            names.read_member(request.member),
            acting=acting,
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return pb.HandOverHouseholdResponse(household=messages.household(changed))
