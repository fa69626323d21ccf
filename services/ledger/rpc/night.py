"""What the night calls to close business days."""

import asyncio
import time
from datetime import date

from loyalty.ledger.v1 import night_pb2, night_pb2_grpc

from services.ledger.domain.documents import Command, Document
from services.ledger.domain.night import Step, points_of
from services.ledger.domain.refusals import HoldCaptured
from services.ledger.shards import Shards
from services.ledger.storage.night import DayDone
from services.ledger.usecases.night import Nights
from services.plumbing.errors import FieldViolation, Invalid
from services.plumbing.grpc_calls import Context

WALLETS_MAX = 2_000
# So much is handed to the committers at once; what tills ask meanwhile comes between.
WALLETS_AT_ONCE = 250
# How long after a part, in times of what it took, the tills have the shards to themselves.
REST = 4.0


class Night(night_pb2_grpc.NightServiceServicer):
    def __init__(self, *, shards: Shards, nights: Nights) -> None:
        self._shards = shards
        self._nights = nights

    async def GetNightStep(
        self,
        request: night_pb2.GetNightStepRequest,
        context: Context,  # noqa: ARG002
    ) -> night_pb2.GetNightStepResponse:
        day = await asyncio.to_thread(self._nights.first_open_day, Step(request.step))
        return night_pb2.GetNightStepResponse(first_open_day=day.isoformat() if day else "")

    async def RunNightStep(
        self,
        request: night_pb2.RunNightStepRequest,
        context: Context,  # noqa: ARG002
    ) -> night_pb2.RunNightStepResponse:
        step, day = Step(request.step), read_day(request.day)
        wallets_max = request.wallets_max or WALLETS_MAX
        found = await asyncio.to_thread(self._nights.slice, step, day, wallets_max=wallets_max)
        if isinstance(found, DayDone):
            return night_pb2.RunNightStepResponse(
                done=True, day_wallets=found.wallets, day_points=found.points
            )
        posted = await self._post(found)
        points = sum(points_of(document) for document in posted)
        after = await asyncio.to_thread(
            self._nights.note, step, day, wallets=len(posted), points=points
        )
        return night_pb2.RunNightStepResponse(
            done=after.done,
            wallets=len(posted),
            points=points,
            day_wallets=after.wallets,
            day_points=after.points,
        )

    async def _post(self, commands: list[Command]) -> list[Document]:
        """A part after the other; each is followed by a rest where tills came meanwhile.

        Refuses: what the first command met that was not posted, unless others were.
        """
        posted: list[Document] = []
        for begin in range(0, len(commands), WALLETS_AT_ONCE):
            part = commands[begin : begin + WALLETS_AT_ONCE]
            started, taken = time.monotonic(), self._shards.taken
            answers = await self._shards.post_all(part)
            if self._shards.taken - taken > len(part):
                await asyncio.sleep(REST * (time.monotonic() - started))
            posted += [answer for answer in answers if isinstance(answer, Document)]
            # A hold that was captured a moment before is settled.
            failed = [
                answer
                for answer in answers
                if isinstance(answer, Exception) and not isinstance(answer, HoldCaptured)
            ]
            if failed and not posted:
                raise failed[0]
            if failed:
                break
        return posted


def read_day(text: str) -> date:
    """Refuses: Invalid."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        violation = FieldViolation("day", "is not a day of the calendar")
        raise Invalid("day: is not a day of the calendar", violations=[violation]) from None
