"""The steps of a redemption, and the ids under which the ledger knows its calls."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.plumbing.errors import Unavailable
from services.rewards.domain.refusals import MemberLimitReached, PriceChanged, RewardNotFound
from services.rewards.domain.remembering import recall, remembered
from services.rewards.domain.rewards import Channel
from services.rewards.domain.saga import (
    CALLS,
    FOLLOWING,
    RESTING,
    Asked,
    Bought,
    Call,
    Redemption,
    Step,
)

MEMBER = UUID("00000000-0000-4000-8000-000000000001")


def redemption(step: Step) -> Redemption:
    return Redemption(
        id=UUID("00000000-0000-4000-8000-000000000002"),
        request_id=UUID("00000000-0000-4000-8000-000000000003"),
        fingerprint=b"",
        member_id=MEMBER,
        bought=Bought("coffee", 1, 100, 0, ""),
        channel=Channel.APP,
        store="",
        create_time=datetime(2026, 1, 1, tzinfo=UTC),
        business_time=datetime(2026, 1, 1, tzinfo=UTC),
        step=step,
    )


def test_who_does_not_rest_asks_the_ledger_for_something() -> None:
    assert {step for step in Step if step not in RESTING} == set(CALLS)
    assert set(CALLS.values()) == set(Call)


def test_every_step_leads_to_rest() -> None:
    for step in Step:
        reached = {step}
        while True:
            further = reached.union(*(FOLLOWING[each] for each in reached))
            if further == reached:
                break
            reached = further
        assert reached & RESTING


def test_points_that_may_be_captured_are_never_taken_for_not_held() -> None:
    assert Step.REFUSED not in FOLLOWING[Step.CAPTURING]


def test_a_step_that_does_not_follow_is_a_fault() -> None:
    with pytest.raises(ValueError, match="completed does not follow holding"):
        redemption(Step.HOLDING).to(Step.COMPLETED)


def test_a_call_has_one_request_id_whoever_makes_it() -> None:
    before, after = redemption(Step.HOLDING), redemption(Step.CAPTURING)
    assert before.request_id_of(Call.HOLD) == after.request_id_of(Call.HOLD)
    assert len({before.request_id_of(call) for call in Call}) == len(Call)


def test_another_body_has_another_fingerprint() -> None:
    asked = Asked(MEMBER, "coffee", 100, Channel.APP, "")
    assert asked.fingerprint() == Asked(MEMBER, "coffee", 100, Channel.APP, "").fingerprint()
    assert asked.fingerprint() != Asked(MEMBER, "coffee", 101, Channel.APP, "").fingerprint()


@pytest.mark.parametrize(
    "refusal", [PriceChanged(150), RewardNotFound(), MemberLimitReached("month", 2)]
)
def test_a_refusal_is_recalled_in_its_own_words(
    refusal: PriceChanged | RewardNotFound | MemberLimitReached,
) -> None:
    again = recall(remembered(refusal))
    assert type(again) in type(refusal).__mro__
    assert (again.reason, again.message, again.metadata) == (
        refusal.reason,
        refusal.message,
        refusal.metadata,
    )


def test_what_may_pass_is_not_remembered() -> None:
    with pytest.raises(TypeError):
        remembered(Unavailable("later"))
