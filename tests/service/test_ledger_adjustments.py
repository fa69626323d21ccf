"""Adjustments above a limit wait for a second person, and are applied once."""

import asyncio
import json
from collections.abc import AsyncIterator

import grpc
import pytest
from loyalty.ledger.v1 import adjustments_pb2

from services.cli.audit import run_audit
from services.ledger.adjusting import Adjusting, ApprovedProposals
from services.ledger.committing import ThreadCommitter, now_micros
from services.ledger.domain.circumstances import Limits
from services.ledger.domain.proposals import Decision, ProposalState
from services.ledger.shards import Shards
from services.ledger.usecases.proposals import Proposals
from services.plumbing.database import engine
from services.plumbing.grpc_client import error_info
from tests.service.adjusting_office import EARNED, Office, Proposal
from tests.service.conftest import Serve
from tests.service.databases import Databases
from tests.service.ledger_history import DAY, SHARDS
from tests.service.ledger_shop import (
    Shop,
    added,
    common_database,
    new_id,
    next_moment,
    schema_of,
)
from tests.service.refusals import refused
from tests.service.tokens import Tokens

LIMITS = json.dumps({"*": 50, "supervisor": 500})
PROPOSALS = "public.adjustment_proposals"


@pytest.fixture
def url(databases: Databases) -> str:
    return common_database(databases)


@pytest.fixture
async def office(url: str, serve: Serve, tokens: Tokens) -> Office:
    running = await serve("ledger", url, adjustment_limits=LIMITS)
    return Office(Shop(running, tokens, url), tokens, running.channel)


@pytest.fixture
async def other_office(url: str, serve: Serve, tokens: Tokens) -> Office:
    """The same ledger by another server, where care may give far more."""
    running = await serve("ledger", url, adjustment_limits='{"*": 100000}')
    return Office(Shop(running, tokens, url), tokens, running.channel)


@pytest.mark.parametrize(("role", "points"), [("", 50), ("supervisor", 500), ("gardener", 50)])
async def test_up_to_the_limit_of_a_role_one_person_is_enough(
    office: Office, role: str, points: int
) -> None:
    wallet = await office.wallet()
    given = await office.adjust(wallet, points, role=role)
    assert given.balance.available == EARNED + points
    assert not given.proposal
    taken = await office.adjust(wallet, -points, role=role)
    assert taken.balance.available == EARNED
    before = office.shop.contents()
    for above in (points + 1, -points - 1):
        answer = await office.adjust(wallet, above, role=role)
        assert answer.proposal
        assert not answer.entry
        assert not answer.HasField("balance")
    assert added(before, office.shop.contents()) == {PROPOSALS: 2}


async def test_what_is_approved_is_applied_and_names_both_persons(office: Office) -> None:
    wallet = await office.wallet()
    asked = await office.adjust(wallet, 600)
    approved = await office.approve(asked.proposal, note="checked the parcel")
    assert approved.balance.available == EARNED + 600 == await office.available(wallet)
    proposal = approved.proposal
    assert (proposal.state, proposal.proposer, proposal.decider, proposal.note) == (
        Proposal.STATE_APPROVED,
        "ada",
        "bo",
        "checked the parcel",
    )
    explained = await office.explained(proposal.entry)
    assert (explained.actor, explained.approver) == ("ada", "bo")
    assert (explained.entry.explanation, explained.reference) == ("a lost parcel", "case 12")
    document_id = int(proposal.entry.split("/")[-1].split("-")[0])
    assert office.shop.rows(
        f"SELECT actor, reason, receipt_number FROM {schema_of(wallet)}.journal"
        " WHERE document_id = %(document_id)s",
        document_id=document_id,
    ) == [("ada; approved by bo", "a lost parcel", "case 12")]


async def test_an_adjustment_within_the_limit_names_its_one_person(office: Office) -> None:
    given = await office.adjust(await office.wallet(), 5)
    explained = await office.explained(given.entry)
    assert (explained.actor, explained.approver, explained.reference) == ("ada", "", "case 12")


async def test_an_approved_adjustment_counts_from_its_own_time_or_from_the_approval(
    office: Office,
) -> None:
    wallet = await office.wallet()
    moment = next_moment()
    dated = await office.approve((await office.adjust(wallet, 600, business_time=moment)).proposal)
    assert (await office.explained(dated.proposal.entry)).entry.business_time == moment
    undated = await office.approve((await office.adjust(wallet, 600)).proposal)
    found = (await office.explained(undated.proposal.entry)).entry.business_time
    assert found == undated.proposal.decide_time


async def test_nobody_decides_their_own(office: Office) -> None:
    wallet = await office.wallet()
    proposal = (await office.adjust(wallet, 600)).proposal
    before = office.shop.contents()
    for decide in (office.approve, office.reject):
        found = await refused(decide(proposal, "ada"))
        assert (found.code, found.reason) == (grpc.StatusCode.PERMISSION_DENIED, "OWN_PROPOSAL")
    assert added(before, office.shop.contents()) == {}


async def test_what_is_rejected_is_never_applied(office: Office) -> None:
    wallet = await office.wallet()
    proposal = (await office.adjust(wallet, 600)).proposal
    request_id = new_id()
    rejected = await office.reject(proposal, request_id=request_id)
    assert (rejected.state, rejected.note, rejected.entry) == (
        Proposal.STATE_REJECTED,
        "too much",
        "",
    )
    before = office.shop.contents()
    assert await office.reject(proposal, request_id=request_id) == rejected
    found = await refused(office.approve(proposal, "cy"))
    assert (found.code, found.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PROPOSAL_DECIDED",
    )
    assert found.metadata == {"state": "REJECTED"}
    reused = await refused(office.approve(proposal, request_id=request_id))
    assert reused.reason == "REQUEST_ID_REUSED"
    assert added(before, office.shop.contents()) == {}
    assert await office.available(wallet) == EARNED


async def test_each_request_sent_again_gets_its_first_answer(office: Office) -> None:
    wallet = await office.wallet()
    asking, deciding = new_id(), new_id()
    asked = await office.adjust(wallet, 600, request_id=asking)
    assert await office.adjust(wallet, 600, request_id=asking) == asked
    assert (await refused(office.adjust(wallet, 601, request_id=asking))).reason == (
        "REQUEST_ID_REUSED"
    )
    approved = await office.approve(asked.proposal, request_id=deciding)
    before = office.shop.contents()
    assert await office.approve(asked.proposal, request_id=deciding) == approved
    assert await office.adjust(wallet, 600, request_id=asking) == asked
    assert (await refused(office.approve(asked.proposal))).reason == "PROPOSAL_DECIDED"
    found = await refused(office.approve(asked.proposal, request_id=deciding, note="other"))
    assert found.reason == "REQUEST_ID_REUSED"
    assert added(before, office.shop.contents()) == {}


async def test_a_request_sent_many_times_at_once_makes_one_proposal(
    office: Office, other_office: Office
) -> None:
    wallet, asking = await office.wallet(), new_id()
    before = office.shop.contents()
    answers = await asyncio.gather(
        *(each.adjust(wallet, 200_000, request_id=asking) for each in (office, other_office) * 4)
    )
    assert len({answer.proposal for answer in answers}) == 1
    assert added(before, office.shop.contents()) == {PROPOSALS: 1}


async def test_a_limit_that_changed_changes_no_first_answer(
    office: Office, other_office: Office
) -> None:
    wallet = await office.wallet()
    applied, proposed = new_id(), new_id()
    given = await other_office.adjust(wallet, 600, request_id=applied)
    asked = await office.adjust(wallet, 700, request_id=proposed)
    before = office.shop.contents()
    assert await office.adjust(wallet, 600, request_id=applied) == given
    assert await other_office.adjust(wallet, 700, request_id=proposed) == asked
    assert added(before, office.shop.contents()) == {}
    assert await office.available(wallet) == EARNED + 600


async def test_of_many_approvals_at_once_one_applies_it(
    office: Office, other_office: Office
) -> None:
    wallet = await office.wallet()
    proposal = (await office.adjust(wallet, 600)).proposal
    before = office.shop.contents()
    answers = await asyncio.gather(
        *(
            each.approve(proposal, f"approver {number}")
            for number in range(6)
            for each in (office, other_office)
        ),
        return_exceptions=True,
    )
    approved = [a for a in answers if isinstance(a, adjustments_pb2.ApproveAdjustmentResponse)]
    late = [error_info(answer) for answer in answers if isinstance(answer, grpc.RpcError)]
    assert len(approved) == 1
    assert [info.reason for info in late if info] == ["PROPOSAL_DECIDED"] * 11
    assert await office.available(wallet) == EARNED + 600
    schema = schema_of(wallet)
    assert len(office.shop.contents()[f"{schema}.journal"]) == len(before[f"{schema}.journal"]) + 1


async def test_the_same_approval_sent_many_times_at_once_applies_it_once(
    office: Office, other_office: Office
) -> None:
    wallet = await office.wallet()
    proposal = (await office.adjust(wallet, 600)).proposal
    request_id = new_id()
    answers = await asyncio.gather(
        *(each.approve(proposal, request_id=request_id) for each in (office, other_office) * 4)
    )
    assert {answer.balance.available for answer in answers} == {EARNED + 600}
    assert await office.available(wallet) == EARNED + 600


async def test_of_a_yes_and_a_no_at_once_one_holds(office: Office, other_office: Office) -> None:
    for _ in range(5):
        wallet = await office.wallet()
        proposal = (await office.adjust(wallet, 600)).proposal
        yes, no = await asyncio.gather(
            office.approve(proposal, "bo"),
            other_office.reject(proposal, "cy"),
            return_exceptions=True,
        )
        approved = isinstance(yes, adjustments_pb2.ApproveAdjustmentResponse)
        assert approved != isinstance(no, Proposal)
        assert await office.available(wallet) == EARNED + 600 * approved


async def test_what_the_ledger_refuses_fails_and_changes_nothing(office: Office) -> None:
    wallet = await office.wallet()
    proposal = (await office.adjust(wallet, -600)).proposal
    request_id = new_id()
    for _ in range(2):
        found = await refused(office.approve(proposal, request_id=request_id))
        assert found.reason == "INSUFFICIENT_POINTS"
        assert found.metadata == {"wanted": "600", "available": str(EARNED)}
    listed = await office.proposals(office.badge("bo", "points.approve"), page_size=1)
    assert [(p.name, p.state, p.failure, p.entry) for p in listed.proposals] == [
        (proposal, Proposal.STATE_FAILED, "INSUFFICIENT_POINTS", "")
    ]
    # Points that come later are not taken for it.
    await office.adjust(wallet, 500, role="supervisor")
    await office.adjust(wallet, 500, "cy", role="supervisor")
    assert (await refused(office.approve(proposal, "cy"))).reason == "PROPOSAL_DECIDED"
    assert await office.available(wallet) == EARNED + 1_000


@pytest.fixture
async def shards(url: str) -> AsyncIterator[Shards]:
    limits = Limits(past=400 * DAY, future=0)
    committers = [ThreadCommitter(url, number, limits) for number in range(SHARDS)]
    for committer in committers:
        await committer.start()
    found = Shards(committers, batch_max=10, queue_max=1_000)
    yield found
    await found.close()


async def test_what_a_server_approved_and_died_over_is_applied_once(
    url: str, office: Office, shards: Shards
) -> None:
    wallet = await office.wallet()
    proposal = (await office.adjust(wallet, 600)).proposal
    database = engine(url, pool_size=2)
    proposals = Proposals(database, now_micros)
    decision = Decision(new_id(), new_id(), ProposalState.APPROVED, "bo", "")
    decided = proposals.decide(int(proposal.split("/")[1]), decision)
    assert await office.available(wallet) == EARNED
    approved = ApprovedProposals(Adjusting(shards, proposals, {}), proposals, every_seconds=60)
    assert decided in proposals.unapplied(older_than=0, limit=100)
    assert await approved.apply(older_than=0) == 1
    assert await approved.apply(older_than=0) == 0
    await approved.close()
    database.dispose()
    assert await office.available(wallet) == EARNED + 600


async def test_proposals_are_listed_newest_first_to_whom_they_concern(office: Office) -> None:
    wallet = await office.wallet()
    asked = [(await office.adjust(wallet, 600 + n, "dan")).proposal for n in range(5)]
    await office.adjust(wallet, 700, "eve")
    await office.reject(asked[1])
    own = office.badge("dan", "points.adjust")
    first = await office.proposals(own, page_size=3)
    rest = await office.proposals(own, page_size=3, page_token=first.next_page_token)
    assert [p.name for p in (*first.proposals, *rest.proposals)] == asked[::-1]
    assert rest.next_page_token == ""
    assert {p.wallet for p in first.proposals} == {wallet}
    opened = await office.proposals(own, state=Proposal.STATE_OPEN)
    assert [p.name for p in opened.proposals] == [*asked[:1:-1], asked[0]]
    everybodys = await office.proposals(office.badge("bo", "points.approve"), page_size=6)
    assert {p.proposer for p in everybodys.proposals} == {"dan", "eve"}


async def test_what_names_no_proposal_is_refused(office: Office) -> None:
    before = office.shop.contents()
    for name in ("adjustmentProposals/0", f"adjustmentProposals/{10**19 - 1}"):
        for decide in (office.approve, office.reject):
            assert (await refused(decide(name))).reason == "PROPOSAL_NOT_FOUND"
    assert (await refused(office.approve("proposals/1"))).fields == ("proposal",)
    token = office.proposals(office.badge("bo", "points.approve"), page_token="mine")
    assert (await refused(token)).reason == "PAGE_TOKEN_INVALID"
    assert added(before, office.shop.contents()) == {}


async def test_deciding_needs_a_scope_of_its_own(office: Office, tokens: Tokens) -> None:
    wallet = await office.wallet()
    proposal = (await office.adjust(wallet, 600)).proposal
    before = office.shop.contents()
    maker = tokens.bearer("points.adjust", "wallets.read", subject="bo")
    request = adjustments_pb2.ApproveAdjustmentRequest(request_id=new_id(), proposal=proposal)
    found = await refused(office.desk.ApproveAdjustment(request, metadata=maker))
    assert found.reason == "MISSING_SCOPE"
    assert found.metadata == {"scope": "points.approve"}
    assert added(before, office.shop.contents()) == {}


async def test_the_books_are_right_afterwards(url: str, office: Office) -> None:
    """Whatever the tests before did to them."""
    wallet = await office.wallet()
    await office.approve((await office.adjust(wallet, 600)).proposal)
    await refused(office.approve((await office.adjust(wallet, -6_000)).proposal))
    assert [check for check in run_audit(url).checks if check.problem_count] == []
