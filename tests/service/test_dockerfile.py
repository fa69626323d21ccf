"""What the image's recipe promises, read from its text: no engine is needed to check it."""

import re
import tomllib
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def stages() -> list[list[Instruction]]:
    """The instructions of each stage in order, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    instructions = [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]
    starts = [at for at, (name, _) in enumerate(instructions) if name == "FROM"]
    return [instructions[a:b] for a, b in pairwise([*starts, len(instructions)])]


def values(stage: list[Instruction], name: str) -> list[str]:
    return [value for instruction, value in stage if instruction == name]


def is_sent_to_the_build(path: str) -> bool:
    sent = False
    for pattern in (ROOT / ".dockerignore").read_text().split():
        if fnmatch(path, pattern.removeprefix("!")):
            sent = pattern.startswith("!")
    return sent


def test_base_images_are_pinned_by_tag(stages: list[list[Instruction]]) -> None:
    for stage in stages:
        image = stage[0][1].split()[0]
        assert re.fullmatch(r"python:3\.11-slim-[a-z]+", image)


def test_every_copied_path_exists_and_is_sent_to_the_build(stages: list[list[Instruction]]) -> None:
    copied = {value for stage in stages for value in values(stage, "COPY") if "--from" not in value}
    paths = {path for value in copied for path in value.split()[:-1]}
    assert paths == {"requirements.lock", "requirements-dev.lock", "protos", "services"}
    for path in paths:
        assert (ROOT / path).exists()
        assert is_sent_to_the_build(path)


def test_nothing_local_is_sent_to_the_build() -> None:
    for path in (".git", ".venv", ".loyalty", "stubs", "tests", "k8s", ".cache", "bench.json"):
        assert not is_sent_to_the_build(path)


def test_copies_between_stages_take_what_an_earlier_stage_made(
    stages: list[list[Instruction]],
) -> None:
    taken = [value for value in values(stages[-1], "COPY") if value.startswith("--from=")]
    assert taken == [
        "--from=packages /opt/venv /opt/venv",
        "--from=application /build/services /app/services",
        "--from=application /build/stubs /app/stubs",
    ]
    assert [stage[0][1].split()[-1] for stage in stages[:-1]] == ["packages", "application"]


def test_only_locked_wheels_are_installed(stages: list[list[Instruction]]) -> None:
    installs = [
        run
        for stage in stages
        for run in values(stage, "RUN")
        if re.search(r"pip\b.* install ", run)
    ]
    assert len(installs) == 2
    for run in installs:
        assert "--require-hashes" in run
        assert "--only-binary :all:" in run
        assert "--no-deps" in run


def test_final_image_has_no_build_tools(stages: list[list[Instruction]]) -> None:
    assert values(stages[-1], "RUN") == ["python -m pip uninstall --yes pip setuptools wheel"]
    assert "--without-pip /opt/venv" in values(stages[0], "RUN")[0]
    assert "requirements-dev.lock" not in str(stages[0])


def test_final_image_runs_a_module_as_a_numeric_user(stages: list[list[Instruction]]) -> None:
    assert values(stages[-1], "USER") == ["10001:10001"]
    assert values(stages[-1], "ENTRYPOINT") == ['["python", "-m"]']
    assert values(stages[-1], "HEALTHCHECK") == ["NONE"]
    # Nothing is copied or run by that user, so it owns no file of the image.
    assert [name for name, _ in stages[-1]].index("USER") > max(
        at for at, (name, _) in enumerate(stages[-1]) if name in {"COPY", "RUN"}
    )


def test_image_has_the_projects_version(stages: list[list[Instruction]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'image.version="{project["version"]}"' in values(stages[-1], "LABEL")[0]
