"""Who may talk to whom on Kubernetes: nobody, but for what is stated here."""

from typing import Any

import pytest

from tests.service.kubernetes_manifests import (
    NAMES,
    Container,
    Document,
    of_kind,
    pods,
    render,
    selects,
    servers,
    title,
)

Rule = dict[str, Any]
POSTGRESQL_PORT = 5432
HTTPS_PORT = 443
LEDGER_PORT = 7102
TIERING_PORT = 7103
AMQP_PORTS = [5671, 5672]
# Where a node keeps the credentials of the cloud.
LINK_LOCAL = "169.254.0.0/16"


@pytest.fixture(params=NAMES)
def manifests(request: pytest.FixtureRequest) -> list[Document]:
    return render(request.param)


def rules(manifests: list[Document], labels: dict[str, str], direction: str) -> list[Rule]:
    """All that the policies that select a pod let in ("ingress") or out ("egress")."""
    return [
        rule
        for policy in of_kind(manifests, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get(direction, ())
    ]


def ports(found: list[Rule]) -> list[int | str]:
    return sorted((port["port"] for rule in found for port in rule["ports"]), key=str)


def caller_label(service: str) -> dict[str, str]:
    return {f"loyalty.example/calls-{service}": "true"}


def test_everything_is_denied_by_default(manifests: list[Document]) -> None:
    (policy,) = (
        p for p in of_kind(manifests, "NetworkPolicy") if title(p).endswith("default-deny")
    )
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_policy_selects_a_pod_and_names_ports_it_has(manifests: list[Document]) -> None:
    for policy in of_kind(manifests, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        selected = [pod for pod in pods(manifests) if selects(selector, pod.labels)]
        assert selected, title(policy)
        for rule in policy["spec"].get("ingress", ()):
            for port in rule["ports"]:
                assert port["protocol"] == "TCP"
                assert port["port"] in selected[0].ports


def test_a_server_takes_calls_from_labelled_pods_and_scrapes_from_prometheus(
    manifests: list[Document],
) -> None:
    for server in servers(manifests):
        calls, scrapes = rules(manifests, server.labels, "ingress")
        (caller,) = calls["from"]
        name = server.labels["app.kubernetes.io/name"]
        assert caller == {
            "namespaceSelector": {"matchLabels": {"loyalty.example/callers": "true"}},
            "podSelector": {"matchLabels": caller_label(name)},
        }
        assert ports([calls]) == ["grpc"]
        (scraper,) = scrapes["from"]
        assert scraper["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}
        assert ports([scrapes]) == ["metrics"]


def test_a_migration_takes_no_calls_and_a_worker_scrapes_alone(manifests: list[Document]) -> None:
    for pod in pods(manifests):
        found = ports(rules(manifests, pod.labels, "ingress"))
        component = pod.labels["app.kubernetes.io/component"]
        assert (
            found
            == {
                "server": ["grpc", "metrics"],
                "migrate": [],
                "worker": ["metrics"],
                "night": [],
                "broker": ["amqp"],
                "database": ["postgresql"],
            }[component]
        )


def test_a_pod_reaches_names_its_database_and_a_server_the_issuer(
    manifests: list[Document],
) -> None:
    for pod in pods(manifests):
        found = ports(rules(manifests, pod.labels, "egress"))
        component = pod.labels["app.kubernetes.io/component"]
        called = [LEDGER_PORT] if pod.labels["app.kubernetes.io/name"] == "rewards" else []
        assert (
            found
            == {
                "server": sorted([HTTPS_PORT, 53, 53, POSTGRESQL_PORT, *called], key=str),
                "migrate": [53, 53, POSTGRESQL_PORT],
                "worker": [53, 53, POSTGRESQL_PORT, *AMQP_PORTS],
                "night": sorted([53, 53, POSTGRESQL_PORT, LEDGER_PORT, TIERING_PORT], key=str),
                "broker": [53, 53],
                "database": [53, 53],
            }[component]
        )


def test_no_pod_reaches_its_nodes_credentials(manifests: list[Document]) -> None:
    for pod in pods(manifests):
        for rule in rules(manifests, pod.labels, "egress"):
            # A rule without an end would reach everything.
            assert rule["to"]
            for end in rule["to"]:
                assert "ipBlock" not in end or end["ipBlock"]["except"] == [LINK_LOCAL]


def test_local_database_lets_in_the_pods_that_use_it() -> None:
    manifests = render("local")
    users = pods(manifests)
    database = users.pop(
        [pod.labels["app.kubernetes.io/name"] for pod in users].index("postgresql")
    )
    broker = users.pop([pod.labels["app.kubernetes.io/name"] for pod in users].index("rabbitmq"))
    (rule,) = rules(manifests, database.labels, "ingress")
    (end,) = rule["from"]
    assert len(users) == 13
    assert all(selects(end["podSelector"], user.labels) for user in users)
    assert not selects(end["podSelector"], database.labels)
    for user in users:
        ends = [to for rule in rules(manifests, user.labels, "egress") for to in rule["to"]]
        inside = [to["podSelector"] for to in ends if set(to) == {"podSelector"}]
        assert any(selects(selector, database.labels) for selector in inside)
    (rule,) = rules(manifests, broker.labels, "ingress")
    (end,) = rule["from"]
    assert [selects(end["podSelector"], user.labels) for user in users] == [
        user.labels["app.kubernetes.io/component"] == "worker" for user in users
    ]


@pytest.mark.parametrize(("name", "port"), [("ledger", LEDGER_PORT), ("tiering", TIERING_PORT)])
def test_the_night_is_let_in_where_it_calls(
    manifests: list[Document], name: str, port: int
) -> None:
    (night,) = (pod for pod in pods(manifests) if pod.workload["kind"] == "CronJob")
    (called,) = (s for s in servers(manifests) if s.labels["app.kubernetes.io/name"] == name)
    (address,) = (
        variable["value"]
        for variable in night.container["env"]
        if variable["name"] == f"{name.upper()}_GRPC_ADDRESS"
    )
    assert address == f"{name}:{called.ports['grpc']}"
    assert called.ports["grpc"] == port
    assert lets_in(manifests, called, night)


def test_rewards_is_let_in_at_the_ledger(manifests: list[Document]) -> None:
    found = {server.labels["app.kubernetes.io/name"]: server for server in servers(manifests)}
    rewards, ledger = found["rewards"], found["ledger"]
    (address,) = (
        variable["value"]
        for variable in rewards.container["env"]
        if variable["name"] == "REWARDS_LEDGER_ADDRESS"
    )
    assert address == f"ledger:{ledger.ports['grpc']}"
    assert lets_in(manifests, ledger, rewards)


def lets_in(manifests: list[Document], called: Container, caller: Container) -> bool:
    """Whether both the caller's way out and the called server's way in are open."""
    calls, _ = rules(manifests, called.labels, "ingress")
    out = [
        to["podSelector"]
        for rule in rules(manifests, caller.labels, "egress")
        for to in rule["to"]
        if "podSelector" in to and "namespaceSelector" not in to
    ]
    inwards = selects(calls["from"][0]["podSelector"], caller.labels)
    return inwards and any(selects(end, called.labels) for end in out)
