"""Starts programs, starts again those that die, and stops them all in reverse order."""

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from services.cli.run_file import RunningProcess
from services.plumbing import child_process
from services.plumbing.child_process import Account

log = logging.getLogger("up")

BACK_OFF_SECONDS_MIN = 0.2
BACK_OFF_SECONDS_MAX = 5.0
# One that lived this long has recovered; its next end is not counted with those before.
STEADY_SECONDS = 30.0
DEATHS_MAX_BEFORE_HEALTHY = 4
# How long each step of stopping may take for a user who asks twice.
HURRY_SECONDS = 1.0
POLL_SECONDS = 0.02

StopSteps = Sequence[tuple[signal.Signals, float]]


class StartFailed(Exception):  # noqa: N818 — an answer, not an accident
    """A program did not become healthy; the message says which and why."""


class Interrupted(Exception):  # noqa: N818 — an answer, not an accident
    """The user wants an end while something is still starting."""


def _nothing() -> None:
    """What most programs need before they start."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to treat it. stop_steps are signals with the seconds to wait for each."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    is_healthy: Callable[[], bool] = lambda: True
    before_start: Callable[[], None] = _nothing
    stop_steps: StopSteps = ((signal.SIGTERM, 20.0),)
    account: Account | None = None
    working_directory: Path | None = None
    grpc_address: str | None = None
    metrics_address: str | None = None


@dataclass(slots=True)
class Child:
    """A program under supervision. Times are of the monotonic clock."""

    program: Program
    process: subprocess.Popen[bytes]
    running: RunningProcess
    start_time: float
    deaths_in_a_row: int = 0
    was_healthy: bool = False
    # When to start it again; None while it runs.
    due: float | None = None


def back_off_seconds(deaths_in_a_row: int) -> float:
    """How long to wait before a program that died is started again."""
    doubled = BACK_OFF_SECONDS_MIN * 2.0 ** min(deaths_in_a_row - 1, 16)
    return min(doubled, BACK_OFF_SECONDS_MAX)


@dataclass(slots=True)
class Supervisor:
    """Watches over its children. on_change is told whenever one was started or ended."""

    on_change: Callable[[], None] = _nothing
    told_to_stop: Callable[[], bool] = lambda: False
    told_to_hurry: Callable[[], bool] = lambda: False
    children: list[Child] = field(default_factory=list)

    def start(self, program: Program) -> None:
        process, running = _run(program, restarts=0)
        self.children.append(Child(program, process, running, start_time=time.monotonic()))
        self.on_change()

    def tend(self) -> None:
        """Notice who died, and start again those whose time has come."""
        now = time.monotonic()
        for child in self.children:
            if child.due is None and child.process.poll() is not None:
                self._schedule(child, now)
            if child.due is not None and child.due <= now:
                self._start_again(child, now)

    def wait_until_healthy(self, names: Iterable[str], *, timeout_seconds: float) -> None:
        """Refuses: StartFailed after the timeout or several deaths, Interrupted."""
        waited_for = [child for child in self.children if child.program.name in set(names)]
        deadline = time.monotonic() + timeout_seconds
        while waiting := [child for child in waited_for if not child.was_healthy]:
            if self.told_to_stop():
                raise Interrupted
            self.tend()
            for child in waiting:
                child.was_healthy = child.due is None and child.program.is_healthy()
                if not child.was_healthy and child.deaths_in_a_row >= DEATHS_MAX_BEFORE_HEALTHY:
                    raise StartFailed(_reason(child.program, "keeps ending"))
            if time.monotonic() > deadline:
                raise StartFailed(_reason(waiting[0].program, "is not ready"))
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop everything, the last started first, each within its own bound."""
        while self.children:
            child = self.children.pop()
            log.debug("stopping %s", child.program.name)
            _stop(child, self.told_to_hurry)

    def _schedule(self, child: Child, now: float) -> None:
        if now - child.start_time > STEADY_SECONDS:
            child.deaths_in_a_row = 0
        child.deaths_in_a_row += 1
        wait_seconds = back_off_seconds(child.deaths_in_a_row)
        child.due = now + wait_seconds
        log.warning(
            "%s ended %s; starting it again in %.1f s",
            child.program.name,
            _ending(child.process.returncode),
            wait_seconds,
        )

    def _start_again(self, child: Child, now: float) -> None:
        restarts = child.running.restarts + 1
        try:
            child.process, child.running = _run(child.program, restarts=restarts)
        except OSError as error:
            # A full disk, no memory: it may pass, and the others go on.
            log.warning("%s cannot be started: %s", child.program.name, error)
            child.due = now + BACK_OFF_SECONDS_MAX
            return
        child.start_time = now
        child.due = None
        self.on_change()


def run_to_end(programs: Sequence[Program], told_to_stop: Callable[[], bool]) -> None:
    """Run programs side by side until all have succeeded. Refuses: StartFailed, Interrupted."""
    started = [(program, _run(program, restarts=0)[0]) for program in programs]
    try:
        while any(process.poll() is None for _, process in started):
            if told_to_stop():
                raise Interrupted
            _refuse_failed(started)
            time.sleep(POLL_SECONDS)
        _refuse_failed(started)
    finally:
        for program, process in started:
            child_process.stop(process, program.stop_steps)


def _refuse_failed(started: Sequence[tuple[Program, subprocess.Popen[bytes]]]) -> None:
    for program, process in started:
        if code := process.poll():
            raise StartFailed(_reason(program, f"ended {_ending(code)}"))


def _run(program: Program, *, restarts: int) -> tuple[subprocess.Popen[bytes], RunningProcess]:
    program.before_start()
    process = child_process.start(
        program.command,
        environment=program.environment,
        log=program.log,
        end_signal=program.stop_steps[0][0],
        account=program.account,
        directory=program.working_directory,
    )
    running = RunningProcess(
        name=program.name,
        pid=process.pid,
        # It is our child and not yet waited for, so it is there even when it has ended.
        started=psutil.Process(process.pid).create_time(),
        command=program.command,
        restarts=restarts,
        grpc_address=program.grpc_address,
        metrics_address=program.metrics_address,
    )
    return process, running


def _stop(child: Child, told_to_hurry: Callable[[], bool]) -> None:
    for number, seconds in child.program.stop_steps:
        if child.process.poll() is not None:
            return
        child.process.send_signal(number)
        told = time.monotonic()
        while child.process.poll() is None:
            patience_seconds = min(seconds, HURRY_SECONDS) if told_to_hurry() else seconds
            if time.monotonic() > told + patience_seconds:
                break
            time.sleep(POLL_SECONDS)
    if child.process.poll() is None:
        log.warning("%s does not end; killing it", child.program.name)
        child.process.kill()
        child.process.wait()


def _ending(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def _reason(program: Program, problem: str) -> str:
    tail = child_process.last_lines(program.log)
    return f"{program.name} {problem}; the end of {program.log}:\n{tail}"
