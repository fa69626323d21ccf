"""Every variable, port and metric that the manifests name is one that the code has."""

import importlib
import importlib.util
import tomllib
from types import ModuleType

import pytest
from pydantic_settings import BaseSettings

from services.ledger.settings import LedgerSettings
from services.plumbing import development_issuer
from services.plumbing import worker as worker_process
from services.plumbing.config import AuthSettings, ServerSettings
from services.plumbing.worker_settings import WorkerSettings
from tests.service.kubernetes_manifests import (
    IMAGE,
    NAMES,
    SOURCE,
    Container,
    Document,
    at,
    containers,
    environment,
    pods,
    render,
    servers,
    workers,
)


@pytest.fixture(params=NAMES)
def manifests(request: pytest.FixtureRequest) -> list[Document]:
    return render(request.param)


def ours(manifests: list[Document]) -> list[Container]:
    found = [container for container in containers(manifests) if container.is_ours]
    # A server, a migration, a worker and its preparation for each of four services; the night.
    assert len(found) == 17
    return found


def started_module(container: Container) -> ModuleType:
    """The module that `python -m` hands the container's arguments to."""
    name, *verbs = container.container["args"]
    package = importlib.util.find_spec(name)
    assert package is not None
    room = "worker" if verbs == ["worker"] else "main"
    return importlib.import_module(f"{name}.{room}" if package.submodule_search_locations else name)


def rooms(container: Container) -> list[object]:
    """All that a process's module knows, and what runs it in the case of a worker."""
    shared = vars(worker_process) if container.container["args"][-1] == "worker" else {}
    return [*vars(started_module(container)).values(), *shared.values()]


def settings_of(container: Container) -> list[type[BaseSettings]]:
    """What the process reads from its environment; a migration reads no more than it needs."""
    found = [
        kind
        for kind in rooms(container)
        if isinstance(kind, type)
        and issubclass(kind, BaseSettings)
        and kind not in (ServerSettings, WorkerSettings)
    ]
    assert found
    if container.container["args"][-1] == "migrate":
        # Where a migration needs less than the server, it has settings of its own.
        return [kind for kind in found if kind.__name__.endswith("MigrationSettings")] or found
    return found


def variables(settings: type[BaseSettings]) -> set[str]:
    prefix = settings.model_config.get("env_prefix", "")
    return {f"{prefix}{field}".upper() for field in settings.model_fields}


def test_every_variable_is_one_that_the_process_reads(manifests: list[Document]) -> None:
    for container in ours(manifests):
        known = set().union(*map(variables, settings_of(container)))
        assert environment(container.container, manifests).keys() <= known, container.title


def read(
    settings: type[BaseSettings],
    container: Container,
    manifests: list[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> BaseSettings:
    """Settings as the container's process reads them. Refuses: ValidationError."""
    with monkeypatch.context() as context:
        for name in variables(settings):
            context.delenv(name, raising=False)
        for name, value in environment(container.container, manifests).items():
            context.setenv(name, value)
        return settings()


def read_server(
    container: Container, manifests: list[Document], monkeypatch: pytest.MonkeyPatch
) -> ServerSettings:
    (kind,) = (kind for kind in settings_of(container) if issubclass(kind, ServerSettings))
    found = read(kind, container, manifests, monkeypatch)
    assert isinstance(found, ServerSettings)
    return found


def test_every_process_finds_all_it_needs(
    manifests: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    for container in ours(manifests):
        for settings in settings_of(container):
            # A migration answers nobody, so it believes nobody's tokens.
            if container.container["name"] != "migrate" or settings is not AuthSettings:
                assert read(settings, container, manifests, monkeypatch)


def test_every_servers_ports_are_those_of_its_settings(
    manifests: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    for server in servers(manifests):
        settings = read_server(server, manifests, monkeypatch)
        host, _, port = settings.grpc_address.partition(":")
        # The default address is this machine's alone; other pods come from elsewhere.
        assert host == "0.0.0.0"  # noqa: S104 -- a pod's own address is not known beforehand
        assert server.ports == {"grpc": int(port), "metrics": settings.metrics_port}
        defaults = type(settings).model_fields
        assert defaults["grpc_address"].default == f"127.0.0.1:{port}"
        assert defaults["metrics_port"].default == settings.metrics_port


def test_every_worker_serves_its_metrics_on_the_port_of_its_settings(
    manifests: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    for worker in workers(manifests):
        (kind,) = (kind for kind in settings_of(worker) if issubclass(kind, WorkerSettings))
        settings = read(kind, worker, manifests, monkeypatch)
        assert worker.ports == {"metrics": settings.model_dump()["worker_metrics_port"]}
        assert kind.model_fields["worker_metrics_port"].default == worker.ports["metrics"]


def test_prometheus_finds_the_metrics_of_every_pod_that_has_some(
    manifests: list[Document],
) -> None:
    for pod in pods(manifests):
        annotations = at(pod.workload, "spec.template.metadata.annotations")
        if "metrics" not in pod.ports:
            assert annotations is None
        else:
            assert annotations == {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": str(pod.ports["metrics"]),
                "prometheus.io/path": "/metrics",
            }


def test_every_server_has_the_time_to_drain(
    manifests: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    for server in servers(manifests):
        settings = read_server(server, manifests, monkeypatch)
        pause_seconds = at(server.container, "lifecycle.preStop.sleep.seconds")
        needed_seconds = pause_seconds + settings.drain_seconds
        assert server.pod["terminationGracePeriodSeconds"] > needed_seconds


def test_every_process_is_one_that_its_module_starts(manifests: list[Document]) -> None:
    assert sorted(tuple(container.container["args"]) for container in ours(manifests)) == [
        ("services.cli.night",),
        *[("services.cli.queues",)] * 4,
        *(
            (f"services.{service}", verb)
            for service in ("ledger", "members", "rewards", "tiering")
            for verb in ("migrate", "server", "worker")
        ),
    ]


def test_a_migration_makes_the_shards_that_the_servers_expect(
    manifests: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        read(LedgerSettings, container, manifests, monkeypatch).model_dump()["shards"]
        for container in ours(manifests)
        if container.container["args"]
        in (
            ["services.ledger", "migrate"],
            ["services.ledger", "server"],
        )
    ]
    assert len(found) == 2
    assert len(set(found)) == 1


def test_local_servers_believe_the_development_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = render("local")
    for server in servers(manifests):
        settings = read(AuthSettings, server, manifests, monkeypatch).model_dump()
        mounts = {mount["name"]: mount["mountPath"] for mount in server.container["volumeMounts"]}
        assert settings["issuer"] == development_issuer.ISSUER
        assert settings["jwks_url"] == f"file://{mounts['issuer-keys']}/jwks.json"


def test_every_image_of_ours_has_the_projects_version(manifests: list[Document]) -> None:
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    for container in ours(manifests):
        assert container.container["image"] == f"{IMAGE}:{project['version']}"
