"""MembersService: one use case a call."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from loyalty.members.v1 import members_pb2, members_pb2_grpc

from services.members.domain import identities
from services.members.rpc import messages, names
from services.members.rpc.remembering import remembered
from services.members.usecases import members as usecases
from services.members.usecases import standing
from services.plumbing.auth import current_caller
from services.plumbing.database_work import DatabaseWork
from services.plumbing.pages import next_page_token, page_size, read_page_token

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500


class MembersService(members_pb2_grpc.MembersServiceServicer):
    """Thin: reads the request, does one use case on a database thread, writes the answer."""

    def __init__(self, work: DatabaseWork, clock: Callable[[], datetime]) -> None:
        self._work = work
        self._clock = clock

    async def EnrolMember(
        self, request: members_pb2.EnrolMemberRequest, _context: object
    ) -> members_pb2.EnrolMemberResponse:
        enrolled = await self._work.run(
            usecases.enrol_member,
            messages.read_enrolment(request),
            request_id=UUID(request.request_id),
            now=self._clock(),
        )
        return members_pb2.EnrolMemberResponse(member=messages.member(enrolled))

    async def GetMember(
        self, request: members_pb2.GetMemberRequest, _context: object
    ) -> members_pb2.GetMemberResponse:
        current_caller().require_own(request.name)
        found = await self._work.run(usecases.get_member, names.read_member(request.name))
        return members_pb2.GetMemberResponse(member=messages.member(found))

    async def UpdateMember(
        self, request: members_pb2.UpdateMemberRequest, _context: object
    ) -> members_pb2.UpdateMemberResponse:
        current_caller().require_own(request.member.name)
        fields = messages.read_mask(request)
        updated = await self._work.run(
            usecases.update_member,
            names.read_member(request.member.name),
            messages.read_details(request.member, fields, request.region_code),
            fields,
            etag=request.member.etag,
            now=self._clock(),
        )
        return members_pb2.UpdateMemberResponse(member=messages.member(updated))

    async def ListMembers(
        self, request: members_pb2.ListMembersRequest, _context: object
    ) -> members_pb2.ListMembersResponse:
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        keys = read_page_token(request.page_token, int)
        after = int(keys[0]) if keys else 0
        # One more than the page, to know whether there is another.
        found = await self._work.run(usecases.list_members, after=after, limit=size + 1)
        return members_pb2.ListMembersResponse(
            members=map(messages.member, found[:size]),
            next_page_token=next_page_token(found, size, lambda row: row.sequence),
        )

    async def FindMember(
        self, request: members_pb2.FindMemberRequest, _context: object
    ) -> members_pb2.FindMemberResponse:
        found = await self._work.run(usecases.find_member, messages.read_identity(request))
        return members_pb2.FindMemberResponse(member=messages.member(found))

    async def IssueCard(
        self, request: members_pb2.IssueCardRequest, _context: object
    ) -> members_pb2.IssueCardResponse:
        changed = await self._work.run(
            usecases.issue_card,
            names.read_member(request.member),
            identities.new_card_token(request.card_token),
            now=self._clock(),
        )
        return members_pb2.IssueCardResponse(member=messages.member(changed))

    async def ReplaceCard(
        self, request: members_pb2.ReplaceCardRequest, _context: object
    ) -> members_pb2.ReplaceCardResponse:
        changed = await self._work.run(
            usecases.replace_card,
            identities.issued_card_token(request.old_card_token, field="old_card_token"),
            identities.new_card_token(request.new_card_token, field="new_card_token"),
            now=self._clock(),
        )
        return members_pb2.ReplaceCardResponse(member=messages.member(changed))

    async def BlockCard(
        self, request: members_pb2.BlockCardRequest, _context: object
    ) -> members_pb2.BlockCardResponse:
        changed = await self._work.run(
            usecases.block_card,
            identities.issued_card_token(request.card_token),
            reason=request.reason,
            now=self._clock(),
        )
        return members_pb2.BlockCardResponse(member=messages.member(changed))

    async def RecordConsent(
        self, request: members_pb2.RecordConsentRequest, _context: object
    ) -> members_pb2.RecordConsentResponse:
        current_caller().require_own(request.member)
        recorded = await self._work.run(
            usecases.record_consent,
            names.read_member(request.member),
            messages.read_consent(request.consent, field="consent"),
            now=self._clock(),
        )
        return members_pb2.RecordConsentResponse(consent=messages.consent(recorded))

    async def ListConsents(
        self, request: members_pb2.ListConsentsRequest, _context: object
    ) -> members_pb2.ListConsentsResponse:
        current_caller().require_own(request.member)
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        found = await self._work.run(
            usecases.list_consents,
            names.read_member(request.member),
            before=messages.read_place(request.page_token),
            limit=size + 1,
        )
        last = found[size - 1] if len(found) > size else None
        return members_pb2.ListConsentsResponse(
            consents=(messages.consent(recorded.consent) for recorded in found[:size]),
            next_page_token=messages.place_token(last.consent.time, last.id) if last else "",
        )

    async def BlockMember(
        self, request: members_pb2.BlockMemberRequest, _context: object
    ) -> members_pb2.BlockMemberResponse:
        blocked = await self._work.run(
            standing.block_member,
            names.read_member(request.name),
            reason=request.reason,
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return members_pb2.BlockMemberResponse(member=messages.member(blocked))

    async def UnblockMember(
        self, request: members_pb2.UnblockMemberRequest, _context: object
    ) -> members_pb2.UnblockMemberResponse:
        unblocked = await self._work.run(
            standing.unblock_member,
            names.read_member(request.name),
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return members_pb2.UnblockMemberResponse(member=messages.member(unblocked))

    async def EraseMember(
        self, request: members_pb2.EraseMemberRequest, _context: object
    ) -> members_pb2.EraseMemberResponse:
        erased = await self._work.run(
            standing.erase_member,
            names.read_member(request.name),
            reason=request.reason,
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return members_pb2.EraseMemberResponse(member=messages.member(erased))
