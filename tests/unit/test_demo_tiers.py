"""The demo's tier rules are ones that tiering takes, and its JSON says who ended where."""

import json

from protovalidate import Validator

from services.cli.demo.display import Outcome
from services.cli.demo.results import Results
from services.cli.demo.tier_results import TierResults
from services.cli.demo.tiers import classic
from services.tiering.domain.checking import check
from services.tiering.rpc.rules import read_rules, write_rules


def test_the_classic_rules_have_no_problems_and_come_back_as_they_were_sent() -> None:
    assert Validator().collect_violations(classic()) == []
    rules = read_rules(classic())
    assert check(rules) == []
    assert read_rules(write_rules(rules)) == rules
    assert [
        (tier.code, tier.bar.attain.points if tier.bar else 0, tier.benefits.earn_multiplier)
        for tier in rules.tiers
    ] == [
        ("member", 0, "1"),
        ("silver", 500, "1.1"),
        ("gold", 1_500, "1.25"),
        ("platinum", 4_000, "1.5"),
    ]


def test_the_last_line_names_the_members_of_each_tier() -> None:
    tiers = TierResults(tiers={"member": 7, "silver": 2}, tier_changes=2)
    outcome = Outcome(Results(), audit_ok=True, replay_seconds=1, total_seconds=2, tiers=tiers)
    printed = json.loads(outcome.as_json())
    assert (printed["tiers"], printed["tier_changes"]) == ({"member": 7, "silver": 2}, 2)
