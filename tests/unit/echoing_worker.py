"""A program for tests of work processes: it answers what it is asked, behind its opening."""

import os
import sys
from collections.abc import Callable

from services.plumbing.work_process import serve

NUMBER = b"your process number"
END = b"end without an answer"


def opened(opening: bytes) -> Callable[[bytes], bytes]:
    def answer(request: bytes) -> bytes:
        if request == NUMBER:
            return str(os.getpid()).encode()
        if request == END:
            sys.exit(3)
        return opening + request

    return answer


if __name__ == "__main__":
    serve(sys.argv[1:], opened)
