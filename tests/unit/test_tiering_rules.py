"""Drafts: what is wrong with them, and their JSON."""

import msgspec
import pytest

from services.tiering.domain.checking import check, refuse_problems
from services.tiering.domain.rules import (
    Amounts,
    AnniversaryYear,
    Bar,
    Benefits,
    CalendarYear,
    Counting,
    Join,
    KeptMonths,
    KeptToDate,
    KeptToPeriodEnd,
    Requirement,
    RollingMonths,
    RuleSet,
    RuleSetInvalid,
    Tier,
    decode,
    encode,
)
from tests.unit.test_tiering_programmes import ALL, CLASSIC


def draft(*tiers: Tier, **changes: object) -> RuleSet:
    """The classic rules with other tiers above the first, or other settings."""
    above = tiers or CLASSIC.tiers[1:]
    changed: RuleSet = msgspec.structs.replace(CLASSIC, tiers=(CLASSIC.tiers[0], *above), **changes)
    return changed


def points(code: str, attain: int, retain: int | None = None) -> Tier:
    bar = Bar(Requirement(points=attain), None if retain is None else Requirement(points=retain))
    return Tier(code, code.title(), bar=bar)


def problems(rule_set: RuleSet) -> list[tuple[str, str]]:
    return [(problem.field, problem.description) for problem in check(rule_set)]


def test_real_programmes_have_no_problems() -> None:
    assert [check(rule_set) for rule_set in ALL] == [[] for _ in ALL]


def test_thresholds_out_of_order_are_a_problem() -> None:
    found = problems(draft(points("silver", 500), points("gold", 400)))
    assert found[0] == (
        "tiers[2].bar.attain",
        "is out of order: what reaches silver reaches it too",
    )


def test_equal_thresholds_overlap() -> None:
    assert problems(draft(points("silver", 500), points("gold", 500))) == [
        ("tiers[2].bar.attain", "overlaps silver: the same sums reach both")
    ]


def test_threshold_on_another_measure_leaves_a_gap() -> None:
    gold = Tier("gold", "Gold", bar=Bar(Requirement(visits=10)))
    assert problems(draft(points("silver", 500), gold))[0] == (
        "tiers[2].bar.attain",
        "leaves a gap: it can be reached without reaching silver",
    )


def test_any_of_more_leaves_a_gap_and_all_of_more_does_not() -> None:
    silver = Tier("silver", "Silver", bar=Bar(Requirement(points=500, visits=5)))
    gold = Requirement(points=900, spend_minor=1)
    assert "leaves a gap" in problems(draft(silver, Tier("gold", "Gold", bar=Bar(gold))))[0][1]
    gold = msgspec.structs.replace(gold, join=Join.ALL)
    assert problems(draft(silver, Tier("gold", "Gold", bar=Bar(gold)))) == []


def test_more_to_retain_than_to_attain_is_a_problem() -> None:
    assert problems(draft(points("silver", 500, 600)))[0] == (
        "tiers[1].bar.retain",
        "asks for what does not attain the tier",
    )


def test_tier_easier_to_retain_than_the_one_below_is_a_problem() -> None:
    found = problems(draft(points("silver", 500, 400), points("gold", 900, 300)))
    assert found == [("tiers[2].bar.retain", "is out of order: it would not retain silver")]


def test_tiers_members_hold_by_hand_have_to_be_known() -> None:
    found = check(CLASSIC, assigned=["gold", "titanium"])
    assert [(problem.field, problem.description) for problem in found] == [
        ("tiers", "lacks titanium, which members are assigned to or invited to")
    ]


@pytest.mark.parametrize("text", ["", "x", "1,5", "-1", "0", "0.0", "101", "1.00001", "1e1", "NaN"])
def test_multiplier_has_to_be_a_small_decimal(text: str) -> None:
    silver = msgspec.structs.replace(points("silver", 500), benefits=Benefits(text))
    found = problems(draft(silver))
    assert [field for field, _ in found] == ["tiers[1].benefits.earn_multiplier"]


def test_first_tier_asks_for_nothing_and_others_for_something() -> None:
    first = msgspec.structs.replace(CLASSIC, tiers=(points("silver", 5),))
    assert problems(first) == [("tiers[0]", "is everybody's, so it can have no requirement")]
    assert problems(draft(Tier("silver", "Silver"))) == [
        ("tiers[1].bar", "is missing: nothing reaches the tier")
    ]
    assert problems(draft(Tier("silver", "Silver", bar=Bar(Requirement())))) == [
        ("tiers[1].bar.attain", "sets no threshold")
    ]
    assert problems(draft(points("silver", -5)))[0] == (
        "tiers[1].bar.attain.points",
        "must be from 1 to 1000000000000",
    )


def test_codes_are_plain_and_used_once() -> None:
    assert problems(draft(points("Silver", 5)))[0][0] == "tiers[1].code"
    assert problems(draft(points("silver", 5), points("silver", 6))) == [
        ("tiers[2].code", "is used twice: silver")
    ]


def test_audience_needs_less_than_others() -> None:
    silver = Tier(
        "silver",
        "Silver",
        bar=Bar(Requirement(points=500)),
        audiences={"staff": Bar(Requirement(points=500))},
    )
    assert problems(draft(silver)) == [
        ("tiers[1].audiences[staff]", "is not below the bar of the tier")
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"window": RollingMonths(0)}, "window.months"),
        ({"window": CalendarYear(13)}, "window.first_month"),
        ({"grace_days": -1}, "grace_days"),
        ({"keeping": KeptMonths(0)}, "keeping.months"),
        ({"keeping": KeptToDate(13, 1, 1)}, "keeping.month"),
        ({"keeping": KeptToDate(1, 32, 1)}, "keeping.day"),
        ({"keeping": KeptToDate(1, 31, 0)}, "keeping.years_after"),
        ({"keeping": KeptToPeriodEnd(1)}, "keeping"),
        ({"keeping": KeptToDate(2, 27, 1), "window": CalendarYear(3)}, "keeping"),
        ({"keeping_after_downgrade": KeptMonths(0)}, "keeping_after_downgrade.months"),
        ({"carry_limit": Amounts(points=5)}, "carry_limit"),
        ({"carry_limit": Amounts(visits=5), "counting": Counting.DEDUCTED}, "carry_limit.visits"),
        ({"carry_limit": Amounts(points=-1), "window": AnniversaryYear()}, "carry_limit.points"),
    ],
)
def test_settings_that_make_no_sense_are_problems(changes: dict[str, object], field: str) -> None:
    assert [found for found, _ in problems(draft(**changes))] == [field]


def test_year_that_begins_in_march_can_end_a_tier_with_february() -> None:
    assert problems(draft(keeping=KeptToDate(2, 31, 1), window=CalendarYear(3))) == []


def test_problems_are_refused_together() -> None:
    with pytest.raises(RuleSetInvalid) as refused:
        refuse_problems(draft(points("silver", 500), points("gold", 500), grace_days=-1))
    assert [violation.field for violation in refused.value.violations] == [
        "tiers[2].bar.attain",
        "grace_days",
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        encode(CLASSIC).replace(b"rolling_months", b"lunar"),
        encode(CLASSIC).replace(b'"name"', b'"nmae"'),
        encode(CLASSIC).replace(b"500", b'"500"'),
    ],
)
def test_what_is_no_rule_set_is_refused(text: bytes) -> None:
    with pytest.raises(RuleSetInvalid):
        decode(text)


def test_same_rules_are_the_same_text() -> None:
    one = draft(Tier("silver", "S", invitation_only=True, benefits=Benefits(other={"a": "1"})))
    assert encode(decode(encode(one))) == encode(one)
    assert b"grace_days" not in encode(one)
