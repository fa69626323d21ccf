"""TierService: one use case a call."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from loyalty.tiering.v1 import tiering_pb2, tiering_pb2_grpc

from services.plumbing.auth import current_caller
from services.plumbing.database_work import DatabaseWork
from services.tiering.domain.columns import GrantKind
from services.tiering.events import day_text
from services.tiering.metrics import DAYS_CLOSED
from services.tiering.rpc import messages
from services.tiering.rpc.names import read_day, read_group, read_member, read_optional_day
from services.tiering.usecases import close, grant, read
from services.tiering.usecases.announcing import Announcer
from services.tiering.usecases.grant import Wanted


class Tiers(tiering_pb2_grpc.TierServiceServicer):
    """Thin: reads the request, does one use case on a database thread, writes the answer."""

    def __init__(
        self, work: DatabaseWork, clock: Callable[[], datetime], announcer: Announcer
    ) -> None:
        self._work = work
        self._clock = clock
        self._announcer = announcer

    async def GetMemberTier(
        self, request: tiering_pb2.GetMemberTierRequest, _context: object
    ) -> tiering_pb2.GetMemberTierResponse:
        member, _, group = request.name.partition("/tiers/")
        current_caller().require_own(member)
        found = await self._work.run(
            read.get_member_tier, read_member(member), group, now=self._clock()
        )
        return tiering_pb2.GetMemberTierResponse(
            member_tier=messages.member_tier(request.name, found)
        )

    async def AssignTier(
        self, request: tiering_pb2.AssignTierRequest, _context: object
    ) -> tiering_pb2.AssignTierResponse:
        wanted = Wanted(
            member_id=read_member(request.member),
            group=read_group(request.group),
            tier=request.tier,
            kind=GrantKind.EXACTLY if request.exactly else GrantKind.AT_LEAST,
            reason=request.reason,
            actor=current_caller().subject,
            last_day=read_optional_day(request.last_day, field="last_day"),
        )
        assigned = await self._work.run(
            grant.assign_tier,
            wanted,
            request_id=UUID(request.request_id),
            announcer=self._announcer,
            now=self._clock(),
        )
        return tiering_pb2.AssignTierResponse(assignment=messages.assignment(assigned))

    async def RevokeAssignment(
        self, request: tiering_pb2.RevokeAssignmentRequest, _context: object
    ) -> tiering_pb2.RevokeAssignmentResponse:
        revoked = await self._work.run(
            grant.revoke_assignment,
            int(request.name.removeprefix("assignments/")),
            reason=request.reason,
            revoker=current_caller().subject,
            announcer=self._announcer,
            now=self._clock(),
        )
        return tiering_pb2.RevokeAssignmentResponse(assignment=messages.assignment(revoked))

    async def InviteMember(
        self, request: tiering_pb2.InviteMemberRequest, _context: object
    ) -> tiering_pb2.InviteMemberResponse:
        wanted = Wanted(
            member_id=read_member(request.member),
            group=read_group(request.group),
            tier=request.tier,
            kind=GrantKind.INVITATION,
            reason=request.reason,
            actor=current_caller().subject,
        )
        first_day = await self._work.run(grant.invite_member, wanted, now=self._clock())
        return tiering_pb2.InviteMemberResponse(first_day=day_text(first_day))

    async def SetAudience(
        self, request: tiering_pb2.SetAudienceRequest, _context: object
    ) -> tiering_pb2.SetAudienceResponse:
        members = await self._work.run(
            grant.set_audience,
            request.audience,
            added={read_member(name) for name in request.added_members},
            removed={read_member(name) for name in request.removed_members},
            actor=current_caller().subject,
            now=self._clock(),
        )
        return tiering_pb2.SetAudienceResponse(members=members)

    async def CloseDay(
        self, request: tiering_pb2.CloseDayRequest, _context: object
    ) -> tiering_pb2.CloseDayResponse:
        day = read_day(request.day, field="day")
        found, closed_days = await self._work.run(
            close.close_day, day, announcer=self._announcer, now=self._clock()
        )
        DAYS_CLOSED.inc(closed_days)
        return tiering_pb2.CloseDayResponse(
            day=messages.business_day(day, found.closed, found.documents)
        )

    async def GetDay(
        self, request: tiering_pb2.GetDayRequest, _context: object
    ) -> tiering_pb2.GetDayResponse:
        day = read_day(request.day, field="day")
        found = await self._work.run(close.read_day, day)
        first_open_day = await self._work.run(close.first_open_day)
        return tiering_pb2.GetDayResponse(
            day=messages.business_day(day, found.closed, found.documents),
            first_open_day=messages.optional_day(first_open_day),
        )
