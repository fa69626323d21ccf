"""The house's limits, counted."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 400
# Spelt so that this line is not one of them.
LEFT_OVER = re.compile(r"\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b")
VAGUE_NAMES = {"utils", "helpers", "common", "misc", "util", "helper"}


def sources(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        # What blocks are made of; within expressions there are none.
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, block, ())
            nodes += inner if isinstance(inner, list) else ()


def test_files_are_short() -> None:
    lines = {path: path.read_text().count("\n") for path in sources("*.py")}
    assert {str(path): n for path, n in lines.items() if n > FILE_LINES_MAX} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{found.name}": (found.end_lineno or 0) - found.lineno + 1
        for path in sources("*.py")
        for found in functions(path)
    }
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES_MAX} == {}


def test_nothing_is_left_over() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sources("*.py", "*.proto", "*.yaml", "*.js", "Makefile", "Dockerfile")
        if path != Path(__file__)
        for line in path.read_text().splitlines()
        if LEFT_OVER.search(line)
    ]
    assert found == []


def test_modules_are_named_for_what_they_hold() -> None:
    assert [path for path in sources("*.py") if path.stem in VAGUE_NAMES] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_lock_has_a_hash_for_everything_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    pinned = re.findall(r"^[a-z0-9][^ ]*==", text, re.MULTILINE)
    hashed = re.findall(r"^[a-z0-9][^ ]*==[^\n]*\\\n +--hash=", text, re.MULTILINE)
    assert len(hashed) == len(pinned) > 20
