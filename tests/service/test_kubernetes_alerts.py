"""The alert rules read metrics, labels and values that the processes export."""

import importlib
import re
import sys
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf.descriptor_pool import Default
from prometheus_client.metrics import MetricWrapperBase
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Expr,
    MatchOp,
    NumberLiteral,
    VectorSelector,
    parse,
    parse_duration,
    walk,
)

from services.ledger.settings import LedgerSettings
from tests.service.kubernetes_manifests import Document, of_kind, render

PROCESSES = (
    "services.members.main",
    "services.ledger.main",
    "services.tiering.main",
    "services.rewards.main",
    "services.ledger.worker",
    "services.cli.embedded_bus",
)
# What Prometheus itself says about where a sample is from.
TARGET_LABELS = {"instance", "job"}
SUFFIXES = {
    "counter": {"_total": set[str]()},
    "gauge": {"": set[str]()},
    "histogram": {"_bucket": {"le"}, "_sum": set[str](), "_count": set[str]()},
}

Rule = dict[str, Any]


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Every series that our processes export, and its labels."""
    for process in PROCESSES:
        importlib.import_module(process)
    modules = [module for name, module in sys.modules.items() if name.startswith("services.")]
    metrics = {
        found
        for module in modules
        for found in vars(module).values()
        if isinstance(found, MetricWrapperBase)
    }
    return {
        family.name + suffix: {*vars(metric)["_labelnames"], *labels}
        for metric in metrics
        for family in metric.describe()
        for suffix, labels in SUFFIXES[family.type].items()
    }


@pytest.fixture(scope="module")
def rules() -> list[Rule]:
    (alerts,) = (found for found in documents() if found["metadata"]["name"] == "alerts")
    groups = yaml.safe_load(alerts["data"]["loyalty.rules.yaml"])["groups"]
    return [rule for group in groups for rule in group["rules"]]


def documents() -> list[Document]:
    return of_kind(render("base"), "ConfigMap")


def parts(rule: Rule, kind: type[Any]) -> list[Any]:
    """Every part of a kind in a rule's expression."""
    found: list[Expr] = []
    walk(parse(rule["expr"]), found.append)
    return [part for part in found if isinstance(part, kind)]


def selectors(rule: Rule) -> list[VectorSelector]:
    return parts(rule, VectorSelector)


def test_every_server_and_the_ledger_and_the_bus_export_what_they_should(
    exported: dict[str, set[str]],
) -> None:
    assert {name: labels for name, labels in exported.items() if name.startswith("grpc_")} == {
        "grpc_server_handled_total": {"grpc_method", "grpc_code"},
        "grpc_server_refusals_total": {"grpc_method", "reason"},
        "grpc_server_handling_seconds_bucket": {"grpc_method", "le"},
        "grpc_server_handling_seconds_sum": {"grpc_method"},
        "grpc_server_handling_seconds_count": {"grpc_method"},
    }
    assert {"ledger_sales_total", "ledger_queue_depth", "bus_lag_seconds"} <= exported.keys()
    assert {"rewards_redemptions_total", "rewards_vouchers_redeemed_total"} <= exported.keys()


def test_every_rule_is_whole(rules: list[Rule]) -> None:
    names = [rule["alert"] for rule in rules]
    assert len(names) == 16
    assert len(set(names)) == len(names)
    for rule in rules:
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert parse_duration(rule.get("for", "1m")).total_seconds() > 0


def test_every_rule_reads_metrics_and_labels_that_are_exported(
    rules: list[Rule], exported: dict[str, set[str]]
) -> None:
    for rule in rules:
        assert selectors(rule), rule["alert"]
        for selector in selectors(rule):
            assert selector.name in exported
            names = {matcher.name for matcher in selector.matchers.matchers}
            assert names <= exported[selector.name] | TARGET_LABELS


def test_every_rule_groups_by_labels_of_its_metrics(
    rules: list[Rule], exported: dict[str, set[str]]
) -> None:
    for rule in rules:
        known = TARGET_LABELS.union(*(exported[found.name or ""] for found in selectors(rule)))
        grouped: set[str] = set()
        for aggregate in parts(rule, AggregateExpr):
            grouped |= set(aggregate.modifier.labels if aggregate.modifier else ())
        assert grouped <= known
        named = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        assert set(named) <= grouped - {"le"}


def test_every_method_and_code_in_a_rule_exists(rules: list[Rule]) -> None:
    codes = {code.name for code in grpc.StatusCode}
    for rule in rules:
        for selector in selectors(rule):
            for matcher in selector.matchers.matchers:
                if matcher.name == "grpc_code":
                    assert set(matcher.value.split("|")) <= codes
                else:
                    assert (matcher.name, matcher.op) == ("grpc_method", MatchOp.Equal)
                    service, _, method = matcher.value.removeprefix("/").partition("/")
                    assert method in Default().FindServiceByName(service).methods_by_name


def test_a_growing_queue_is_told_when_it_is_half_full(rules: list[Rule]) -> None:
    (rule,) = (rule for rule in rules if rule["alert"] == "QueueGrows")
    comparison = parse(rule["expr"])
    assert isinstance(comparison, BinaryExpr)
    assert isinstance(comparison.rhs, NumberLiteral)
    assert comparison.rhs.val * 2 == LedgerSettings.model_fields["queue_max"].default
