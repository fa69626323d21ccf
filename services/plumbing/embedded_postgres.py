"""PostgreSQL as a child process of ours, for one machine and for tests."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from services.plumbing import child_process, postgres_cluster
from services.plumbing.directory_lock import directory_lock
from services.plumbing.postgres_cluster import STOP_STEPS, Cluster, PostgresFailed

if TYPE_CHECKING:
    import subprocess

# Replaying a long log after a crash takes its time, and the process is watched meanwhile.
START_SECONDS_MAX = 600.0
POLL_SECONDS = 0.02


class PostgresServer:
    """A running embedded database that can be stopped and started again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def url_of(self, database: str) -> str:
        return self._cluster.url_of(database)

    def create_database(self, name: str) -> None:
        self._cluster.create_database(name)

    def start(self) -> None:
        """Start it and wait until it answers. Refuses: PostgresFailed."""
        postgres_cluster.while_passable(self._cluster.data, self._cluster.account, self._start)

    def _start(self) -> None:
        self._cluster.make_startable()
        self._process = child_process.start(
            self._cluster.command,
            environment=postgres_cluster.environment(),
            log=self._cluster.log,
            end_signal=signal.SIGINT,
            account=self._cluster.account,
            directory=Path("/"),
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._cluster.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                reason = child_process.last_lines(self._cluster.log)
                raise PostgresFailed(f"PostgreSQL did not start:\n{reason}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            child_process.stop(self._process, STOP_STEPS)
            self._process = None


@contextmanager
def embedded_postgres(directory: Path) -> Iterator[PostgresServer]:
    """A database server while the block runs; the data stays.

    Refuses: DirectoryInUse, PostgresFailed.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with directory_lock(directory):
        cluster = postgres_cluster.prepare(directory)
        server = PostgresServer(cluster)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            cluster.release()
