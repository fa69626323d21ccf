"""Versions of policies: which is in force when, how they are written down, which are refused."""

import subprocess
import sys
from fractions import Fraction

import pytest

from services.ledger.domain.policy import (
    Clawback,
    Counting,
    LineCondition,
    Policy,
    PolicyBook,
    PolicyInvalid,
    Rule,
    SaleCondition,
    Settings,
    check,
    policy_from_json,
    policy_json,
)
from tests.unit.ledger_baskets import (
    QUALIFYING,
    REDEEMABLE,
    categories,
    fixed,
    multiplier,
    per_amount,
    policy,
)


def version(number: int, effective_time: int) -> Policy:
    return policy(per_amount(), version=number, effective_time=effective_time)


def fields_refused(of: Policy) -> list[tuple[str, str]]:
    with pytest.raises(PolicyInvalid) as caught:
        check(of)
    assert caught.value.reason == "POLICY_INVALID"
    return [(violation.field, violation.description) for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("business_time", "expected"),
    [(99, None), (100, 1), (199, 1), (200, 2), (299, 2), (300, 3), (10**17, 3)],
)
def test_a_version_is_in_force_from_its_time_until_the_next(
    business_time: int, expected: int | None
) -> None:
    book = PolicyBook([version(3, 300), version(1, 100), version(2, 200)])
    found = book.in_force(business_time)
    assert (found.version if found else None) == expected


def test_of_versions_from_the_same_time_on_the_newest_counts() -> None:
    book = PolicyBook([version(2, 100), version(1, 100)])
    assert book.in_force(100) == version(2, 100)


def test_a_later_version_may_come_before_an_earlier_one_in_time() -> None:
    book = PolicyBook([version(1, 100), version(2, 300), version(3, 200)])
    assert [p.version for t in (100, 200, 300) if (p := book.in_force(t))] == [1, 3, 2]
    assert book.newest_version == 3


def test_an_empty_book_has_no_policy_for_any_time() -> None:
    assert PolicyBook([]).in_force(10**17) is None
    assert PolicyBook([]).newest_version == 0


def rich_policy() -> Policy:
    condition = LineCondition(
        categories=(("PRODUCE", "*"),), skus=frozenset("zyxwvu"), tags=frozenset({"b", "a"})
    )
    sale = SaleCondition(
        stores=frozenset({"31", "7", "2"}),
        days_of_week=frozenset({7, 1, 3}),
        hour_from=22,
        hour_until=2,
        time_zone="Europe/Berlin",
    )
    rules = (
        per_amount(lines=condition, sale=sale, kinds=(REDEEMABLE, QUALIFYING), priority=3),
        multiplier("1.5", stops_others=True, points_per_sale_max=100),
        fixed(50, eligible_minor_min=1000),
    )
    settings = Settings(counting=Counting.PER_LINE, clawback=Clawback.ALLOW_NEGATIVE)
    return policy(*rules, settings=settings, exclusions=(condition,), publisher="marketing")


def test_a_policy_read_back_is_the_policy_written() -> None:
    assert policy_from_json(policy_json(rich_policy())) == rich_policy()


def test_a_policy_is_written_the_same_in_every_process() -> None:
    """A request sent again may meet another server: the same policy must have the same text."""
    program = (
        "from tests.unit.test_ledger_policy import policy_json, rich_policy;"
        "print(policy_json(rich_policy()))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert texts == {policy_json(rich_policy())}


def test_two_times_the_points_is_once_more() -> None:
    assert multiplier("2").extra_times == 1
    assert multiplier("1.25").extra_times == Fraction(1, 4)


def test_a_good_policy_is_not_refused() -> None:
    good = rich_policy()
    check(good)
    assert good == rich_policy()


def test_a_rules_name_is_not_used_twice() -> None:
    found = fields_refused(policy(per_amount(), fixed(1), fixed(2, rule="base")))
    assert found == [("policy.rules[2].rule", "is used twice")]


@pytest.mark.parametrize("times", ["1", "1.0", "0.5", "0"])
def test_a_multiplier_that_adds_nothing_is_refused(times: str) -> None:
    found = fields_refused(policy(per_amount(), multiplier(times)))
    assert found == [("policy.rules[1].multiplier", "must be above 1")]


@pytest.mark.parametrize(
    "rules",
    [
        (multiplier("2"),),
        (multiplier("2"), per_amount()),
        (fixed(1), multiplier("2")),
        (per_amount(), multiplier("2", priority=1)),
    ],
)
def test_a_multiplier_with_nothing_to_multiply_is_refused(rules: tuple[Rule, ...]) -> None:
    position = [rule.rule for rule in rules].index("times")
    assert fields_refused(policy(*rules)) == [
        (f"policy.rules[{position}].multiplier", "no per-amount rule is considered before it")
    ]


@pytest.mark.parametrize(
    "zone", ["Berlin", "Mars/Olympus", "America", "../UTC", "/etc/passwd", "", "utc ", "a\x00b"]
)
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    rule = per_amount(sale=SaleCondition(time_zone=zone))
    assert fields_refused(policy(rule)) == [
        ("policy.rules[0].sale.time_zone", "is not an IANA time zone")
    ]


def test_hours_without_an_end_are_refused() -> None:
    rule = per_amount(sale=SaleCondition(hour_from=22))
    found = fields_refused(policy(rule))
    assert found == [("policy.rules[0].sale.hour_until", "is missing; midnight is 24")]


def test_an_exclusion_of_everything_is_refused() -> None:
    exclusions = (categories(("FUEL",)), LineCondition())
    found = fields_refused(policy(per_amount(), exclusions=exclusions))
    assert found == [("policy.exclusions[1]", "would exclude everything")]


def test_all_that_is_wrong_is_told_at_once_and_the_first_in_words() -> None:
    bad = policy(
        multiplier("1", sale=SaleCondition(time_zone="Nowhere")),
        per_amount(rule="times"),
        exclusions=(LineCondition(),),
    )
    with pytest.raises(PolicyInvalid) as caught:
        check(bad)
    assert [violation.field for violation in caught.value.violations] == [
        "policy.rules[0].multiplier",
        "policy.rules[0].multiplier",
        "policy.rules[0].sale.time_zone",
        "policy.rules[1].rule",
        "policy.exclusions[0]",
    ]
    assert caught.value.message.startswith("policy.rules[0].multiplier ")
