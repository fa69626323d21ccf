"""Shared holds whose server died over them: they end complete or undone, and whoever heard nothing
and asks again is answered as if nothing had happened.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest

from services.ledger.domain.documents import Command, Document
from services.ledger.domain.refusals import (
    HoldExpired,
    InsufficientPoints,
    OutcomeUnknown,
    QueueFull,
)
from services.ledger.domain.shared_holds import MoveKind, SharedState
from services.ledger.sharing import LEFT_ALONE, Sharing
from services.plumbing.errors import Refused
from tests.service.databases import Databases
from tests.service.ledger_sharing_steps import (
    LIFE,
    Died,
    Family,
    Steps,
    a_uuid,
    asking,
    moving,
    stepping,
)
from tests.service.ledger_together import common_families

POINTS = (10, 40, 50)
MOMENTS_MAX = 60
# To hold is to write it down, to ask each of three wallets, and to note what they said.
AFTER_HOLD = 1 + 3 * 2 + 1


@pytest.fixture
async def steps(databases: Databases) -> AsyncIterator[Steps]:
    async with stepping(common_families(databases)) as found:
        yield found


class Story(ABC):
    """What somebody asks of a server, each time under the same request ids."""

    points: tuple[int, ...] = POINTS
    # Before it, it is as another story.
    first_moment = 1

    def __init__(self, steps: Steps, family: Family) -> None:
        self.steps = steps
        self.family = family
        self.ids = [a_uuid() for _ in range(4)]
        self.asked = asking(family.members[0], 75, self.ids[0])

    @abstractmethod
    async def tell(self, server: Sharing) -> None:
        """Ask for everything, from the beginning."""

    @abstractmethod
    def ended(self) -> bool:
        """Whether all is as it has to be in the end."""

    @property
    def left(self) -> tuple[int, int, int]:
        """What the spender has available, what the lenders have together, and what is held."""
        own, *lent = self.steps.points(self.family)
        return own[0], sum(each[0] for each in lent), own[1] + sum(each[1] for each in lent)


class Purchase(Story):
    """Held, burned but for fifteen, twenty given back."""

    async def tell(self, server: Sharing) -> None:
        hold = (await server.hold(self.asked)).hold
        assert (hold.state, hold.points) == (SharedState.OPEN, 75)
        capture = moving(MoveKind.CAPTURE, hold.shared_hold_id, 60, self.ids[1])
        assert (await server.move(capture)).hold.captured == 60
        refund = moving(MoveKind.REFUND, hold.shared_hold_id, 20, self.ids[2])
        back = (await server.move(refund)).given_back
        assert sum(each.refunded.points for each in back) == 20

    def ended(self) -> bool:
        return self.left == (0, 60, 0)


class ChangeOfMind(Story):
    """Held, then released."""

    first_moment = AFTER_HOLD

    async def tell(self, server: Sharing) -> None:
        hold = (await server.hold(self.asked)).hold
        release = moving(MoveKind.RELEASE, hold.shared_hold_id, 0, self.ids[1])
        assert (await server.move(release)).hold.state is SharedState.RELEASED

    def ended(self) -> bool:
        return self.left == (10, 90, 0)


class LostRace(Story):
    """Somebody else is faster with a lender's points, and another lender has as many."""

    points: tuple[int, ...] = (10, 50, 50, 50)

    async def tell(self, server: Sharing) -> None:
        self.steps.holds.prepare(self.asked)
        if self.steps.points(self.family)[1:] == [(50, 0)] * 3:
            for wallet in self.rival:
                await self.steps.spend(wallet, 45)
        hold = (await server.hold(self.asked)).hold
        assert (hold.state, hold.attempt) == (SharedState.OPEN, 2)

    @property
    def rival(self) -> list[int]:
        """The wallet of the lender who is asked last."""
        hold, _ = self.steps.holds.find(self.hold_id)
        return [max(part.wallet_id for part in hold.parts)]

    @property
    def hold_id(self) -> str:
        move = self.steps.holds.move_of(self.asked.request_id, self.asked.body_hash)
        assert move is not None
        assert move.shared_hold_id is not None
        return move.shared_hold_id

    def ended(self) -> bool:
        return self.left == (0, 40, 10 + 65 + 45)


class LostPoints(LostRace):
    """Somebody else is faster, and there is nobody else to ask."""

    points = (10, 40, 40)

    async def tell(self, server: Sharing) -> None:
        self.steps.holds.prepare(self.asked)
        if self.steps.points(self.family)[1:] == [(40, 0)] * 2:
            await self.steps.spend(self.rival[0], 39)
        with pytest.raises(InsufficientPoints) as caught:
            await server.hold(self.asked)
        assert caught.value.metadata == {"wanted": "75", "available": "51"}

    def ended(self) -> bool:
        return self.left == (10, 41, 39)


class TooLate(Story):
    """A part's life is over when the whole is captured: what was burned comes back."""

    first_moment = AFTER_HOLD

    async def tell(self, server: Sharing) -> None:
        hold = (await server.hold(self.asked)).hold
        last = hold.parts[-1]
        with self.steps.database.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE ledger_{last.wallet_id % 2:02d}.holds SET expire_time = business_time"
                " WHERE wallet_id = %s AND hold_id = %s",
                (last.wallet_id, last.hold_id),
            )
        capture = moving(MoveKind.CAPTURE, hold.shared_hold_id, 0, self.ids[1])
        with pytest.raises(HoldExpired):
            await server.move(capture)

    def ended(self) -> bool:
        return self.left == (10, 90, 0)


STORIES = [Purchase, ChangeOfMind, LostRace, LostPoints, TooLate]


@pytest.mark.parametrize("kind", STORIES)
async def test_killed_at_any_moment_it_ends_complete_or_undone(
    steps: Steps, kind: type[Story]
) -> None:
    for moment in count(kind.first_moment):
        assert moment < MOMENTS_MAX
        story = kind(steps, await steps.family(*kind.points))
        server, mortal = steps.mortal(moment)
        try:
            await story.tell(server)
        except Died:
            assert steps.half_done() == {}
            await steps.sweep()
            await story.tell(steps.sharing)
        assert story.ended(), (moment, story.left)
        if mortal.count < moment:
            break
    # And once more, to no effect.
    await story.tell(steps.sharing)
    assert story.ended()
    assert steps.problems() == {}


async def test_many_servers_finish_it_as_one(steps: Steps) -> None:
    story = Purchase(steps, await steps.family(*POINTS))
    move = steps.holds.prepare(story.asked)
    assert move.shared_hold_id is not None
    calls: list[Awaitable[object]] = [
        *(steps.sharing.advance(move.shared_hold_id) for _ in range(4)),
        *(story.tell(steps.sharing) for _ in range(4)),
        *(steps.sweep() for _ in range(2)),
    ]
    await asyncio.gather(*calls)
    assert story.ended()
    assert steps.problems() == {}


async def test_what_is_under_way_is_left_to_its_server_at_first(steps: Steps) -> None:
    story = ChangeOfMind(steps, await steps.family(*POINTS))
    server, _ = steps.mortal(2)
    with pytest.raises(Died):
        await story.tell(server)
    move = steps.holds.move_of(story.asked.request_id, story.asked.body_hash)
    assert move is not None
    mine = move.shared_hold_id
    # However long this takes.
    steps.later = -LIFE
    assert mine not in steps.holds.left_alone(older_than=LEFT_ALONE, limit=1_000)
    steps.later = LEFT_ALONE
    assert mine in steps.holds.left_alone(older_than=LEFT_ALONE, limit=1_000)
    await steps.sweep()
    assert mine not in steps.holds.left_alone(older_than=0, limit=1_000)


async def test_a_hold_whose_life_is_over_ends_by_itself(steps: Steps) -> None:
    family = await steps.family(*POINTS)
    ids = [a_uuid() for _ in range(3)]
    hold = (await steps.sharing.hold(asking(family.members[0], 75, ids[0]))).hold
    steps.later = LIFE
    capture = moving(MoveKind.CAPTURE, hold.shared_hold_id, 0, ids[1])
    for _ in range(2):
        with pytest.raises(HoldExpired):
            await steps.sharing.move(capture)
    await steps.sweep()
    assert steps.points(family) == [(10, 0), (40, 0), (50, 0)]
    assert steps.holds.find(hold.shared_hold_id)[0].state is SharedState.EXPIRED
    release = moving(MoveKind.RELEASE, hold.shared_hold_id, 0, ids[2])
    assert (await steps.sharing.move(release)).hold.state is SharedState.EXPIRED
    assert steps.problems() == {}


async def test_a_busy_wallet_leaves_the_hold_under_way(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Purchase(steps, await steps.family(*POINTS))
    busy = story.family.wallets[-1]
    post_all: Callable[..., Awaitable[list[Document | Exception]]] = steps.shards.post_all

    async def answer(commands: list[Command]) -> list[Document | Exception]:
        if any(command.wallet_id == busy for command in commands):
            return [QueueFull()] * len(commands)
        return await post_all(commands)

    monkeypatch.setattr(steps.shards, "post_all", answer)
    with pytest.raises(Refused) as caught:
        await story.tell(steps.sharing)
    assert isinstance(caught.value, OutcomeUnknown)
    assert steps.half_done() == {}
    monkeypatch.undo()
    await story.tell(steps.sharing)
    assert story.ended()
