"""Child processes that never outlive the process that started them, not even when it is killed."""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from services.plumbing import bound_exec

# A log that has grown past this is put aside, once, when its process is started again.
LOG_BYTES_MAX = 64 * 1024 * 1024

# Linux binds a child to the thread that started it, so all are started by one thread that lives as
# long as the process.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")


@dataclass(frozen=True, slots=True)
class Account:
    """A system account to run as."""

    user_id: int
    group_id: int

    @classmethod
    def named(cls, name: str) -> "Account":
        entry = pwd.getpwnam(name)
        return cls(entry.pw_uid, entry.pw_gid)


def bound(
    command: Sequence[str], *, end_signal: signal.Signals, account: Account | None = None
) -> list[str]:
    """A command that gets end_signal, on Linux, when the thread that started it ends."""
    user, group = (
        (str(account.user_id), str(account.group_id)) if account else (bound_exec.KEEP,) * 2
    )
    watching = [sys.executable, "-I", "-S", bound_exec.__file__]
    return [*watching, str(int(end_signal)), str(os.getpid()), user, group, *command]


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    end_signal: signal.Signals = signal.SIGTERM,
    account: Account | None = None,
    directory: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its output appended to a log.

    On Linux it gets end_signal when this process ends, in whatever way. The program is an absolute
    path.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _put_aside_when_large(log)

    def popen() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 — the caller's own programs
                bound(command, end_signal=end_signal, account=account),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=directory,
                # Ctrl-C in the terminal is for the parent, which stops its children in order.
                start_new_session=True,
            )

    return _starter.submit(popen).result()


def stop(
    process: subprocess.Popen[bytes],
    steps: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 15.0),),
) -> int:
    """End a process: each signal in turn with the seconds to wait for it, at last SIGKILL.

    Returns its exit code.
    """
    for number, seconds in steps:
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        process.kill()
    return process.wait()


def last_lines(log: Path, count: int = 8, bytes_max: int = 16_384) -> str:
    """The end of a log, for a message about why its process ended."""
    try:
        with log.open("rb") as source:
            source.seek(max(0, source.seek(0, os.SEEK_END) - bytes_max))
            lines = source.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(lines[-count:])


def _put_aside_when_large(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(log.suffix + ".1"))
