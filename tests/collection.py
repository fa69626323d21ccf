"""How a run begins: in a directory of its own, and with no test's code prepared twice."""

import gc
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PREFIX = "loyalty-tests-"
KEPT_SECONDS = 6 * 3_600


class OwnDirectory:
    """Holds all that a run makes. pytest's usual ones are taken care of by every other run of it:
    it closes them to the account of our databases, and removes those of earlier runs.

    Removed where no test has failed, else by a run of some hours later.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_kept = False

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._is_kept = session.testsfailed > 0

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._is_kept:
            terminalreporter.write_line(f"what the tests made is kept in {self._path}")

    def pytest_unconfigure(self) -> None:
        if not self._is_kept:
            shutil.rmtree(self._path, ignore_errors=True)


def own_directory() -> Path:
    """A new one; those that were left behind are removed."""
    directory = Path(tempfile.gettempdir())
    for left in directory.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory))


def files_in_turn(worker: int, workers: int) -> list[str]:
    """All files of tests, each worker from another place on.

    pytest rewrites the assertions of each and keeps the outcome for the others, who would else do
    the same work at the same time.
    """
    files = sorted(str(path) for path in (ROOT / "tests").rglob("test_*.py"))
    first = worker * len(files) // workers
    return files[first:] + files[:first]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        part = Path(config.option.basetemp)
        if part.parents[1].name.startswith(PREFIX):
            # It is removed while other workers still test.
            config.pluginmanager.register(OwnDirectory(part))
        if [ROOT / each for each in config.args] == [ROOT / "tests"]:
            number = int(worker["workerid"].removeprefix("gw"))
            config.args = files_in_turn(number, worker["workercount"])
    elif config.option.basetemp is None:
        path = own_directory()
        config.option.basetemp = str(path / "run")
        config.pluginmanager.register(OwnDirectory(path))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: nobody need look for garbage in it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Let the interpreter take down what it looks for at its end."""
    gc.unfreeze()
