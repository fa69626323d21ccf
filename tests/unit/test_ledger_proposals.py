"""Who may adjust how much alone, and what a second person's word does to a proposal."""

from dataclasses import replace

import pytest

from services.ledger.domain.policy import PointKind
from services.ledger.domain.proposals import (
    Decision,
    Proposal,
    ProposalState,
    adjustment,
    decided,
    points_allowed,
    within,
)
from services.ledger.domain.refusals import OwnProposal, ProposalDecided, RequestIdReused

LIMITS = {"*": 50, "supervisor": 500, "intern": 5}
PROPOSED, NOW = 1_000, 2_000
OPEN = Proposal(
    proposal_id=7,
    wallet_id=3,
    request_id="first",
    body_hash="body",
    points=600,
    kind=PointKind.REDEEMABLE,
    business_time=None,
    propose_time=PROPOSED,
    proposer="care/ada",
    reason="a lost parcel",
    reference="case 12",
)
YES = Decision("second", "yes", ProposalState.APPROVED, "care/bo", "fine")
NO = Decision("third", "no", ProposalState.REJECTED, "care/cy", "too much")


@pytest.mark.parametrize(
    ("roles", "points"),
    [
        ([], 50),
        (["supervisor"], 500),
        (["intern", "supervisor"], 500),
        (["intern"], 50),
        (["gardener"], 50),
    ],
)
def test_the_most_of_any_role_counts(roles: list[str], points: int) -> None:
    assert points_allowed(roles, LIMITS) == points


def test_without_a_limit_nobody_may_anything_alone() -> None:
    assert points_allowed(["supervisor"], {}) == 0


def test_a_decision_is_kept_with_who_took_it_and_when() -> None:
    approved = decided(OPEN, YES, NOW)
    assert approved == replace(
        OPEN,
        state=ProposalState.APPROVED,
        decider="care/bo",
        decide_time=NOW,
        decide_request_id="second",
        decide_body_hash="yes",
        note="fine",
    )
    assert decided(OPEN, NO, NOW).state is ProposalState.REJECTED


def test_nobody_decides_their_own() -> None:
    with pytest.raises(OwnProposal):
        decided(OPEN, replace(YES, decider="care/ada"), NOW)


def test_what_is_decided_stays_so() -> None:
    approved = decided(OPEN, YES, NOW)
    assert decided(approved, YES, NOW + 1) is approved
    with pytest.raises(ProposalDecided) as caught:
        decided(approved, NO, NOW + 1)
    assert caught.value.metadata == {"state": "APPROVED"}
    with pytest.raises(RequestIdReused):
        decided(approved, replace(YES, body_hash="no"), NOW + 1)


def test_what_was_approved_is_posted_under_the_request_that_proposed_it() -> None:
    asked = adjustment(decided(OPEN, YES, NOW))
    assert (asked.wallet_id, asked.request_id, asked.body_hash) == (3, "first", "body")
    assert (asked.points, asked.reason, asked.reference) == (600, "a lost parcel", "case 12")
    assert asked.actor == "care/ada; approved by care/bo"
    # Approved later, it counts from then on, unless another time was asked for.
    assert asked.business_time == NOW
    dated = replace(OPEN, business_time=PROPOSED - 5)
    assert adjustment(decided(dated, YES, NOW)).business_time == PROPOSED - 5


@pytest.mark.parametrize(
    ("points", "before", "alone"),
    [
        (50, 0, True),
        (51, 0, False),
        (-50, 0, True),
        (1, 50, False),
        (20, 30, True),
        (-50, 50, True),
        (-100, 50, False),
        (-60, 20, False),
    ],
)
def test_neither_at_once_nor_together_more_than_is_allowed(
    points: int, before: int, alone: bool
) -> None:
    assert within(points, before, 50) is alone
