"""The manifests under k8s/ as they are applied, and questions about them."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.service.kubectl import kubectl

SOURCE = Path(__file__).parents[2] / "k8s"
NAMES = ("base", "local")
IMAGE = "loyalty-platform"
# What stands in for the value of a Secret, which is no part of base.
DATABASE_URL = "postgresql+psycopg2://loyalty:secret@postgresql:5432/any"
NIGHT_TOKEN = "of the issuer"
AMQP_URL = "amqp://loyalty:secret@rabbitmq:5672//"
PASSWORDS = ("POSTGRES_PASSWORD", "RABBITMQ_DEFAULT_PASS")

# What prepare.sh makes, which a developer may have made already.
ignored_files = shutil.ignore_patterns("*.env", "jwks.json", "signing-keys.json", "ledger-token")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a workload, and the workload it is in."""

    workload: Document
    pod: Document
    container: Document

    @property
    def title(self) -> str:
        return f"{title(self.workload)}/{self.container['name']}"

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = at(pod_template(self.workload), "metadata.labels")
        return found

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", ())}

    @property
    def is_ours(self) -> bool:
        return str(self.container["image"]).rpartition(":")[0] == IMAGE


@cache
def render(name: str) -> list[Document]:
    """What kubectl makes of base, or of the overlay local with its ignored files made anew."""
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / "k8s"
        shutil.copytree(SOURCE, copy, ignore=ignored_files)
        folder = copy / name
        if name == "local":
            folder = copy / "overlays" / name
            prepare(folder, Path(scratch) / "data")
        rendered = subprocess.run(
            [kubectl(), "kustomize", folder],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert rendered.returncode == 0, rendered.stderr
    assert rendered.stderr == ""
    return list(yaml.safe_load_all(rendered.stdout))


def prepare(folder: Path, data: Path) -> None:
    """Let a copy of the overlay local have its ignored files, from what `loyalty up` makes."""
    for made in ("issuer/jwks.json", "rewards/signing-keys.json", "rewards/ledger-token"):
        path = data / made
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    command: list[str | Path] = ["sh", folder / "prepare.sh", data, NIGHT_TOKEN]
    subprocess.run(command, check=True, timeout=30)


def at(document: Document, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    found: Any = document
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def title(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def pod_template(workload: Document) -> Any:
    """What the pods of a workload are made from; None where it makes none."""
    return at(workload, "spec.template") or at(workload, "spec.jobTemplate.spec.template")


def of_kind(manifests: list[Document], *kinds: str) -> list[Document]:
    return [document for document in manifests if document["kind"] in kinds]


def pods(manifests: list[Document]) -> list[Container]:
    """One container of each workload."""
    first: dict[str, Container] = {}
    for found in containers(manifests):
        # Those that run once before come after.
        first.setdefault(title(found.workload), found)
    return list(first.values())


def servers(manifests: list[Document]) -> list[Container]:
    found = [c for c in pods(manifests) if c.labels["app.kubernetes.io/component"] == "server"]
    names = [c.workload["metadata"]["name"] for c in found]
    assert names == ["ledger", "members", "rewards", "tiering"]
    return found


def workers(manifests: list[Document]) -> list[Container]:
    return [c for c in pods(manifests) if c.labels["app.kubernetes.io/component"] == "worker"]


def containers(manifests: list[Document]) -> list[Container]:
    """Every container that would run."""
    return [
        Container(workload, pod, container)
        for workload in manifests
        if (pod := at(pod_template(workload) or {}, "spec")) is not None
        for container in [*pod["containers"], *pod.get("initContainers", ())]
    ]


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a selector by labels, all that we write, selects a pod; an empty one selects all."""
    assert set(selector) <= {"matchLabels"}
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def environment(container: Document, manifests: list[Document]) -> dict[str, str]:
    """The variables a container sees; fails where a ConfigMap or a key of it is missing."""
    settings = {document["metadata"]["name"]: document for document in manifests}
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= settings[source["configMapRef"]["name"]]["data"]
    for variable in container.get("env", ()):
        name = variable["name"]
        if "value" in variable:
            found[name] = variable["value"]
        elif "configMapKeyRef" in variable["valueFrom"]:
            key = variable["valueFrom"]["configMapKeyRef"]
            found[name] = settings[key["name"]]["data"][key["key"]]
        elif name == "AMQP_URL":
            found[name] = AMQP_URL
        elif name == "NIGHT_TOKEN":
            found[name] = NIGHT_TOKEN
        else:
            assert name.endswith("_DATABASE_URL") or name in PASSWORDS
            found[name] = DATABASE_URL
    return found
