"""A child process that answers one request at a time over a socket of its own.

An interpreter runs one thread at a time; work that a server's event loop would wait for goes on in
another process. The child ends when its parent does, however that ended: the socket says so.
"""

import asyncio
import logging
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

log = logging.getLogger("work_process")

_length = struct.Struct("!I")
READ_BUFFER_BYTES = 1 << 18


class WorkerLost(Exception):  # noqa: N818 — what became of the request is unknown, not wrong
    """The child ended before it answered."""


class WorkProcess:
    """Starts the child at the first request, and anew after it ended. Used from one event loop."""

    def __init__(self, module: str, opening: bytes) -> None:
        """module is run as a program; opening is its first request, answered when it is ready."""
        self._module = module
        self._opening = opening
        self._child: _Child | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start the child now rather than at the first request. Refuses: WorkerLost."""
        await self._started()

    async def ask(self, request: bytes) -> bytes:
        """The child's answer; it answers in the order it is asked. Refuses: WorkerLost."""
        return await self._answer(self._child or await self._started(), request)

    async def close(self) -> None:
        """Let the requests under way be answered, then let the child end."""
        async with self._starting:
            await self._end()

    async def _started(self) -> "_Child":
        async with self._starting:
            child = self._child
            if child is None:
                child = self._child = await _start(self._module)
                await self._answer(child, self._opening)
            return child

    async def _answer(self, child: "_Child", request: bytes) -> bytes:
        try:
            return await child.ask(request)
        except WorkerLost:
            if self._child is child:
                await self._end()
            raise

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            code = await child.end()
            log.info("worker ended", extra={"program": self._module, "code": code})


class _Child(asyncio.Protocol):
    """A child under way and the parent's end of its socket. The loop hands over what has arrived:
    who reads it instead wakes up for the head and for the body.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._transport: asyncio.Transport
        self._arrived = _Arrived()
        # Who waits for an answer, in the order of their requests.
        self._waiting: deque[asyncio.Future[bytes]] = deque()

    def ask(self, request: bytes) -> "asyncio.Future[bytes]":
        """Refuses: WorkerLost, at once or as the answer."""
        if self._transport.is_closing():
            raise WorkerLost
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(_length.pack(len(request)) + request)
        return answer

    async def end(self) -> int:
        """Say that nothing more will be asked, and wait for the end. Answers the exit code."""
        if not self._transport.is_closing():
            self._transport.write_eof()
        return await asyncio.to_thread(self._process.wait)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # An event loop may have transports of a class of its own.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for message in self._arrived.whole_with(data):
            answer = self._waiting.popleft()
            # Who asked may have left.
            if not answer.done():
                answer.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — the loop names it
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(WorkerLost())


async def _start(module: str) -> _Child:
    ours, theirs = socket.socketpair()
    with theirs:
        child = _Child(_run(module, theirs.fileno()))
    await asyncio.get_running_loop().create_unix_connection(lambda: child, sock=ours)
    return child


def _run(module: str, socket_number: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", module, str(socket_number)]
    # Linux shares processors between sessions first: within its parent's, a child would take from
    # the parent's part alone. And Ctrl-C in a terminal is for the parent, who says when it is over.
    return subprocess.Popen(  # noqa: S603 — a module of ours
        command, pass_fds=[socket_number], start_new_session=True
    )


@dataclass(frozen=True, slots=True)
class Worker:
    """What a child does: it answers a request, and afterwards does what nobody waits for."""

    answer: Callable[[bytes], bytes]
    afterwards: Callable[[], None] = lambda: None


def serve(arguments: Sequence[str], opened: Callable[[bytes], Worker]) -> None:
    """The child's program: answers requests until its parent is gone.

    arguments are the program's; opened makes the worker of the opening.
    """
    with socket.socket(fileno=int(arguments[0])) as channel:
        requests = _requests(channel)
        for opening in requests:
            worker = opened(opening)
            _send(channel, b"")
            for request in requests:
                _send(channel, worker.answer(request))
                worker.afterwards()


def _send(channel: socket.socket, message: bytes) -> None:
    # Of a parent that is gone the requests end, too.
    with suppress(BrokenPipeError):
        channel.sendall(_length.pack(len(message)) + message)


def _requests(channel: socket.socket) -> Iterator[bytes]:
    """What arrives until the parent is gone."""
    arrived = _Arrived()
    while part := channel.recv(READ_BUFFER_BYTES):
        yield from arrived.whole_with(part)


class _Arrived:
    """What has arrived of messages; together they come in fewer parts than head and body do."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def whole_with(self, part: bytes) -> Iterator[bytes]:
        """The messages that are whole with this next part."""
        if not self._bytes and _is_one_whole(part):
            # Most are, and need not be put together.
            yield part[_length.size :]
            return
        self._bytes += part
        while len(self._bytes) >= _length.size:
            end = _length.size + _length.unpack_from(self._bytes)[0]
            if len(self._bytes) < end:
                return
            message = bytes(self._bytes[_length.size : end])
            del self._bytes[:end]
            yield message


def _is_one_whole(part: bytes) -> bool:
    count = len(part) - _length.size
    return count >= 0 and _length.unpack_from(part)[0] == count
