"""What a killed `loyalty up` left running."""

import logging

import psutil

from services.cli.run_file import RunningPlatform, RunningProcess

log = logging.getLogger("up")

# They were told to end when their starter died, and finish what they were at.
PATIENCE_SECONDS = 120.0
TERMINATE_SECONDS = 10.0


def end_leftovers(platform: RunningPlatform) -> None:
    """Wait for the processes of a platform whose `up` is gone, and end those that stay.

    A foreign process that has the number of one of them now is not touched.
    """
    # The last started first, so that the database is there until its clients are done.
    for process in reversed(platform.processes):
        _end(process)


def _end(leftover: RunningProcess) -> None:
    process = leftover.found()
    if process is None:
        return
    log.warning("waiting for %s (pid %d) of an earlier run", leftover.name, leftover.pid)
    for seconds, then in (
        (PATIENCE_SECONDS, process.terminate),
        (TERMINATE_SECONDS, process.kill),
        (TERMINATE_SECONDS, process.kill),
    ):
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            # psutil looks at the start time again before it sends a signal.
            then()
        else:
            return
