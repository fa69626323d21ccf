"""A rewards server in a process of its own that is killed where a test wants it.

`fork` lets a process do it that has loaded all modules once and opened nothing.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from services.plumbing.config import AuthSettings
from services.rewards import main
from services.rewards.clients import LedgerPoints
from services.rewards.domain.saga import CALLS, Redemption, Step
from services.rewards.recoverer import Recoverer
from services.rewards.redeeming import Redeeming
from services.rewards.settings import RewardsSettings
from services.rewards.storage import redemptions

METHODS: dict[Step, str] = {step: call.value for step, call in CALLS.items()}


class Moment(StrEnum):
    # The step is written, but not committed.
    WRITTEN = "written"
    # The step is on record; what it asks of the ledger was not asked.
    ASKING = "asking"
    # The ledger has answered; nothing is written yet.
    ANSWERED = "answered"
    # The last step is on record; the caller was not answered.
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True, order=True)
class Death:
    step: Step
    moment: Moment


def deaths() -> Sequence[Death]:
    """Every moment of every step."""
    with_call = (Moment.WRITTEN, Moment.ASKING, Moment.ANSWERED)
    at_rest = (Moment.WRITTEN, Moment.RECORDED)
    return [
        Death(step, moment) for step in Step for moment in (with_call if step in CALLS else at_rest)
    ]


def fork(
    death: Death, auth: AuthSettings, settings: dict[str, Any]
) -> tuple[BaseProcess, Connection]:
    """A server that will die so. Its port comes over the connection."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(death, auth, settings, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _serve(
    death: Death, auth: AuthSettings, settings: dict[str, Any], connection: Connection
) -> None:
    _lie_in_wait(death)
    asyncio.run(_answer(auth, settings, connection))


async def _answer(auth: AuthSettings, settings: dict[str, Any], connection: Connection) -> None:
    server = await main.start(RewardsSettings(**settings), auth)
    connection.send(server.port)
    await server.grpc.wait_for_termination()


def _lie_in_wait(death: Death) -> None:
    # What others left behind is not for the dying: it would be the death of them.
    setattr(Recoverer, "_round", _finds_nothing)  # noqa: B010 — a method
    match death.moment:
        case Moment.WRITTEN:
            for name in ("add", "record"):
                setattr(redemptions, name, _dying_after_writing(death.step, name))
        case Moment.RECORDED:
            setattr(Redeeming, "see_to", _dying_at_rest(death.step))  # noqa: B010 — a method
        case _:
            method = METHODS[death.step]
            setattr(LedgerPoints, method, _dying_with_call(death, method))


def _dying_after_writing(step: Step, name: str) -> Callable[..., Any]:
    write = getattr(redemptions, name)

    def written(connection: Any, changed: Sequence[Redemption], now: Any) -> Any:
        answer = write(connection, changed, now)
        if any(each.step is step for each in changed):
            _die()
        return answer

    return written


def _dying_at_rest(step: Step) -> Callable[..., Awaitable[Any]]:
    see_to = Redeeming.see_to

    async def seen_to(redeeming: Redeeming, redemption: Redemption) -> Any:
        given = await see_to(redeeming, redemption)
        if given.redemption.step is step:
            _die()
        return given

    return seen_to


def _dying_with_call(death: Death, method: str) -> Callable[..., Awaitable[Any]]:
    call = getattr(LedgerPoints, method)

    async def called(points: LedgerPoints, redemption: Redemption, *rest: Any) -> Any:
        dies = redemption.step is death.step
        if dies and death.moment is Moment.ASKING:
            _die()
        answer = await call(points, redemption, *rest)
        if dies:
            _die()
        return answer

    return called


async def _finds_nothing(_self: Recoverer) -> int:
    return 0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
