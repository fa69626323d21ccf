"""Adjustments above a limit: kept as proposals, decided once, by another person."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine

from services.ledger.domain.documents import AdjustPoints
from services.ledger.domain.point_life import MICROS_PER_DAY
from services.ledger.domain.proposals import (
    Decision,
    Proposal,
    ProposalState,
    decided,
    within,
)
from services.ledger.domain.refusals import ProposalNotFound, RequestIdReused
from services.ledger.storage import directory, given_alone, journal, merges
from services.ledger.storage import proposals as stored
from services.ledger.storage.shards import count, schema, shard_of
from services.plumbing.database import transaction

REUSED = "the request_id was used for another request before"


@dataclass(frozen=True, slots=True)
class Proposals:
    """clock answers microseconds since 1970-01-01 UTC; window is how many of them what a person
    gave the same member alone counts together.
    """

    engine: Engine
    clock: Callable[[], int]
    window: int = MICROS_PER_DAY

    def propose(
        self, asked: AdjustPoints, *, allowed: int, business_time: int | None
    ) -> Proposal | None:
        """The proposal that a request is kept as, or was; None where its caller may do it alone,
        which is noted, or the journal has it: limits may have changed since it was first sent.
        Refuses: RequestIdReused.
        """
        with transaction(self.engine) as connection:
            found = stored.of_request(connection, asked.wallet_id, asked.request_id)
            if found is None:
                if self._alone(connection, asked, allowed):
                    return None
                found = stored.add(
                    connection, asked, business_time=business_time, now=self.clock()
                ) or stored.of_request(connection, asked.wallet_id, asked.request_id)
        if found is None or found.body_hash != asked.body_hash:
            raise RequestIdReused(REUSED)
        return found

    def _alone(self, connection: Connection, asked: AdjustPoints, allowed: int) -> bool:
        """Whether a person may do what they ask for alone; if so, it is noted. Refuses:
        RequestIdReused.
        """
        where = schema(shard_of(asked.wallet_id, count(connection)))
        wallets = [asked.wallet_id]
        if journal.wallet_of_request(connection, where, wallets, asked.request_id):
            return True
        owner = directory.owner_of(connection, asked.wallet_id)
        if owner is not None:
            root = merges.root_of(connection, owner)
            wallets = directory.wallets_of_member(connection, root)
        given_alone.lock(connection, asked.actor, min(wallets))
        noted = given_alone.body_of(connection, asked.wallet_id, asked.request_id)
        if noted is not None:
            if noted != asked.body_hash:
                raise RequestIdReused(REUSED)
            return True
        now = self.clock()
        since = now - self.window
        before = given_alone.points_since(connection, wallets, asked, since=since)
        if not within(asked.points, before, allowed):
            return False
        given_alone.add(connection, asked, now=now, since=since)
        return True

    def forget(self, asked: AdjustPoints) -> None:
        """What was to be given alone was refused: it counts no longer."""
        with transaction(self.engine) as connection:
            given_alone.remove(connection, asked)

    def decide(self, proposal_id: int, decision: Decision) -> Proposal:
        """Refuses: ProposalNotFound, OwnProposal, ProposalDecided, RequestIdReused."""
        with transaction(self.engine) as connection:
            proposal = stored.lock(connection, proposal_id)
            if proposal is None:
                raise ProposalNotFound("there is no such proposal")
            settled = decided(proposal, decision, self.clock())
            if settled is not proposal:
                stored.keep(connection, settled)
        return settled

    def note_document(self, proposal_id: int, document_id: int) -> Proposal:
        """Note what an approved proposal became in the journal."""
        return self._note(proposal_id, document_id=document_id)

    def note_failure(self, proposal_id: int, reason: str) -> Proposal:
        """Note the refusal an approved proposal ended with."""
        return self._note(proposal_id, state=ProposalState.FAILED, failure=reason)

    def _note(self, proposal_id: int, **changes: object) -> Proposal:
        with transaction(self.engine) as connection:
            proposal = stored.lock(connection, proposal_id)
            if proposal is None:
                raise ProposalNotFound("there is no such proposal")
            if proposal.state is ProposalState.APPROVED and not proposal.document_id:
                proposal = replace(proposal, **changes)  # type: ignore[arg-type]
                stored.keep(connection, proposal)
        return proposal

    def unapplied(self, *, older_than: int, limit: int) -> list[Proposal]:
        """Approved proposals that nobody applied in so many microseconds."""
        with transaction(self.engine) as connection:
            return stored.unapplied(connection, until=self.clock() - older_than, limit=limit)

    def page(
        self, *, state: ProposalState | None, proposer: str | None, before: int, limit: int
    ) -> list[Proposal]:
        with transaction(self.engine) as connection:
            return stored.page(
                connection, state=state, proposer=proposer, before=before, limit=limit
            )
