"""A child process that answers one request at a time over a socket of its own.

An interpreter runs one thread at a time; work that a server's event loop would wait for goes on in
another process. The child ends when its parent does, however that ended: the socket says so.
"""

import asyncio
import logging
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence

log = logging.getLogger("work_process")

_length = struct.Struct("!I")
READ_BUFFER_BYTES = 1 << 22


class WorkerLost(Exception):  # noqa: N818 — what became of the request is unknown, not wrong
    """The child ended before it answered."""


class WorkProcess:
    """Starts the child at the first request, and anew after it ended. Used from one event loop."""

    def __init__(self, module: str, opening: bytes) -> None:
        """module is run as a program; opening is its first request, answered when it is ready."""
        self._module = module
        self._opening = opening
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._asking = asyncio.Lock()

    async def start(self) -> None:
        """Start the child now rather than at the first request. Refuses: WorkerLost."""
        async with self._asking:
            await self._started()

    async def ask(self, request: bytes) -> bytes:
        """The child's answer. Refuses: WorkerLost."""
        async with self._asking:
            await self._started()
            return await self._answer(request)

    async def close(self) -> None:
        """Let the request under way be answered, then let the child end."""
        async with self._asking:
            if self._process is not None:
                await self._end()

    async def _started(self) -> None:
        if self._process is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _child(self._module, theirs.fileno())
        self._reader, self._writer = await asyncio.open_unix_connection(
            sock=ours, limit=READ_BUFFER_BYTES
        )
        await self._answer(self._opening)

    async def _answer(self, request: bytes) -> bytes:
        try:
            self._writer.write(_length.pack(len(request)) + request)
            length = _length.unpack(await self._reader.readexactly(_length.size))[0]
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            await self._end()
            raise WorkerLost from None

    async def _end(self) -> None:
        process, self._process = self._process, None
        self._writer.close()
        if process is not None:
            code = await asyncio.to_thread(process.wait)
            log.info("worker ended", extra={"program": self._module, "code": code})


def _child(module: str, socket_number: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", module, str(socket_number)]
    return subprocess.Popen(command, pass_fds=[socket_number])  # noqa: S603 — a module of ours


def serve(arguments: Sequence[str], opened: Callable[[bytes], Callable[[bytes], bytes]]) -> None:
    """What the child does: answers requests until its parent is gone.

    arguments are the program's; opened makes the answering function of the opening.
    """
    # Ctrl-C reaches the parent's whole group; the parent says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(arguments[0])) as channel:
        opening = _received(channel)
        if opening is None:
            return
        answer = opened(opening)
        answered = b""
        while True:
            try:
                channel.sendall(_length.pack(len(answered)) + answered)
            except BrokenPipeError:
                return
            request = _received(channel)
            if request is None:
                return
            answered = answer(request)


def _received(channel: socket.socket) -> bytes | None:
    """The next message; None when the parent is gone."""
    head = _exactly(channel, _length.size)
    return None if head is None else _exactly(channel, _length.unpack(head)[0])


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    parts = []
    while count:
        part = channel.recv(min(count, READ_BUFFER_BYTES))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
