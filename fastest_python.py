"""Prints the Python to run on: the fastest build in PATH of the version that runs this.

Builds of one version differ by a third in speed, by whether they were optimised for a profile and
link their library at run time; and often the slow one stands first in PATH.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

# Another build than the first must be so much faster to be taken.
WORTH_IT = 0.9
ANSWER_SECONDS_MAX = 20
# What an interpreter does all day: calls, attributes, dictionaries, texts. Says who it is and how
# many seconds that took at best; fails where no virtual environment can be made.
PROBE = """
import ensurepip, sys, time, venv
class Line:
    def __init__(self, amount): self.amount = amount
    def doubled(self): return self.amount * 2
def work():
    found = {}
    for number in range(20_000):
        line = Line(number)
        found[number % 1_000] = (line.doubled(), str(number), [line.amount])
best = 1e9
for _ in range(10):
    started = time.process_time()
    work()
    best = min(best, time.process_time() - started)
print(*sys.version_info[:2], best, sys.executable)
"""

Build = tuple[str, float]


def in_path(directories: Iterable[str], version: tuple[int, int]) -> Iterator[str]:
    """Programs that may be a Python of a version, each once, in the order of PATH."""
    seen = set()
    for directory in directories:
        for name in ("python3", "python{}.{}".format(*version)):
            program = Path(directory) / name
            if program.resolve() in seen or not os.access(program, os.X_OK):
                continue
            seen.add(program.resolve())
            yield str(program)


def measured(program: str, version: tuple[int, int]) -> Build | None:
    """Where a build lies and the seconds it takes; None for what cannot be used."""
    try:
        answer = subprocess.run(  # noqa: S603 — a Python of the caller's PATH
            [program, "-c", PROBE],
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS_MAX,
            check=True,
        ).stdout
        major, minor, seconds, executable = answer.strip().split(" ", 3)
        build = executable, float(seconds)
        found = int(major), int(minor)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return build if found == version else None


def fastest(programs: Iterable[str], version: tuple[int, int]) -> str | None:
    """The build to take: the first, unless another is much faster; None without any."""
    builds: dict[str, float] = {}
    for program in programs:
        build = measured(program, version)
        if build is not None:
            builds.setdefault(*build)
    if not builds:
        return None
    first = next(iter(builds))
    best = min(builds, key=builds.__getitem__)
    return best if builds[best] < builds[first] * WORTH_IT else first


if __name__ == "__main__":
    ours = sys.version_info[:2]
    print(fastest(in_path(os.get_exec_path(), ours), ours) or sys.executable)
