"""Which build of Python the Makefile takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastest_python

VERSION = (3, 11)
ROOT = Path(fastest_python.__file__).parent


def build(directory: Path, says: str, name: str = "python3") -> str:
    """A program that answers like a Python."""
    directory.mkdir(exist_ok=True)
    program = directory / name
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("seconds", "taken"), [((0.030, 0.020), "second"), ((0.030, 0.028), "first")]
)
def test_another_build_than_the_first_is_taken_when_it_is_much_faster(
    tmp_path: Path, seconds: tuple[float, float], taken: str
) -> None:
    builds = [
        build(tmp_path / name, f"echo 3 11 {took} {name}")
        for name, took in zip(("first", "second"), seconds, strict=True)
    ]
    assert fastest_python.fastest(builds, VERSION) == taken


@pytest.mark.parametrize("says", ["echo 3 12 0.001 other", "exit 1", "exit 127", "echo no Python"])
def test_what_cannot_be_used_is_passed_over(tmp_path: Path, says: str) -> None:
    builds = [
        build(tmp_path / "useless", says),
        build(tmp_path / "slow", "echo 3 11 0.03 'with a space'"),
        str(tmp_path / "missing"),
    ]
    assert fastest_python.fastest(builds, VERSION) == "with a space"


def test_no_build_at_all(tmp_path: Path) -> None:
    assert fastest_python.fastest([str(tmp_path)], VERSION) is None


def test_programs_are_found_in_the_order_of_the_path_and_once(tmp_path: Path) -> None:
    first = build(tmp_path / "one", "", "python3.11")
    second = build(tmp_path / "two", "")
    (tmp_path / "three").symlink_to(tmp_path / "two")
    (tmp_path / "one" / "python3").write_text("not a program")
    path = [str(tmp_path / name) for name in ("one", "two", "three", "none")]
    assert list(fastest_python.in_path(path, VERSION)) == [first, second]


def test_a_python_is_measured() -> None:
    found = fastest_python.measured(sys.executable, sys.version_info[:2])
    assert found is not None
    assert found[0] == sys.executable
    assert 0 < found[1] < fastest_python.ANSWER_SECONDS_MAX


def test_the_program_prints_a_python_of_its_own_version() -> None:
    """Run as the Makefile does, though nothing is in PATH but what runs it."""
    environment = os.environ | {"PATH": str(Path(sys.executable).parent)}
    printed = subprocess.run(
        [sys.executable, "fastest_python.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert Path(printed.strip()).resolve() == Path(sys.executable).resolve()
