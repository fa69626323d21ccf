"""What is deployed on Kubernetes: valid, confined, and replaced while tills work."""

import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from kubernetes_validate.utils import latest_version, validate

from tests.service.kubernetes_manifests import (
    IMAGE,
    NAMES,
    SOURCE,
    Document,
    at,
    containers,
    ignored_files,
    of_kind,
    pods,
    prepare,
    render,
    selects,
    servers,
    title,
    workers,
)

# The oldest whose sleep before SIGTERM is on by default, and the newest there are schemas for.
KUBERNETES_VERSIONS = ("1.30", latest_version())
POD_PROPERTIES = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext.runAsNonRoot": True,
    "securityContext.seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_PROPERTIES = {
    "securityContext.allowPrivilegeEscalation": False,
    "securityContext.readOnlyRootFilesystem": True,
    "securityContext.capabilities": {"drop": ["ALL"]},
}
# How variables end that hold a secret, and whose Secret is not called after a service's database.
SECRETS = ("_DATABASE_URL", "_PASSWORD", "AMQP_URL", "_DEFAULT_PASS", "_TOKEN")
SECRET_NAMES = {
    "postgres": "postgresql",
    "amqp": "bus",
    "rabbitmq": "rabbitmq",
    "night": "night",
}
HOST_PROPERTIES = ("hostNetwork", "hostPID", "hostIPC", "securityContext.privileged")


@pytest.fixture(params=NAMES)
def manifests(request: pytest.FixtureRequest) -> list[Document]:
    return render(request.param)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_document_is_strictly_valid(manifests: list[Document], version: str) -> None:
    assert manifests
    for document in manifests:
        validate(document, version, strict=True)


def test_base_has_no_secret_and_local_generates_its_own() -> None:
    assert of_kind(render("base"), "Secret") == []
    secrets = of_kind(render("local"), "Secret")
    assert [s["metadata"]["name"].rpartition("-")[0] for s in secrets] == [
        "bus",
        "ledger-database",
        "members-database",
        "night",
        "postgresql",
        "rabbitmq",
        "rewards-database",
        "rewards",
        "tiering-database",
    ]


def test_files_with_passwords_are_ignored_by_git(tmp_path: Path) -> None:
    folder = tmp_path / "local"
    shutil.copytree(SOURCE / "overlays" / "local", folder, ignore=ignored_files)
    committed = {path.name for path in folder.iterdir()}
    prepare(folder, tmp_path / "data")
    made = {path.name for path in folder.iterdir()} - committed
    assert len(made) == 11
    patterns = (folder / ".gitignore").read_text().split()
    assert {name for name in made for pattern in patterns if fnmatch(name, pattern)} == made


def test_names_are_unique_in_one_namespace(manifests: list[Document]) -> None:
    names = [title(document) for document in manifests]
    assert len(set(names)) == len(names)
    for document in manifests:
        assert document["metadata"].get("namespace") == (
            None if document["kind"] == "Namespace" else "loyalty"
        )


@pytest.mark.parametrize(("path", "expected"), POD_PROPERTIES.items())
def test_every_pod_is_confined(manifests: list[Document], path: str, expected: Any) -> None:
    assert {title(c.workload): at(c.pod, path) for c in pods(manifests)} == {
        title(c.workload): expected for c in pods(manifests)
    }


@pytest.mark.parametrize(("path", "expected"), CONTAINER_PROPERTIES.items())
def test_every_container_is_confined(manifests: list[Document], path: str, expected: Any) -> None:
    found = containers(manifests)
    assert {c.title: at(c.container, path) for c in found} == {c.title: expected for c in found}


@pytest.mark.parametrize("path", HOST_PROPERTIES)
def test_nothing_shares_with_its_node(manifests: list[Document], path: str) -> None:
    for container in containers(manifests):
        assert at(container.pod, path) is None
        assert at(container.container, path) is None
        assert all("hostPath" not in volume for volume in container.pod["volumes"])


def test_every_container_runs_as_a_fixed_user_that_is_not_root(manifests: list[Document]) -> None:
    for container in containers(manifests):
        assert at(container.container, "securityContext.runAsUser") is None
        user = at(container.pod, "securityContext.runAsUser")
        # 10001 is the image's own.
        assert user == (10001 if container.is_ours else 999)
        assert at(container.pod, "securityContext.runAsGroup") == user


def test_every_container_has_a_small_place_to_write(manifests: list[Document]) -> None:
    for container in containers(manifests):
        mounts = {m["mountPath"]: m["name"] for m in container.container.get("volumeMounts", ())}
        volumes = {volume["name"]: volume for volume in container.pod["volumes"]}
        assert at(volumes[mounts["/tmp"]], "emptyDir.sizeLimit") == "64Mi"  # noqa: S108 -- a pod's own


def test_every_database_url_is_of_a_secret_of_its_service(manifests: list[Document]) -> None:
    generated = {
        secret["metadata"]["name"].rpartition("-")[0]: secret
        for secret in of_kind(manifests, "Secret")
    }
    for container in containers(manifests):
        for variable in container.container["env"]:
            key = at(variable, "valueFrom.secretKeyRef")
            assert (key is not None) == variable["name"].endswith(SECRETS)
            if key is not None:
                service = variable["name"].partition("_")[0].lower()
                name = SECRET_NAMES.get(service, f"{service}-database")
                assert key["key"] == variable["name"]
                if generated:
                    assert key["name"] == generated[name]["metadata"]["name"]
                    assert list(generated[name]["data"]) == [key["key"]]
                else:
                    assert key["name"] == name


def test_no_pod_has_a_token_of_the_cluster(manifests: list[Document]) -> None:
    accounts = {
        document["metadata"]["name"]: document for document in of_kind(manifests, "ServiceAccount")
    }
    for pod in pods(manifests):
        assert accounts[pod.pod["serviceAccountName"]]["automountServiceAccountToken"] is False


def test_every_container_has_requests_and_limits(manifests: list[Document]) -> None:
    for container in containers(manifests):
        for kind in ("requests", "limits"):
            assert set(container.container["resources"][kind]) == {"cpu", "memory"}, container.title


def test_every_image_is_pinned_by_tag(manifests: list[Document]) -> None:
    for container in containers(manifests):
        name, _, tag = container.container["image"].rpartition(":")
        assert name in {IMAGE, "postgres", "rabbitmq"}
        assert tag[:1].isdigit()


def test_selectors_match_the_labels_of_their_pods(manifests: list[Document]) -> None:
    for workload in of_kind(manifests, "Deployment", "StatefulSet"):
        labels = at(workload, "spec.template.metadata.labels")
        assert selects(workload["spec"]["selector"], labels)
        for constraint in at(workload, "spec.template.spec.topologySpreadConstraints") or ():
            assert selects(constraint["labelSelector"], labels)
            assert constraint["labelSelector"] == workload["spec"]["selector"]


def test_every_service_leads_to_the_ports_of_one_workload(manifests: list[Document]) -> None:
    for service in of_kind(manifests, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        (found,) = (pod for pod in pods(manifests) if selects(selector, pod.labels))
        for port in service["spec"]["ports"]:
            assert found.ports[port["targetPort"]] == port["port"]


def test_every_server_answers_probes_of_its_grpc_port(manifests: list[Document]) -> None:
    for server in servers(manifests):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert server.container[probe]["grpc"] == {"port": server.ports["grpc"]}


def test_every_server_is_replaced_without_a_gap(manifests: list[Document]) -> None:
    for server in servers(manifests):
        assert server.workload["spec"]["strategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        }
        assert at(server.container, "lifecycle.preStop.sleep.seconds") == 5
        spread = server.pod["topologySpreadConstraints"]
        assert {constraint["topologyKey"] for constraint in spread} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }


def test_every_server_keeps_all_but_one_pod_when_nodes_are_drained(
    manifests: list[Document],
) -> None:
    budgets = of_kind(manifests, "PodDisruptionBudget")
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] == 1
    for server in servers(manifests):
        assert sum(selects(b["spec"]["selector"], server.labels) for b in budgets) == 1
    assert len(budgets) == len(servers(manifests))


def test_base_runs_two_of_each_server_and_local_one() -> None:
    for name, replicas in (("base", 2), ("local", 1)):
        for server in servers(render(name)):
            assert server.workload["spec"]["replicas"] == replicas


def test_every_service_has_workers_one_of_which_waits_to_take_over() -> None:
    for name, replicas in (("base", 2), ("local", 1)):
        found = {worker.workload["metadata"]["name"]: worker for worker in workers(render(name))}
        assert sorted(found) == [
            "ledger-worker",
            "members-worker",
            "rewards-worker",
            "tiering-worker",
        ]
        for worker in found.values():
            assert worker.workload["spec"]["replicas"] == replicas
            (queues,) = worker.pod["initContainers"]
            assert queues["args"] == ["services.cli.queues"]


def test_every_worker_is_asked_for_its_metrics(manifests: list[Document]) -> None:
    for worker in workers(manifests):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert worker.container[probe]["httpGet"] == {"port": "metrics", "path": "/metrics"}


def test_migrations_run_again_with_every_release(manifests: list[Document]) -> None:
    jobs = of_kind(manifests, "Job")
    assert [job["metadata"]["name"] for job in jobs] == [
        "ledger-migrate",
        "members-migrate",
        "rewards-migrate",
        "tiering-migrate",
    ]
    for job in jobs:
        # A Job's template cannot be changed, so it must be gone when the next release is applied.
        assert 0 < job["spec"]["ttlSecondsAfterFinished"] <= 300
        assert job["spec"]["activeDeadlineSeconds"] > 0
        assert at(job, "spec.template.spec.restartPolicy") == "OnFailure"


def test_the_night_runs_every_day_and_never_twice_at_once(manifests: list[Document]) -> None:
    (night,) = of_kind(manifests, "CronJob")
    spec = night["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("15 0 * * *", "Etc/UTC")
    assert spec["concurrencyPolicy"] == "Forbid"
    job = spec["jobTemplate"]["spec"]
    # It may take hours, but ends before the next.
    assert 3_600 <= job["activeDeadlineSeconds"] < 86_400
    assert at(job, "template.spec.restartPolicy") == "Never"
