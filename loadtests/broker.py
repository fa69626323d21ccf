"""A RabbitMQ of its own for tests and measurements: the machine's, or one it installs."""

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from services.plumbing import child_process, rabbitmq

# Debian's own command changes the user and the directory; the one behind it does neither.
COMMANDS = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),)
HOST = "127.0.0.1"
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
MAPPER_SECONDS_MAX = 15.0
POLL_SECONDS = 0.01
MISSING = (
    "RabbitMQ is needed: rabbitmq-server is not on the PATH, and only root on a system with apt-get"
    " can install it here"
)


class BrokerFailed(Exception):  # noqa: N818 — says what happened
    """RabbitMQ is missing, or did not do what it was told; the message says which."""


def installed() -> tuple[Path, Path]:
    """Where the server and Erlang's port mapper are; installs them where that is possible.

    Refuses: BrokerFailed with one line that says what is missing.
    """
    found = _found()
    if found is None and os.geteuid() == 0 and (apt_get := shutil.which("apt-get")):
        _install(apt_get)
        found = _found()
    if found is None:
        raise BrokerFailed(MISSING)
    return found


def _found() -> tuple[Path, Path] | None:
    on_path = shutil.which("rabbitmq-server")
    servers = [path for path in COMMANDS if path.exists()] or ([Path(on_path)] if on_path else [])
    mapper = shutil.which("epmd")
    return (servers[0], Path(mapper)) if servers and mapper else None


def _install(apt_get: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # Another run of the tests may be installing it.
    patient = ("-o", "DPkg::Lock::Timeout=120")
    package = ("install", "-y", "--no-install-recommends", "rabbitmq-server")
    for arguments in (("update",), package):
        subprocess.run(  # noqa: S603 — the system's own, with arguments of ours
            [apt_get, *patient, *arguments],
            env=environment,
            check=True,
            capture_output=True,
            timeout=240,
        )


class Broker:
    """One node with its own name, ports and data; what it holds survives its restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server, self._mapper = installed()
        self._port, distribution_port, self._mapper_port = _free_ports(3)
        self._environment = os.environ | {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": f"loyalty-{uuid.uuid4().hex}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
        }
        self._running = ExitStack()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self._port}//"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it serves."""
        (self._folder / "plugins").write_text("[].")
        with ExitStack() as started:
            self._run(started, "mapper", [str(self._mapper), "-port", str(self._mapper_port)])
            # Were it not there yet, the server would start one that nobody stops.
            _wait_for(lambda: _listens(self._mapper_port), seconds=MAPPER_SECONDS_MAX)
            self._process = self._run(started, "server", [str(self._server)])
            _wait_for(self._serves, seconds=START_SECONDS_MAX)
            self._running = started.pop_all()

    def stop(self) -> None:
        self._running.close()

    def kill(self) -> None:
        """End it without a word."""
        _send(self._process.pid, signal.SIGKILL)
        self._running.close()

    def _run(self, started: ExitStack, name: str, command: list[str]) -> "subprocess.Popen[bytes]":
        process = child_process.start(
            command, environment=self._environment, log=self._folder / f"{name}.out"
        )
        started.callback(_stop_group, process)
        return process

    def _serves(self) -> bool:
        if self._process.poll() is not None:
            raise BrokerFailed(child_process.last_lines(self._folder / "server.out"))
        with suppress(OSError), rabbitmq.connect(self.url):
            return True
        return False


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """A broker for the length of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _stop_group(process: "subprocess.Popen[bytes]") -> None:
    """End a command and what it started, which outlives it when told too early."""
    _send(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS_MAX)
        _wait_for(lambda: not _send(process.pid, 0), seconds=STOP_SECONDS_MAX)
    finally:
        _send(process.pid, signal.SIGKILL)
        process.wait()


def _send(group: int, number: int) -> bool:
    """Send a signal to all of a process group; says whether anybody was there."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _wait_for(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BrokerFailed(f"RabbitMQ did not answer within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((HOST, port), timeout=1.0).close()
        return True
    return False


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        taken = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in taken]
