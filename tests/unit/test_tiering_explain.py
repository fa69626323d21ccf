"""What members are told about their tier."""

from dataclasses import replace

import msgspec

from services.tiering.domain.columns import NEVER
from services.tiering.domain.explain import Situation, standing
from services.tiering.domain.rules import Amounts, Bar, Join, Requirement, RuleSet, Tier
from tests.unit.test_tiering_programmes import CLASSIC, HOTEL, STORE
from tests.unit.tiering_members import day

MARCH = day("2027-03-01")


def test_silver_hears_what_gold_takes_and_what_staying_takes() -> None:
    found = standing(CLASSIC, Situation(1, MARCH, 1, Amounts(points=380)))
    assert found.sentence == (
        "You are Silver until 28 February 2027. To stay, you need 120 more points."
        " For Gold, you need 1,120 more points."
    )
    assert (found.next_tier, found.to_next, found.percent) == (2, Amounts(points=1_120), 25)
    assert found.to_stay == Amounts(points=120)


def test_one_point_is_a_point() -> None:
    found = standing(CLASSIC, Situation(0, NEVER, 0, Amounts(points=499)))
    assert found.sentence == "You are Base. For Silver, you need 1 more point."
    assert (found.percent, found.to_stay) == (99, None)


def test_top_tier_leads_nowhere() -> None:
    found = standing(CLASSIC, Situation(3, MARCH, 3, Amounts(points=4_000)))
    assert found.sentence == (
        "You are Platinum until 28 February 2027. You have what it takes to stay for another term."
    )
    assert (found.next_tier, found.percent) == (None, 100)
    assert found.to_stay == Amounts()


def test_either_of_several_measures_is_said_with_or_and_the_nearer_counts() -> None:
    found = standing(HOTEL, Situation(1, MARCH, 1, Amounts(points=30_000, visits=39)))
    assert found.sentence.endswith("For Gold, you need 45,000 more points or 1 more visit.")
    assert found.percent == 97
    assert found.to_stay == Amounts()


def test_all_of_several_measures_are_said_with_and() -> None:
    both = Requirement(visits=4, points=100, join=Join.ALL)
    rule_set: RuleSet = msgspec.structs.replace(
        CLASSIC, tiers=(CLASSIC.tiers[0], Tier("regular", "Regular", bar=Bar(both)))
    )
    found = standing(rule_set, Situation(0, NEVER, 0, Amounts(points=80, visits=1)))
    assert found.sentence.endswith("For Regular, you need 20 more points and 3 more visits.")
    assert found.percent == 25


def test_money_is_written_with_its_currency() -> None:
    found = standing(STORE, Situation(0, NEVER, 0, Amounts(spend_minor=1)), currency="EUR")
    assert found.sentence == (
        "You are Member. For Influencer, you need to spend 1,999.99 EUR more."
    )


def test_audience_hears_its_own_threshold() -> None:
    situation = Situation(0, NEVER, 0, Amounts(spend_minor=1), audiences={"cardholders"})
    assert standing(STORE, situation).to_next == Amounts(spend_minor=49_999)


def test_tier_by_invitation_is_next_for_whom_is_invited_alone() -> None:
    ambassador = Situation(2, MARCH, 2, Amounts(spend_minor=1_200_000))
    assert standing(STORE, ambassador).next_tier is None
    invited = standing(STORE, replace(ambassador, invited_to={"icon"}))
    assert (invited.next_tier, invited.to_next) == (3, Amounts(spend_minor=300_000))


def test_assigned_tier_asks_nothing_to_stay() -> None:
    found = standing(CLASSIC, Situation(2, MARCH, 0, Amounts(points=1)))
    assert found.to_stay is None
    assert found.sentence == (
        "You are Gold until 28 February 2027. For Platinum, you need 3,999 more points."
    )


def test_tier_reached_today_is_not_asked_for_again() -> None:
    found = standing(CLASSIC, Situation(0, NEVER, 0, Amounts(points=500)))
    assert found.sentence == "You are Base. You have what Silver takes."
    assert found.percent == 100


def test_sums_below_zero_are_no_progress() -> None:
    found = standing(CLASSIC, Situation(0, NEVER, 0, Amounts(points=-20)))
    assert (found.percent, found.to_next) == (0, Amounts(points=520))
