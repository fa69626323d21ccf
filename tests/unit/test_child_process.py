import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from services.plumbing import child_process
from tests.processes import is_gone, wait_for

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
STARTER = """
import os, sys
from pathlib import Path
from services.plumbing import child_process
child = child_process.start(
    (sys.executable, "-c", "import time; time.sleep(600)"),
    environment=os.environ, log=Path(sys.argv[1]),
)
print(child.pid, flush=True)
import time
time.sleep(600)
"""


def start(command: tuple[str, ...], log: Path) -> subprocess.Popen[bytes]:
    return child_process.start(command, environment=os.environ, log=log)


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "child.log"
    code = "import sys; print('to stdout', flush=True); print('to stderr', file=sys.stderr)"
    child = start((sys.executable, "-c", code), log)
    assert child.wait(15) == 0
    assert log.read_text() == "to stdout\nto stderr\n"
    assert child_process.last_lines(log, count=1) == "to stderr"


def test_child_runs_the_program_itself_in_a_session_of_its_own(tmp_path: Path) -> None:
    child = start(SLEEPER, tmp_path / "child.log")
    try:
        process = psutil.Process(child.pid)
        wait_for(lambda: tuple(process.cmdline()) == SLEEPER, what="the program")
        assert os.getsid(child.pid) == child.pid
    finally:
        assert child_process.stop(child) == -signal.SIGTERM


def test_child_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path / "child.log")], stdout=subprocess.PIPE
    )
    assert starter.stdout is not None
    with starter.stdout as output:
        pid = int(output.readline())
    assert not is_gone(pid)
    starter.kill()
    starter.wait()
    wait_for(lambda: is_gone(pid), what="the end of the child")


def test_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    children: list[subprocess.Popen[bytes]] = []
    asking = threading.Thread(
        target=lambda: children.append(start(SLEEPER, tmp_path / "child.log"))
    )
    asking.start()
    asking.join()
    [child] = children
    try:
        process = psutil.Process(child.pid)
        wait_for(lambda: tuple(process.cmdline()) == SLEEPER, what="the program")
        assert child.poll() is None
    finally:
        child_process.stop(child)


def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = start((sys.executable, "-c", DEAF), log)
    wait_for(lambda: child_process.last_lines(log) == "deaf", what="the start")
    assert child_process.stop(child, ((signal.SIGTERM, 0.1),)) == -signal.SIGKILL


def test_large_log_is_put_aside_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "LOG_BYTES_MAX", 10)
    log = tmp_path / "child.log"
    log.write_text("more than ten bytes")
    start((sys.executable, "-c", "print('new')"), log).wait(15)
    assert log.read_text() == "new\n"
    assert (tmp_path / "child.log.1").read_text() == "more than ten bytes"
