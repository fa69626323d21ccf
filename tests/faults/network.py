"""A line between tills and a server that is slow, and can break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.service.waiting import until

CHUNK_BYTES = 65_536


class Line:
    """Carries bytes to and fro; what the server says arrives late."""

    def __init__(self, server_address: str, *, answer_delay_seconds: float) -> None:
        self._server_address = server_address
        self._answer_delay_seconds = answer_delay_seconds
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = ""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Line"]:
        listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            listener.close()
            self.break_off()
            await until(lambda: not self._writers)

    def break_off(self) -> None:
        """Drop every connection at once, with what is on its way."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._server_address.rpartition(":")
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            self._drop(writer)
            return
        self._writers.add(server_writer)
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(carry(reader, server_writer, delay_seconds=0.0))
                late = carry(server_reader, writer, delay_seconds=self._answer_delay_seconds)
                directions.create_task(late)
        except* OSError:
            # One side closed, so the other is closed too.
            pass
        finally:
            self._drop(writer)
            self._drop(server_writer)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        self._writers.discard(writer)


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delay_seconds: float
) -> None:
    """Write what is read, in order, each piece so much later; ends with OSError when one closes."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        while piece := await reader.read(CHUNK_BYTES):
            pieces.put_nowait((loop.time() + delay_seconds, piece))
        raise ConnectionResetError

    async def write() -> None:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(due - loop.time())
            writer.write(piece)
            await writer.drain()

    async with asyncio.TaskGroup() as both:
        both.create_task(read())
        both.create_task(write())
