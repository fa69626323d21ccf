import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.cli import leftovers
from services.cli.leftovers import end_leftovers
from services.cli.run_file import RunningPlatform, RunningProcess
from tests.processes import is_gone

COMMAND = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(COMMAND)
    yield process
    process.kill()
    process.wait()


def platform_with(process: RunningProcess) -> RunningPlatform:
    return RunningPlatform(
        data_dir=Path("/nowhere"),
        pid=1,
        started=0,
        ready=True,
        processes=(process,),
        database_urls={},
        jwks_url="",
        issuer="",
        audience="",
    )


def recorded(pid: int, command: tuple[str, ...]) -> RunningProcess:
    return RunningProcess("ledger", pid, psutil.Process(pid).create_time(), command)


def test_leftover_that_stays_is_ended(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "PATIENCE_SECONDS", 0.1)
    end_leftovers(platform_with(recorded(sleeper.pid, COMMAND)))
    assert is_gone(sleeper.pid)


def test_foreign_process_with_the_same_number_is_left_alone(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "PATIENCE_SECONDS", 0.1)
    end_leftovers(platform_with(recorded(sleeper.pid, ("another", "program"))))
    assert not is_gone(sleeper.pid)
