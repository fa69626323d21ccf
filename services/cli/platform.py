"""A platform for the length of a block, run as `loyalty up` would run it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from services.cli.run_file import RunningPlatform
from services.plumbing import child_process

READY_SECONDS_MAX = 780.0
STOP_STEPS = ((signal.SIGTERM, 150.0),)
POLL_SECONDS = 0.02


class PlatformFailed(Exception):  # noqa: N818 — an answer, not an accident
    """`loyalty up` ended instead of getting ready; the message is what it said."""


@contextmanager
def running_platform(
    data_dir: Path,
    *,
    port_base: int = 0,
    environment: Mapping[str, str] | None = None,
    amqp_url: str | None = None,
) -> Iterator[RunningPlatform]:
    """A platform on a data directory, stopped at the end of the block; the data stays.

    environment is added to that of every service; with the URL of a RabbitMQ the workers carry the
    events. Refuses: PlatformFailed.
    """
    output = data_dir / "logs" / "up.out"
    process = child_process.start(
        [
            *(sys.executable, "-m", "services.cli", "up"),
            *("--data", str(data_dir), "--port-base", str(port_base)),
        ],
        # By the environment: a command line with a password in it is everybody's to read.
        environment={
            **os.environ,
            **(environment or {}),
            **({"LOYALTY_AMQP_URL": amqp_url} if amqp_url else {}),
        },
        log=output,
    )
    try:
        yield _wait_until_ready(process, data_dir, output)
    finally:
        child_process.stop(process, STOP_STEPS)


def _wait_until_ready(
    process: subprocess.Popen[bytes], data_dir: Path, output: Path
) -> RunningPlatform:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        platform = RunningPlatform.last(data_dir)
        if platform is not None and platform.pid == process.pid and platform.ready:
            return platform
        time.sleep(POLL_SECONDS)
    raise PlatformFailed(child_process.last_lines(output))
