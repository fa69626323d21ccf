"""`loyalty up` as its user sees it; the tests go on with one data directory."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from plumbing.v1 import diagnostics_pb2, diagnostics_pb2_grpc

from services.cli.platform import PlatformFailed, running_platform
from services.cli.run_file import RunningPlatform
from services.cli.status import read as read_status
from services.plumbing import child_process
from services.plumbing.grpc_client import bearer
from tests.journeys.business_days import closed, day, first_open_day, night, publish
from tests.processes import is_gone, wait_for

SERVICES = ("members", "ledger", "tiering", "rewards")
LOYALTY = (sys.executable, "-m", "services.cli")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("platform") / "data"


@contextmanager
def up(data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`loyalty up` in the background, ready; it ends with the block, or with this process."""
    process = child_process.start(
        [*LOYALTY, "up", "--data", str(data), "--port-base", "0"],
        environment=os.environ,
        log=data.with_name("up.log"),
    )
    try:
        wait_until_ready(process, data)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def wait_until_ready(process: subprocess.Popen[bytes], data: Path) -> None:
    def ready() -> bool:
        assert process.poll() is None
        platform = RunningPlatform.last(data)
        return platform is not None and platform.pid == process.pid and platform.ready

    wait_for(ready, what="ready", seconds=60)


def loyalty(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LOYALTY, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def status(data: Path) -> dict[str, Any]:
    answered: dict[str, Any] = json.loads(loyalty("status", "--json", "--data", str(data)).stdout)
    return answered


def is_healthy(data: Path) -> bool:
    """What `loyalty status` says, without a process for every time it is asked."""
    return read_status(RunningPlatform.load(data), now=time.time()).healthy


@cache
def token(data: Path) -> tuple[tuple[str, str], ...]:
    """Of `loyalty token`."""
    minted = loyalty(
        *("token", "--data", str(data), "--scope", "diagnostics.read", "--subject", "tester")
    )
    return bearer(minted.stdout.strip())


def ping(data: Path, service: str) -> str:
    """A call that waits for a server that is starting."""
    with grpc.insecure_channel(RunningPlatform.load(data).grpc_address(service)) as opened:
        stub: Any = diagnostics_pb2_grpc.DiagnosticsServiceStub(opened)
        request = diagnostics_pb2.PingRequest(text=service)
        text: str = stub.Ping(request, metadata=token(data), wait_for_ready=True, timeout=30).text
        return text


def test_first_start_is_healthy_and_ctrl_c_leaves_no_process(data: Path) -> None:
    with up(data) as process:
        answered = status(data)
        assert [each["name"] for each in answered["processes"] if not each["healthy"]] == []
        assert answered["healthy"] is True, answered
        assert [each["name"] for each in answered["processes"]] == [
            "postgres",
            "members",
            "ledger",
            "tiering",
            "rewards",
            "bus",
        ]
        assert [each["name"] for each in answered["databases"]] == list(SERVICES)
        assert all(each["size_bytes"] > 1_000_000 for each in answered["databases"])
        assert {lag["consumer"] for lag in answered["bus"]} == {"ledger", "tiering", "rewards"}
        assert {lag["events"] for lag in answered["bus"]} == {0}
        assert [ping(data, service) for service in SERVICES] == list(SERVICES)

        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert [child for child in started if not is_gone(child.pid)] == []
    assert loyalty("status", "--data", str(data)).returncode == 1


def test_second_up_is_refused_and_the_first_goes_on_until_it_is_killed(data: Path) -> None:
    with up(data) as process:
        before = RunningPlatform.load(data)
        second = loyalty("up", "--data", str(data), "--port-base", "0")
        assert second.returncode == 1
        assert second.stderr == f"loyalty up: already running (pid {process.pid}) on {data}\n"
        assert RunningPlatform.load(data) == before
        assert status(data)["healthy"] is True

        # The same start serves to see that children that die are started again.
        ledger = before.process("ledger")
        os.kill(ledger.pid, signal.SIGKILL)
        wait_for(
            lambda: RunningPlatform.load(data).process("ledger").restarts == 1, what="a restart"
        )
        assert ping(data, "ledger") == "ledger"
        os.kill(before.process("postgres").pid, signal.SIGKILL)
        wait_for(lambda: is_healthy(data), what="recovery", seconds=30)
        restarts = {each["name"]: each["restarts"] for each in status(data)["processes"]}
        assert restarts == {
            "postgres": 1,
            "members": 0,
            "ledger": 1,
            "tiering": 0,
            "rewards": 0,
            "bus": 0,
        }

        # And that they end with it, whatever becomes of it.
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        wait_for(lambda: all(is_gone(child.pid) for child in children), what="the children's end")
        assert loyalty("status", "--data", str(data)).returncode == 1


def test_next_start_recovers_and_days_are_closed_when_asked_for(data: Path) -> None:
    with up(data) as process:
        assert status(data)["healthy"] is True
        platform = RunningPlatform.load(data)
        publish(platform, day(5))
        assert closed(data, "--date", day(4)) == [day(5), day(4)]
        refused = night(data, "--date", day(0))
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == f"loyalty night: {day(0)} is not over\n"
        assert first_open_day(platform) == day(3)

        for each in (process.pid, *(child.pid for child in platform.processes)):
            os.kill(each, signal.SIGKILL)
        process.wait()


def test_start_after_kills_closes_the_days_that_ended_before(data: Path) -> None:
    environment = {"LOYALTY_NIGHT": "yes", "LOYALTY_NIGHT_DELAY_MINUTES": "0"}
    told = {"LEDGER_SALE_AGE_DAYS_MAX": "4000"}
    with running_platform(data, environment=environment | told) as platform:
        ledger = psutil.Process(platform.process("ledger").pid)
        assert ledger.environ()["LEDGER_SALE_AGE_DAYS_MAX"] == "4000"
        assert "MEMBERS_DATABASE_URL" not in ledger.environ()
        assert ping(data, "members") == "members"

        wait_for(lambda: first_open_day(platform) == day(0), what="the night", seconds=30)
        ended = night(data)
        assert ended.stdout == f"all days through {day(1)} are closed, nothing was open\n"
    assert is_gone(ledger.pid)
    assert "3 closed now" in (data / "logs" / "night.log").read_text()


def test_port_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        refused = loyalty("up", "--data", str(tmp_path), "--port-base", str(port - 2))
        assert refused.returncode == 1
        # Another of our ports may be in use as well, and be named first.
        assert refused.stderr.startswith("loyalty up: port ")
        assert refused.stderr.count("\n") == 1
        with pytest.raises(PlatformFailed, match="is in use"):
            running_platform(tmp_path, port_base=port - 2).__enter__()
    assert not (tmp_path / "postgres").exists()
    assert not (tmp_path / "run.json").exists()
