"""What `loyalty preview` makes of thresholds, and of rules."""

import pytest
from loyalty.tiering.v1 import rules_pb2

from services.cli.demo.tiers import classic
from services.cli.preview import PreviewImpossible, read_thresholds, with_thresholds


def points(rules: rules_pb2.Rules) -> dict[str, int]:
    return {tier.code: tier.bar.attain.points for tier in rules.tiers}


def test_thresholds_are_read_by_tier() -> None:
    assert read_thresholds(["gold=1200", "silver=0"]) == {"gold": 1200, "silver": 0}


@pytest.mark.parametrize("text", ["gold", "gold=", "=5", "gold=-1", "gold=1.5", "gold=many"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(PreviewImpossible, match="is written as in gold=1200"):
        read_thresholds([text])


def test_only_the_thresholds_named_change() -> None:
    rules = classic()
    changed = with_thresholds(rules, {"gold": 1200})
    assert points(changed) == points(rules) | {"gold": 1200}
    assert points(rules) == points(classic())
    changed.tiers[2].bar.attain.points = 1500
    assert changed == rules


@pytest.mark.parametrize(
    ("tier", "why"),
    [
        ("member", "member has no threshold"),
        ("bronze", "there is no tier bronze; there are member, silver, gold, platinum"),
    ],
)
def test_a_tier_without_a_threshold_is_refused(tier: str, why: str) -> None:
    with pytest.raises(PreviewImpossible, match=why):
        with_thresholds(classic(), {tier: 5})
