"""Adjustments by people on their way into the journal: at once, or when a second person agreed."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from services.ledger.domain.basket import MICROS_PER_SECOND
from services.ledger.domain.documents import AdjustPoints, Document
from services.ledger.domain.proposals import Decision, Proposal, adjustment, points_allowed
from services.ledger.shards import Shards
from services.ledger.usecases.proposals import Proposals
from services.plumbing.errors import Refused
from services.plumbing.repeating import Repeating, each

LOOK_EVERY_SECONDS = 5.0
# Who approved applies it meanwhile.
LEFT_ALONE = 5 * MICROS_PER_SECOND
AT_ONCE_MAX = 100

logger = logging.getLogger(__name__)


class Adjusting:
    def __init__(self, shards: Shards, proposals: Proposals, limits: Mapping[str, int]) -> None:
        """limits are the points that each role may give or take alone."""
        self._shards = shards
        self._proposals = proposals
        self._limits = limits

    async def adjust(
        self, asked: AdjustPoints, *, roles: Iterable[str], business_time: int | None
    ) -> Document | Proposal:
        """Post an adjustment, or keep it as a proposal where the roles do not allow as much, alone
        or together with what the same person gave the member of late. Refuses: what the ledger
        refuses, RequestIdReused.
        """
        proposal = await asyncio.to_thread(
            self._proposals.propose,
            asked,
            allowed=points_allowed(roles, self._limits),
            business_time=business_time,
        )
        if proposal is not None:
            return proposal
        try:
            return await self._shards.post_one(asked)
        except Refused as refusal:
            if not refusal.retryable:
                await asyncio.to_thread(self._proposals.forget, asked)
            raise

    async def reject(self, proposal_id: int, decision: Decision) -> Proposal:
        """Refuses: ProposalNotFound, OwnProposal, ProposalDecided, RequestIdReused."""
        return await asyncio.to_thread(self._proposals.decide, proposal_id, decision)

    async def approve(self, proposal_id: int, decision: Decision) -> tuple[Proposal, Document]:
        """Decide first, then apply: what is approved is applied for certain, if need be later by
        ApprovedProposals. Refuses: what reject does, and what the ledger refuses.
        """
        proposal = await asyncio.to_thread(self._proposals.decide, proposal_id, decision)
        return await self.apply(proposal)

    async def apply(self, proposal: Proposal) -> tuple[Proposal, Document]:
        """Post what was approved; again, it answers what it did the first time. A refusal that
        will not pass is noted. Refuses: what the ledger refuses.
        """
        try:
            document = await self._shards.post_one(adjustment(proposal))
        except Refused as refusal:
            if not refusal.retryable:
                await asyncio.to_thread(
                    self._proposals.note_failure, proposal.proposal_id, refusal.reason
                )
            raise
        noted = await asyncio.to_thread(
            self._proposals.note_document, proposal.proposal_id, document.document_id
        )
        return noted, document


class ApprovedProposals:
    """Applies what was approved by a server that died over it; several servers may do so."""

    def __init__(
        self,
        adjusting: Adjusting,
        proposals: Proposals,
        *,
        every_seconds: float = LOOK_EVERY_SECONDS,
    ) -> None:
        self._adjusting = adjusting
        self._proposals = proposals
        repeating = Repeating(
            "approved proposals applied", self.apply, every_seconds=every_seconds, full=AT_ONCE_MAX
        )
        self.close = repeating.close

    async def apply(self, *, older_than: int = LEFT_ALONE) -> int:
        """Apply what was approved and left; answers how many became adjustments."""
        found = await asyncio.to_thread(
            self._proposals.unapplied, older_than=older_than, limit=AT_ONCE_MAX
        )
        return await each(found, self._adjusting.apply, "approved proposals")
