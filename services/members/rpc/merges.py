"""MergeService: one use case a call."""

from collections.abc import Callable
from datetime import datetime

from loyalty.members.v1 import merges_pb2, merges_pb2_grpc

from services.members.domain.merging import Merge
from services.members.domain.names import member_name, merge_name
from services.members.rpc import names
from services.members.rpc.remembering import remembered
from services.members.usecases import merges
from services.plumbing.database_work import DatabaseWork
from services.plumbing.pages import next_page_token, page_size, read_page_token
from services.plumbing.timestamps import timestamp

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500


class MergeService(merges_pb2_grpc.MergeServiceServicer):
    """Thin: reads the request, does one use case on a database thread, writes the answer."""

    def __init__(
        self, work: DatabaseWork, clock: Callable[[], datetime], *, merged_members_max: int
    ) -> None:
        self._work = work
        self._clock = clock
        self._most = merged_members_max

    async def MergeMembers(
        self, request: merges_pb2.MergeMembersRequest, _context: object
    ) -> merges_pb2.MergeMembersResponse:
        merge = await self._work.run(
            merges.merge_members,
            names.read_member(request.source),
            names.read_member(request.target),
            reason=request.reason,
            most=self._most,
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return merges_pb2.MergeMembersResponse(merge=message(merge))

    async def UndoMerge(
        self, request: merges_pb2.UndoMergeRequest, _context: object
    ) -> merges_pb2.UndoMergeResponse:
        merge = await self._work.run(
            merges.undo_merge,
            names.read_merge(request.name),
            request=remembered(request.request_id, request),
            now=self._clock(),
        )
        return merges_pb2.UndoMergeResponse(merge=message(merge))

    async def GetMerge(
        self, request: merges_pb2.GetMergeRequest, _context: object
    ) -> merges_pb2.GetMergeResponse:
        merge = await self._work.run(merges.get_merge, names.read_merge(request.name))
        return merges_pb2.GetMergeResponse(merge=message(merge))

    async def ListMerges(
        self, request: merges_pb2.ListMergesRequest, _context: object
    ) -> merges_pb2.ListMergesResponse:
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        keys = read_page_token(request.page_token, int)
        found = await self._work.run(
            merges.list_merges,
            names.read_member(request.parent),
            before=int(keys[0]) if keys else None,
            limit=size + 1,
        )
        return merges_pb2.ListMergesResponse(
            merges=[message(merge) for _, merge in found[:size]],
            next_page_token=next_page_token(found, size, lambda row: row[0]),
        )


def message(merge: Merge) -> merges_pb2.Merge:
    return merges_pb2.Merge(
        name=merge_name(merge.id),
        source=member_name(merge.source_id),
        target=member_name(merge.target_id),
        reason=merge.reason,
        merge_time=timestamp(merge.merge_time),
        undo_time=timestamp(merge.undo_time) if merge.undo_time else None,
    )
