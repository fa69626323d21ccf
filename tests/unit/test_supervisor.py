import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.cli.supervisor import (
    Interrupted,
    Program,
    StartFailed,
    Supervisor,
    back_off_seconds,
    run_to_end,
)
from tests.processes import is_gone, wait_for

STEADY = "import time; time.sleep(600)"
# Says when it starts, and when it is told to end, in a file that all share.
TELLTALE = """
import signal, sys, time
def tell(text):
    with open(sys.argv[2], "a") as story:
        story.write(f"{sys.argv[1]} {text}\\n")
def end(*_):
    tell("ends")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
tell("starts")
time.sleep(600)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.told_to_hurry = lambda: True
    supervisor.stop()


def program(directory: Path, code: str, *arguments: str, name: str = "child") -> Program:
    return Program(
        name=name,
        command=(sys.executable, "-c", code, *arguments),
        environment=os.environ,
        log=directory / f"{name}.log",
    )


def tend_until(supervisor: Supervisor, name: str, *, restarts: int) -> None:
    def restarted() -> bool:
        supervisor.tend()
        [child] = [child for child in supervisor.children if child.program.name == name]
        return child.running.restarts == restarts and child.due is None

    wait_for(restarted, what=f"restart {restarts} of {name}")


@pytest.mark.parametrize(
    ("deaths", "seconds"), [(1, 0.2), (2, 0.4), (3, 0.8), (4, 1.6), (5, 3.2), (6, 5.0), (99, 5.0)]
)
def test_back_off_doubles_up_to_its_bound(deaths: int, seconds: float) -> None:
    assert back_off_seconds(deaths) == pytest.approx(seconds)


def test_killed_child_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program(tmp_path, STEADY, name="other"))
    supervisor.start(program(tmp_path, STEADY))
    other, child = supervisor.children
    first = child.running.pid
    os.kill(first, signal.SIGKILL)
    tend_until(supervisor, "child", restarts=1)
    assert child.running.pid != first
    assert psutil.pid_exists(child.running.pid)
    assert other.running.restarts == 0


def test_child_is_not_started_again_before_its_back_off(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(program(tmp_path, STEADY))
    [child] = supervisor.children
    os.kill(child.running.pid, signal.SIGKILL)
    child.process.wait()
    died = time.monotonic()
    tend_until(supervisor, "child", restarts=1)
    assert time.monotonic() - died >= 0.2


def test_every_start_is_reported(tmp_path: Path) -> None:
    reports: list[list[int]] = []
    supervisor = Supervisor()
    supervisor.on_change = lambda: reports.append([c.running.pid for c in supervisor.children])
    try:
        supervisor.start(program(tmp_path, STEADY))
        os.kill(supervisor.children[0].running.pid, signal.SIGKILL)
        tend_until(supervisor, "child", restarts=1)
    finally:
        supervisor.stop()
    [[first], [second]] = reports
    assert first != second


def test_children_stop_in_reverse_order(supervisor: Supervisor, tmp_path: Path) -> None:
    story = tmp_path / "story"
    for number, name in enumerate(("database", "server", "bus"), start=1):
        supervisor.start(program(tmp_path, TELLTALE, name, str(story), name=name))
        wait_for(
            lambda count=number: story.exists() and len(story.read_text().splitlines()) == count,  # type: ignore[misc]
            what=f"the start of {name}",
        )
    pids = [child.running.pid for child in supervisor.children]
    supervisor.stop()
    assert story.read_text().splitlines() == [
        "database starts",
        "server starts",
        "bus starts",
        "bus ends",
        "server ends",
        "database ends",
    ]
    assert all(is_gone(pid) for pid in pids)


def test_child_that_does_not_end_is_killed_after_its_time(tmp_path: Path) -> None:
    supervisor = Supervisor()
    deaf = replace(program(tmp_path, DEAF), stop_steps=((signal.SIGTERM, 0.2),))
    supervisor.start(deaf)
    wait_for(lambda: deaf.log.read_text() == "deaf\n", what="the start")
    process = supervisor.children[0].process
    supervisor.stop()
    assert process.returncode == -signal.SIGKILL


def test_waiting_ends_when_all_are_healthy(supervisor: Supervisor, tmp_path: Path) -> None:
    answers = iter([False, False, True])
    slow = program(tmp_path, STEADY, name="slow")
    supervisor.start(replace(slow, is_healthy=lambda: next(answers)))
    supervisor.wait_until_healthy(["slow"], timeout_seconds=10)
    assert list(answers) == []


def test_child_that_keeps_ending_fails_the_start_with_its_last_words(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    code = "import sys; sys.exit('configuration: LEDGER_DATABASE_URL: Field required')"
    dying = program(tmp_path, code, name="ledger")
    supervisor.start(replace(dying, is_healthy=lambda: False))
    with pytest.raises(StartFailed) as refused:
        supervisor.wait_until_healthy(["ledger"], timeout_seconds=30)
    first, *rest = str(refused.value).splitlines()
    assert first == f"ledger keeps ending; the end of {dying.log}:"
    assert set(rest) == {"configuration: LEDGER_DATABASE_URL: Field required"}


def test_child_that_is_never_healthy_fails_the_start(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    hung = program(tmp_path, STEADY, name="hung")
    supervisor.start(replace(hung, is_healthy=lambda: False))
    with pytest.raises(StartFailed, match="hung is not ready"):
        supervisor.wait_until_healthy(["hung"], timeout_seconds=0.1)


def test_waiting_is_interrupted_when_told_to_stop(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program(tmp_path, STEADY))
    supervisor.told_to_stop = lambda: True
    with pytest.raises(Interrupted):
        supervisor.wait_until_healthy(["child"], timeout_seconds=10)


def test_programs_run_to_their_end_side_by_side(tmp_path: Path) -> None:
    meet = "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\n"
    meet += "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)"
    left, right = str(tmp_path / "left"), str(tmp_path / "right")
    run_to_end(
        [
            program(tmp_path, meet, left, right, name="one"),
            program(tmp_path, meet, right, left, name="two"),
        ],
        lambda: False,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "left",
        "one.log",
        "right",
        "two.log",
    ]


def test_failing_program_ends_the_others_too(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    steady = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()));"
    failing = "import pathlib, sys, time\n"
    failing += "while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\n"
    failing += "sys.exit('no such revision')"
    with pytest.raises(StartFailed) as refused:
        run_to_end(
            [
                program(tmp_path, steady + STEADY, str(pid_file), name="steady"),
                program(tmp_path, failing, str(pid_file), name="failing"),
            ],
            lambda: False,
        )
    assert str(refused.value) == (
        f"failing ended with exit code 1; the end of {tmp_path / 'failing.log'}:\nno such revision"
    )
    assert is_gone(int(pid_file.read_text()))
