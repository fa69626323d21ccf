"""Blocking database work for an asyncio server, on as many threads as there are connections."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Engine

from services.plumbing.database import database_is_away
from services.plumbing.errors import DatabaseDown

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class DatabaseWork:
    """Runs functions whose first argument is the engine; owns the engine.

    A thread for each connection: work waits for a thread, never a thread for a connection.
    """

    def __init__(self, engine: Engine, *, threads: int) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database")

    async def run(
        self,
        function: Callable[Concatenate[Engine, Arguments], Answer],
        /,
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Answer:
        """Do one use case. Refuses: DatabaseDown, which its caller may send again.

        So the use case must be one that does no harm when it was done already: the answer to a
        COMMIT can be lost with the connection.
        """
        work = partial(function, self._engine, *arguments, **named)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except Exception as error:
            if database_is_away(error):
                raise DatabaseDown from None
            raise

    async def close(self) -> None:
        """End after the work under way."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()
