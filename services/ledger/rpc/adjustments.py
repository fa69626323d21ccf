"""What the second person calls: proposals, approved or rejected."""

import asyncio

from loyalty.ledger.v1 import adjustments_pb2, adjustments_pb2_grpc

from services.ledger.adjusting import Adjusting
from services.ledger.answers import point_kind
from services.ledger.domain.proposals import Decision, Proposal, ProposalState
from services.ledger.rpc import messages, names
from services.ledger.usecases.proposals import Proposals
from services.plumbing.auth import current_caller
from services.plumbing.grpc_calls import Context
from services.plumbing.pages import (
    WHOLE_NUMBER_MAX,
    next_page_token,
    page_size,
    read_page_token,
)

APPROVED, REJECTED = ProposalState.APPROVED, ProposalState.REJECTED


class Adjustments(adjustments_pb2_grpc.AdjustmentServiceServicer):
    def __init__(self, adjusting: Adjusting, proposals: Proposals) -> None:
        self._adjusting = adjusting
        self._proposals = proposals

    async def ApproveAdjustment(
        self,
        request: adjustments_pb2.ApproveAdjustmentRequest,
        context: Context,  # noqa: ARG002
    ) -> adjustments_pb2.ApproveAdjustmentResponse:
        proposal_id = names.read_proposal_name(request.proposal)
        proposal, document = await self._adjusting.approve(
            proposal_id, read_decision(request, proposal_id, APPROVED)
        )
        return adjustments_pb2.ApproveAdjustmentResponse(
            proposal=write_proposal(proposal), balance=messages.write_balance(document.balance)
        )

    async def RejectAdjustment(
        self,
        request: adjustments_pb2.RejectAdjustmentRequest,
        context: Context,  # noqa: ARG002
    ) -> adjustments_pb2.RejectAdjustmentResponse:
        proposal_id = names.read_proposal_name(request.proposal)
        proposal = await self._adjusting.reject(
            proposal_id, read_decision(request, proposal_id, REJECTED)
        )
        return adjustments_pb2.RejectAdjustmentResponse(proposal=write_proposal(proposal))

    async def ListProposals(
        self,
        request: adjustments_pb2.ListProposalsRequest,
        context: Context,  # noqa: ARG002
    ) -> adjustments_pb2.ListProposalsResponse:
        size = page_size(request.page_size, default=50, most=500)
        keys = read_page_token(request.page_token, int)
        caller = current_caller()
        found = await asyncio.to_thread(
            self._proposals.page,
            state=ProposalState(request.state) if request.state else None,
            proposer=caller.subject if caller.own_only else None,
            before=int(keys[0]) if keys else WHOLE_NUMBER_MAX,
            limit=size + 1,
        )
        page = found[:size]
        return adjustments_pb2.ListProposalsResponse(
            proposals=[write_proposal(proposal) for proposal in page],
            next_page_token=next_page_token(found, size, lambda proposal: proposal.proposal_id),
        )


def read_decision(
    request: adjustments_pb2.ApproveAdjustmentRequest | adjustments_pb2.RejectAdjustmentRequest,
    proposal_id: int,
    state: ProposalState,
) -> Decision:
    decider = current_caller().subject
    return Decision(
        request.request_id.lower(),
        names.body_hash(state.name, str(proposal_id), request.note, decider),
        state,
        decider,
        request.note,
    )


def write_proposal(proposal: Proposal) -> adjustments_pb2.Proposal:
    document_id = proposal.document_id
    return adjustments_pb2.Proposal(
        name=names.proposal_name(proposal.proposal_id),
        state=adjustments_pb2.Proposal.State.ValueType(proposal.state.value),
        wallet=f"wallets/{proposal.wallet_id}",
        points=proposal.points,
        kind=point_kind(proposal.kind),
        reason=proposal.reason,
        reference=proposal.reference,
        proposer=proposal.proposer,
        decider=proposal.decider,
        propose_time=messages.timestamp(proposal.propose_time),
        decide_time=messages.optional_timestamp(proposal.decide_time),
        note=proposal.note,
        entry=names.entry_name(proposal.wallet_id, document_id, 1) if document_id else "",
        failure=proposal.failure,
    )
