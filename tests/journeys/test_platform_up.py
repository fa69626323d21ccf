"""`loyalty up` as its user sees it; the tests go on with one data directory."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import psutil
import pytest
from plumbing.v1 import diagnostics_pb2, diagnostics_pb2_grpc

from services.cli.platform import READY_SECONDS_MAX, PlatformFailed, running_platform
from services.cli.run_file import RunningPlatform
from services.cli.status import read as read_status
from services.plumbing import child_process
from services.plumbing.grpc_client import bearer
from tests.journeys.business_days import closed, day, first_open_day, night, publish
from tests.journeys.terminal import loyalty
from tests.processes import is_gone, wait_for

SERVICES = ("members", "ledger", "tiering", "rewards")
LOYALTY = (sys.executable, "-m", "services.cli")
END_SECONDS_MAX = 120.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("platform") / "data"


@pytest.fixture(scope="module")
def first(data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The first `loyalty up` on the directory, until a test kills it."""
    with up(data) as process:
        yield process


@contextmanager
def up(
    data: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """`loyalty up` in the background, ready; it ends with the block, or with this process."""
    process = child_process.start(
        [*LOYALTY, "up", "--data", str(data), "--port-base", "0"],
        environment={**os.environ, **environment},
        log=data.with_name("up.log"),
    )
    try:
        wait_until_ready(process, data)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(END_SECONDS_MAX)


def wait_until_ready(process: subprocess.Popen[bytes], data: Path) -> None:
    def ready() -> bool:
        assert process.poll() is None
        platform = RunningPlatform.last(data)
        return platform is not None and platform.pid == process.pid and platform.ready

    wait_for(ready, what="ready", seconds=READY_SECONDS_MAX)


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as a process of its own, which has ended."""
    return subprocess.run(
        [*LOYALTY, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def status(data: Path) -> dict[str, Any]:
    answered: dict[str, Any] = json.loads(loyalty("status", "--json", "--data", str(data)).stdout)
    return answered


def healthy_status(data: Path) -> dict[str, Any]:
    """The same once all is well, which a machine that stalls may take a while to say."""
    wait_for(lambda: is_healthy(data), what="a healthy platform")
    answered = status(data)
    assert answered["healthy"] is True, answered
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
        text: str = stub.Ping(request, metadata=token(data), wait_for_ready=True, timeout=60).text
        return text


def test_first_start_is_healthy(first: subprocess.Popen[bytes], data: Path) -> None:
    answered = healthy_status(data)
    assert [each["name"] for each in answered["processes"]] == [
        "postgres",
        "members",
        "ledger",
        "tiering",
        "rewards",
        "bus",
    ]
    assert all(each["healthy"] for each in answered["processes"])
    assert [each["name"] for each in answered["databases"]] == list(SERVICES)
    assert all(each["size_bytes"] > 1_000_000 for each in answered["databases"])
    assert {lag["consumer"] for lag in answered["bus"]} == {"ledger", "tiering", "rewards"}
    assert {lag["events"] for lag in answered["bus"]} == {0}
    assert [ping(data, service) for service in SERVICES] == list(SERVICES)
    assert RunningPlatform.load(data).pid == first.pid


def test_second_up_is_refused_and_the_first_goes_on(
    first: subprocess.Popen[bytes], data: Path
) -> None:
    before = RunningPlatform.load(data)
    second = started("up", "--data", str(data), "--port-base", "0")
    assert second.returncode == 1
    assert second.stderr == f"loyalty up: already running (pid {first.pid}) on {data}\n"
    assert RunningPlatform.load(data) == before
    assert is_healthy(data)


def test_children_that_die_are_started_again_and_end_with_it_when_it_is_killed(
    first: subprocess.Popen[bytes], data: Path
) -> None:
    before = RunningPlatform.load(data)
    os.kill(before.process("ledger").pid, signal.SIGKILL)
    wait_for(lambda: RunningPlatform.load(data).process("ledger").restarts == 1, what="a restart")
    assert ping(data, "ledger") == "ledger"
    os.kill(before.process("postgres").pid, signal.SIGKILL)
    restarts = {each["name"]: each["restarts"] for each in healthy_status(data)["processes"]}
    assert restarts == {
        "postgres": 1,
        "members": 0,
        "ledger": 1,
        "tiering": 0,
        "rewards": 0,
        "bus": 0,
    }

    children = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.wait()
    wait_for(lambda: all(is_gone(child.pid) for child in children), what="the children's end")
    assert started("status", "--data", str(data)).returncode == 1


def test_next_start_recovers_and_days_are_closed_when_asked_for(data: Path) -> None:
    with up(data) as process:
        assert healthy_status(data)["healthy"] is True
        platform = RunningPlatform.load(data)
        publish(platform, day(5))
        assert closed(data, "--date", day(4)) == [day(5), day(4)]
        refused = night(data, "--date", day(0))
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr == f"loyalty night: {day(0)} is not over\n"
        assert first_open_day(platform) == day(3)

        for each in (process.pid, *(child.pid for child in platform.processes)):
            # Told by the end of the first, some may be gone already.
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        process.wait()


def test_start_after_kills_closes_the_days_that_ended_and_ctrl_c_leaves_no_process(
    data: Path,
) -> None:
    nightly = {"LOYALTY_NIGHT": "yes", "LOYALTY_NIGHT_DELAY_MINUTES": "0"}
    with up(data, nightly | {"LEDGER_SALE_AGE_DAYS_MAX": "4000"}) as process:
        platform = RunningPlatform.load(data)
        ledger = psutil.Process(platform.process("ledger").pid)
        assert ledger.environ()["LEDGER_SALE_AGE_DAYS_MAX"] == "4000"
        assert "MEMBERS_DATABASE_URL" not in ledger.environ()
        assert ping(data, "members") == "members"

        wait_for(lambda: first_open_day(platform) == day(0), what="the night")
        ended = night(data)
        assert ended.stdout == f"all days through {day(1)} are closed, nothing was open\n"
        log = data / "logs" / "night.log"
        wait_for(lambda: "3 closed now" in log.read_text(), what="the night's last words")

        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(END_SECONDS_MAX) == 0
        assert [child for child in children if not is_gone(child.pid)] == []
    assert loyalty("status", "--data", str(data)).exit_code == 1


def test_port_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        refused = started("up", "--data", str(tmp_path), "--port-base", str(port - 2))
        assert refused.returncode == 1
        # Another of our ports may be in use as well, and be named first.
        assert refused.stderr.startswith("loyalty up: port ")
        assert refused.stderr.count("\n") == 1
        with pytest.raises(PlatformFailed, match="is in use"):
            running_platform(tmp_path, port_base=port - 2).__enter__()
    assert not (tmp_path / "postgres").exists()
    assert not (tmp_path / "run.json").exists()
