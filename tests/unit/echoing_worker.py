"""A program for tests of work processes: it answers what it is asked, behind its opening."""

import os
import sys
import time
from pathlib import Path

from services.plumbing.work_process import Worker, serve

NUMBER = b"your process number"
END = b"end without an answer"
# A path follows: once answered, the program is busy until there is a file.
BUSY_UNTIL = b"busy afterwards until there is "
BUSY_SECONDS_MAX = 60.0


class Echo:
    def __init__(self, opening: bytes) -> None:
        self._opening = opening
        self._awaited: Path | None = None

    def answer(self, request: bytes) -> bytes:
        if request == NUMBER:
            return str(os.getpid()).encode()
        if request == END:
            sys.exit(3)
        if request.startswith(BUSY_UNTIL):
            self._awaited = Path(request.removeprefix(BUSY_UNTIL).decode())
        return self._opening + request

    def afterwards(self) -> None:
        deadline = time.monotonic() + BUSY_SECONDS_MAX
        while self._awaited and not self._awaited.exists() and time.monotonic() < deadline:
            time.sleep(0.01)


def opened(opening: bytes) -> Worker:
    echo = Echo(opening)
    return Worker(echo.answer, echo.afterwards)


if __name__ == "__main__":
    serve(sys.argv[1:], opened)
