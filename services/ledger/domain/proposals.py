"""Adjustments by people: whom their roles allow how much, and what a second person decides. Pure;
time is an argument.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from services.ledger.domain.documents import AdjustPoints
from services.ledger.domain.policy import PointKind
from services.ledger.domain.refusals import OwnProposal, ProposalDecided, RequestIdReused

# Stands for whoever may adjust points at all.
ANY_ROLE = "*"


class ProposalState(enum.IntEnum):
    OPEN = 1
    # Decided; without a document for as long as it takes to apply it.
    APPROVED = 2
    REJECTED = 3
    # Approved, and refused by the ledger.
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Decision:
    """What a second person says to a proposal. body_hash tells another body under the same
    request_id.
    """

    request_id: str
    body_hash: str
    state: ProposalState
    decider: str
    note: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """An adjustment above what its proposer's roles allow. business_time is None where it is to be
    that of the approval.
    """

    proposal_id: int
    wallet_id: int
    request_id: str
    body_hash: str
    points: int
    kind: PointKind
    business_time: int | None
    propose_time: int
    proposer: str
    reason: str
    reference: str
    state: ProposalState = ProposalState.OPEN
    decider: str = ""
    decide_time: int | None = None
    decide_request_id: str = ""
    decide_body_hash: str = ""
    note: str = ""
    document_id: int = 0
    failure: str = ""


def points_allowed(roles: Iterable[str], limits: Mapping[str, int]) -> int:
    """How many points whoever has these roles may give or take alone: the most of any of them."""
    return max((limits[role] for role in (*roles, ANY_ROLE) if role in limits), default=0)


def within(points: int, before: int, allowed: int) -> bool:
    """Whether a person may give or take so many points alone who gave others before, less what
    they took: neither at once nor together more than is allowed.
    """
    return abs(points) <= allowed and abs(before + points) <= allowed


def decided(proposal: Proposal, decision: Decision, now: int) -> Proposal:
    """A proposal as a decision leaves it; the same decision again changes nothing. Refuses:
    OwnProposal, ProposalDecided, RequestIdReused.
    """
    if decision.decider == proposal.proposer:
        raise OwnProposal("whoever proposed it cannot decide it")
    if proposal.state is ProposalState.OPEN:
        return replace(
            proposal,
            state=decision.state,
            decider=decision.decider,
            decide_time=now,
            decide_request_id=decision.request_id,
            decide_body_hash=decision.body_hash,
            note=decision.note,
        )
    if proposal.decide_request_id != decision.request_id:
        raise ProposalDecided(
            f"it is {proposal.state.name.lower()} already", state=proposal.state.name
        )
    if proposal.decide_body_hash != decision.body_hash:
        raise RequestIdReused("the request_id was used for another decision before")
    return proposal


def adjustment(proposal: Proposal) -> AdjustPoints:
    """What an approved proposal asks of the ledger: posted under the request that proposed it, so
    once, whoever asks and however often.
    """
    business_time = proposal.business_time
    return AdjustPoints(
        proposal.wallet_id,
        proposal.request_id,
        proposal.body_hash,
        proposal.kind,
        proposal.points,
        proposal.reason,
        f"{proposal.proposer}; approved by {proposal.decider}",
        business_time if business_time is not None else proposal.decide_time or 0,
        proposal.reference,
    )
