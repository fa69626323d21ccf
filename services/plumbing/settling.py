"""Settling a batch for good: what fails it is found out, what passes is waited for.

A batch that fails for what is in it is halved until the poison stands alone; a batch whose
connection broke is tried again, since whether it was committed is unknown and the commit function
looks requests up by their ids.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from services.plumbing.database import connection_was_lost
from services.plumbing.sql_state import sql_state

log = logging.getLogger("settling")

Command = TypeVar("Command")
Answer = TypeVar("Answer")

RETRY_SECONDS = 0.2
GIVE_UP_SECONDS = 10.0
# What is nobody's fault and passes: a serialization failure, a deadlock, a lock or a statement that
# took too long, a server that only reads meanwhile (a standby, or one whose disk is full), and any
# want of resources (class 53).
TRANSIENT = {"40001", "40P01", "55P03", "57014", "25006"}
TRANSIENT_CLASS = "53"


class CommitUnknown(Exception):  # noqa: N818 — an answer to the caller
    """The database stayed away; what became of the batch shows when it is asked for again."""


def settle(
    commit: Callable[[Sequence[Command]], Sequence[Answer]],
    commands: Sequence[Command],
    *,
    give_up_seconds: float = GIVE_UP_SECONDS,
) -> list[Answer | Exception]:
    """Commit, and answer each command, or the error that is to blame on that one alone."""
    return _settle(commit, commands, deadline=time.monotonic() + give_up_seconds)


def _settle(
    commit: Callable[[Sequence[Command]], Sequence[Answer]],
    commands: Sequence[Command],
    *,
    deadline: float,
) -> list[Answer | Exception]:
    while True:
        try:
            return list(commit(commands))
        except Exception as error:
            if may_pass(error):
                if time.monotonic() > deadline:
                    log.exception("gave up committing", extra={"size": len(commands)})
                    return [CommitUnknown()] * len(commands)
                log.warning("commit interrupted", extra={"error": type(error).__name__})
                time.sleep(RETRY_SECONDS)
                continue
            if len(commands) == 1:
                log.exception("a command cannot be committed")
                return [error]
        half = len(commands) // 2
        return [
            *_settle(commit, commands[:half], deadline=deadline),
            *_settle(commit, commands[half:], deadline=deadline),
        ]


def may_pass(error: Exception) -> bool:
    """Whether the same batch may go through when tried again."""
    if connection_was_lost(error):
        return True
    code = sql_state(error) or ""
    return isinstance(error, DBAPIError) and (code in TRANSIENT or code.startswith(TRANSIENT_CLASS))
