"""Redemptions brought to their end, a step after the other, by whoever sees to them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4

from services.plumbing.database_work import DatabaseWork
from services.plumbing.errors import Refused, Unavailable
from services.rewards.batching import Batched
from services.rewards.domain.refusals import RedemptionInterrupted, RedemptionPending
from services.rewards.domain.remembering import recall
from services.rewards.domain.saga import Asked, Redemption, Step
from services.rewards.metrics import REDEMPTIONS
from services.rewards.usecases import attend, redeem, undo
from services.rewards.usecases.redeem import Beginning, Captured, Command, Given, Held

log = logging.getLogger("redeeming")

# How long who asks for what is under way already waits for its end, and how often they look.
PATIENCE_SECONDS = 4.0
LOOK_SECONDS = 0.05
# With fewer under way a batch is small however long it waits for others.
MANY = 4


class Points(Protocol):
    """The ledger. It answers the same call of the same redemption as it did the first time.

    Each refuses what it refuses for good, and Unavailable where the outcome is unknown.
    """

    async def hold(self, redemption: Redemption) -> str:
        """The name of the hold."""
        ...

    async def capture(self, redemption: Redemption) -> str:
        """The name of the burn."""
        ...

    async def release(self, redemption: Redemption, hold: str) -> None: ...

    async def refund(self, redemption: Redemption) -> None: ...

    async def available(self, member_id: UUID) -> int:
        """What a member can spend now; nothing without a wallet."""
        ...

    async def answered(self) -> None:
        """Ends when the holds and captures are answered that are asked for now."""


class Redeeming:
    """Takes redemptions through their steps. Used from one event loop."""

    def __init__(
        self,
        database_url: str,
        work: DatabaseWork,
        points: Points,
        clock: Callable[[], datetime],
    ) -> None:
        self._work = work
        self._points = points
        self._clock = clock
        self._under_way: set[asyncio.Task[Given]] = set()
        self._batches: Batched[Command, Given] = Batched(
            database_url,
            lambda session, batch: redeem.advance(session, batch, now=clock()),
            gathered=self._gathered,
        )
        self._steps: Mapping[Step, Callable[[Redemption], Awaitable[Given]]] = {
            Step.HOLDING: self._hold,
            Step.CAPTURING: self._capture,
            Step.RELEASING: self._release,
            Step.CANCELLING: self._refund,
        }

    async def redeem(self, asked: Asked, *, request_id: UUID) -> Given:
        """Refuses: why it is refused for good; RedemptionPending, LedgerDown, DatabaseDown where
        the same request asked again may tell more.
        """
        beginning = Beginning(uuid4(), request_id, asked)
        given = await self._batches.do(beginning)
        if given.redemption.id != beginning.id:
            given = await self._follow(given.redemption)
        elif given.redemption.rests:
            REDEMPTIONS.labels(given.redemption.step).inc()
        else:
            given = await self.see_to(given.redemption)
        if given.redemption.step is Step.REFUSED:
            raise recall(given.redemption.refusal)
        return given

    async def cancel(self, redemption_id: UUID, *, member_id: UUID, reason: str) -> Redemption:
        """Refuses: RedemptionNotFound, RedemptionNotCompleted, VoucherAlreadyRedeemed; LedgerDown
        where the points follow later.
        """
        found = await self._work.run(
            undo.cancel,
            redemption_id,
            member_id=member_id,
            reason=reason,
            now=self._clock(),
        )
        return (await self.see_to(found)).redemption

    async def recover(self, redemption: Redemption) -> Redemption:
        """Bring what was left behind to its end: back where nothing is captured, else forward."""
        if redemption.step is Step.HOLDING:
            redemption = await self._give_up(redemption, RedemptionInterrupted())
        return (await self.see_to(redemption)).redemption

    async def see_to(self, redemption: Redemption) -> Given:
        """Take it to its end, also when the caller leaves meanwhile."""
        task = asyncio.create_task(self._drive(Given(redemption)))
        self._under_way.add(task)
        task.add_done_callback(self._has_ended)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Let what is under way come to its end, or as far as it comes."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        await self._batches.close()

    async def _gathered(self) -> None:
        """Ends when nobody is worth waiting for who would go along with the next batch."""
        if len(self._under_way) >= MANY:
            await self._points.answered()

    def _has_ended(self, task: asyncio.Task[Given]) -> None:
        self._under_way.discard(task)
        # Looked at, for nobody may be waiting for it any more.
        if not task.cancelled():
            task.exception()

    async def _drive(self, given: Given) -> Given:
        try:
            while not given.redemption.rests:
                given = await self._steps[given.redemption.step](given.redemption)
                if given.redemption.rests:
                    REDEMPTIONS.labels(given.redemption.step).inc()
        except Exception:
            await self._let_go(given.redemption)
            raise
        return given

    async def _let_go(self, redemption: Redemption) -> None:
        """Who asks again need not wait until the lease is over."""
        try:
            await self._work.run(attend.let_go, redemption.id)
        except Exception as error:  # noqa: BLE001 — what stopped the redemption matters more
            log.warning("a lease goes on", extra={"error": type(error).__name__})

    async def _follow(self, redemption: Redemption) -> Given:
        """The end of a redemption to which somebody else sees, or nobody any more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            attended = await self._work.run(attend.look, redemption.id)
            if attended.taken_over:
                return await self.see_to(attended.given.redemption)
            if attended.given.redemption.rests:
                return attended.given
            if time.monotonic() > deadline:
                raise RedemptionPending
            await asyncio.sleep(LOOK_SECONDS)

    async def _hold(self, redemption: Redemption) -> Given:
        try:
            hold = await self._points.hold(redemption)
        except Unavailable:
            raise
        except Refused as refusal:
            return Given(await self._give_up(redemption, refusal, nothing_held=True))
        return await self._batches.do(Held(redemption, hold))

    async def _capture(self, redemption: Redemption) -> Given:
        try:
            burn = await self._points.capture(redemption)
        except Unavailable:
            raise
        except Refused as refusal:
            return Given(await self._give_up(redemption, refusal))
        return await self._batches.do(Captured(redemption, burn))

    async def _release(self, redemption: Redemption) -> Given:
        hold = redemption.hold or await self._unknown_hold(redemption)
        if hold:
            await self._points.release(redemption, hold)
        return Given(await self._work.run(undo.refuse, redemption.id, now=self._clock()))

    async def _unknown_hold(self, redemption: Redemption) -> str:
        """What a call to hold, whose answer nobody heard, came to; it is asked again for that."""
        try:
            return await self._points.hold(redemption)
        except Unavailable:
            raise
        except Refused:
            return ""

    async def _refund(self, redemption: Redemption) -> Given:
        await self._points.refund(redemption)
        refunded = await self._work.run(undo.note_refund, redemption.id, now=self._clock())
        return Given(refunded)

    async def _give_up(
        self, redemption: Redemption, refusal: Refused, *, nothing_held: bool = False
    ) -> Redemption:
        return await self._work.run(
            undo.give_up,
            redemption.id,
            refusal,
            nothing_held=nothing_held,
            now=self._clock(),
        )
