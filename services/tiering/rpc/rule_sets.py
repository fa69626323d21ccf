"""RuleSetService: one use case a call."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from loyalty.tiering.v1 import rules_pb2, rules_pb2_grpc

from services.plumbing.auth import current_caller
from services.plumbing.database_work import DatabaseWork
from services.plumbing.pages import next_page_token, page_size, read_page_token
from services.tiering.preview_process import PreviewProcesses
from services.tiering.rpc import messages, preview_messages
from services.tiering.rpc.names import (
    preview_name,
    read_day,
    read_group,
    read_optional_day,
    read_preview,
    read_rule_set,
)
from services.tiering.rpc.rules import read_rules
from services.tiering.usecases import drafts, preview, publish
from services.tiering.usecases.announcing import Announcer
from services.tiering.usecases.publish import Publication

PAGE_SIZE = 20
PAGE_SIZE_MAX = 100
MOVERS_PAGE_SIZE = 100
MOVERS_PAGE_SIZE_MAX = 1_000
DIRECTIONS = {
    rules_pb2.ListPreviewMoversRequest.DIRECTION_UNSPECIFIED: (-1, 0, 1),
    rules_pb2.ListPreviewMoversRequest.DIRECTION_UP: (1,),
    rules_pb2.ListPreviewMoversRequest.DIRECTION_DOWN: (-1,),
}
# Above every version; the column is an integer.
NEWEST = 2**31 - 1


class RuleSets(rules_pb2_grpc.RuleSetServiceServicer):
    """Thin: reads the request, does one use case on a database thread, writes the answer."""

    def __init__(
        self,
        work: DatabaseWork,
        clock: Callable[[], datetime],
        announcer: Announcer,
        previews: PreviewProcesses,
        *,
        demoted_share_max: Decimal,
    ) -> None:
        self._work = work
        self._clock = clock
        self._announcer = announcer
        self._previews = previews
        self._demoted_share_max = demoted_share_max

    async def CreateDraft(
        self, request: rules_pb2.CreateDraftRequest, _context: object
    ) -> rules_pb2.CreateDraftResponse:
        created = await self._work.run(
            drafts.create_draft,
            read_group(request.group),
            read_rules(request.rules),
            request_id=UUID(request.request_id),
            creator=current_caller().subject,
            now=self._clock(),
        )
        return rules_pb2.CreateDraftResponse(rule_set=messages.rule_set(created))

    async def UpdateDraft(
        self, request: rules_pb2.UpdateDraftRequest, _context: object
    ) -> rules_pb2.UpdateDraftResponse:
        updated = await self._work.run(
            drafts.update_draft,
            read_rule_set(request.name),
            read_rules(request.rules),
            etag=request.etag,
        )
        return rules_pb2.UpdateDraftResponse(rule_set=messages.rule_set(updated))

    async def GetRuleSet(
        self, request: rules_pb2.GetRuleSetRequest, _context: object
    ) -> rules_pb2.GetRuleSetResponse:
        found = await self._work.run(drafts.get_rule_set, read_rule_set(request.name))
        return rules_pb2.GetRuleSetResponse(rule_set=messages.rule_set(found))

    async def ListRuleSets(
        self, request: rules_pb2.ListRuleSetsRequest, _context: object
    ) -> rules_pb2.ListRuleSetsResponse:
        size = page_size(request.page_size, default=PAGE_SIZE, most=PAGE_SIZE_MAX)
        keys = read_page_token(request.page_token, int)
        # One more than the page, to know whether there is another.
        found = await self._work.run(
            drafts.list_rule_sets,
            read_group(request.parent),
            below=min(int(keys[0]), NEWEST) if keys else NEWEST,
            limit=size + 1,
        )
        return rules_pb2.ListRuleSetsResponse(
            rule_sets=map(messages.rule_set, found[:size]),
            next_page_token=next_page_token(found, size, lambda row: row.version),
        )

    async def PublishRuleSet(
        self, request: rules_pb2.PublishRuleSetRequest, _context: object
    ) -> rules_pb2.PublishRuleSetResponse:
        published = await self._work.run(
            publish.publish_rule_set,
            Publication(
                name=read_rule_set(request.name),
                etag=request.etag,
                effective_day=read_day(request.effective_day, field="effective_day"),
                replay_from_day=read_optional_day(request.replay_from_day, field="replay_from_day"),
                publisher=current_caller().subject,
                reason=request.reason,
                confirmed_demoted_share=Decimal(request.confirmed_demoted_share or "0"),
            ),
            demoted_share_max=self._demoted_share_max,
            announcer=self._announcer,
            now=self._clock(),
        )
        return rules_pb2.PublishRuleSetResponse(rule_set=messages.rule_set(published))

    async def RetireRuleSet(
        self, request: rules_pb2.RetireRuleSetRequest, _context: object
    ) -> rules_pb2.RetireRuleSetResponse:
        retired = await self._work.run(
            drafts.retire_rule_set,
            read_rule_set(request.name),
            reason=request.reason,
            retirer=current_caller().subject,
            now=self._clock(),
        )
        return rules_pb2.RetireRuleSetResponse(rule_set=messages.rule_set(retired))

    async def PreviewRules(
        self, request: rules_pb2.PreviewRulesRequest, _context: object
    ) -> AsyncIterator[rules_pb2.PreviewRulesResponse]:
        if request.WhichOneof("start") == "preview":
            preview_id = await self._begin(request.preview)
        else:
            preview_id = read_preview(request.resumed_preview)
        said = await self._progress(preview_id)
        yield rules_pb2.PreviewRulesResponse(progress=said)
        async with aclosing(self._previews.run(preview_id)) as turns:
            async for _ in turns:
                now = await self._progress(preview_id)
                if now != said:
                    said = now
                    yield rules_pb2.PreviewRulesResponse(progress=said)
        result = await self._work.run(preview.read_preview, preview_id)
        yield rules_pb2.PreviewRulesResponse(preview=preview_messages.preview(result))

    async def _begin(self, start: rules_pb2.PreviewStart) -> UUID:
        wanted = preview.Wanted(
            rule_set=read_rule_set(start.rule_set),
            effective_day=read_optional_day(start.effective_day, field="preview.effective_day"),
            replay_from_day=read_optional_day(
                start.replay_from_day, field="preview.replay_from_day"
            ),
            point_value_minor=Decimal(start.point_value_minor or "1"),
            creator=current_caller().subject,
        )
        return await self._work.run(preview.begin_preview, wanted, now=self._clock())

    async def _progress(self, preview_id: UUID) -> rules_pb2.PreviewProgress:
        done, members = await self._work.run(preview.read_progress, preview_id)
        return rules_pb2.PreviewProgress(
            preview=preview_name(preview_id), members_done=done, members=members
        )

    async def GetPreview(
        self, request: rules_pb2.GetPreviewRequest, _context: object
    ) -> rules_pb2.GetPreviewResponse:
        result = await self._work.run(preview.read_preview, read_preview(request.name))
        return rules_pb2.GetPreviewResponse(preview=preview_messages.preview(result))

    async def ListPreviewMovers(
        self, request: rules_pb2.ListPreviewMoversRequest, _context: object
    ) -> rules_pb2.ListPreviewMoversResponse:
        size = page_size(request.page_size, default=MOVERS_PAGE_SIZE, most=MOVERS_PAGE_SIZE_MAX)
        keys = read_page_token(request.page_token, int)
        found = await self._work.run(
            preview.list_movers,
            read_preview(request.parent),
            after=min(int(keys[0]), NEWEST) if keys else 0,
            directions=DIRECTIONS[request.direction],
            limit=size + 1,
        )
        return rules_pb2.ListPreviewMoversResponse(
            movers=map(preview_messages.mover, found[:size]),
            next_page_token=next_page_token(found, size, lambda row: row.number),
        )
