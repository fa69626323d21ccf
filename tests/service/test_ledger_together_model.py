"""Whatever a household does in whatever order, merging and parting too, everybody has what a plain
model says.
"""

import itertools
from collections.abc import AsyncIterator
from random import Random

import pytest

from services.ledger.domain.refusals import InsufficientPoints
from services.ledger.domain.shared_holds import MoveKind, SharedHold
from tests.service.databases import Databases
from tests.service.ledger_sharing_steps import Family, Steps, a_uuid, asking, moving, stepping
from tests.service.ledger_together import Together, common_families, told_together

LIMIT = 50
BEGINNING = (30, 20, 25, 5)
ACTIONS = 60


@pytest.fixture
async def steps(databases: Databases) -> AsyncIterator[Steps]:
    async with stepping(common_families(databases)) as found:
        yield found


class Model:
    """Points of each member by origin, who counts for whom, and what others may spend of each."""

    def __init__(self, members: list[str]) -> None:
        self.available = dict(zip(members, BEGINNING, strict=True))
        self.held = dict.fromkeys(members, 0)
        self.lent = dict.fromkeys(members, 0)
        # Source to target, with the merge's name.
        self.merges: dict[str, tuple[str, str]] = {}
        self.order = sorted(members)

    @property
    def roots(self) -> list[str]:
        return [member for member in self.order if member not in self.merges]

    def counting(self, root: str) -> set[str]:
        """A member and everybody who counts for them."""
        found = {root}
        for source, (target, _) in itertools.chain.from_iterable(
            [self.merges.items()] * len(self.order)
        ):
            if target in found:
                found.add(source)
        return found

    def spendable(self, root: str) -> int:
        own = self.counting(root)
        there, counted = sum(self.available[member] for member in own), set(own)
        for lender in self.order:
            if lender not in own:
                closure = self.counting(lender)
                left = LIMIT - sum(self.lent[member] for member in closure)
                has = sum(self.available[member] for member in closure - counted)
                there += max(0, min(left, has))
                counted |= closure
        return there

    def move(self, hold: SharedHold, *, available: int = 0, held: int = 0, lent: int = 0) -> None:
        """Let as many points as the parts have move, so many times."""
        for part in hold.parts:
            self.available[part.owner_id] += available * part.points
            self.held[part.owner_id] += held * part.points
            self.lent[part.owner_id] += lent * part.points * part.pooled


class Life:
    """Does what chance says, beside the model."""

    def __init__(self, steps: Steps, told: Together, family: Family, chance: Random) -> None:
        self.steps = steps
        self.told = told
        self.family = family
        self.chance = chance
        self.model = Model(family.members)
        self.open: list[SharedHold] = []
        self.burned: list[SharedHold] = []

    async def earn(self) -> None:
        member = self.chance.choice(self.family.members)
        points = self.chance.randint(1, 8)
        await self.steps.earn(self.family.wallets[self.family.members.index(member)], points)
        self.model.available[member] += points

    async def merge(self) -> None:
        if len(self.model.roots) > 1:
            source, target = self.chance.sample(self.model.roots, 2)
            merge = self.told.merged(f"members/{source}", f"members/{target}")
            self.model.merges[source] = target, merge

    async def part(self) -> None:
        if self.model.merges:
            source = self.chance.choice(sorted(self.model.merges))
            target, merge = self.model.merges.pop(source)
            self.told.unmerged(merge, f"members/{source}", f"members/{target}")

    async def hold(self) -> None:
        root = self.chance.choice(self.model.roots)
        there = self.model.spendable(root)
        points = self.chance.randint(1, there + 20)
        asked = asking(root, points, a_uuid())
        if points > there:
            with pytest.raises(InsufficientPoints) as caught:
                await self.steps.sharing.hold(asked)
            assert caught.value.metadata["available"] == str(there)
            return
        hold = (await self.steps.sharing.hold(asked)).hold
        assert hold.points == points
        self.open.append(hold)
        self.model.move(hold, available=-1, held=1, lent=1)

    async def end(self) -> None:
        """Capture or release a hold."""
        if self.open:
            hold = self.open.pop(self.chance.randrange(len(self.open)))
            kind = self.chance.choice([MoveKind.CAPTURE, MoveKind.RELEASE])
            await self.steps.sharing.move(moving(kind, hold.shared_hold_id, 0, a_uuid()))
            if kind is MoveKind.CAPTURE:
                self.burned.append(hold)
                self.model.move(hold, held=-1)
            else:
                self.model.move(hold, available=1, held=-1, lent=-1)

    async def refund(self) -> None:
        if self.burned:
            hold = self.burned.pop(self.chance.randrange(len(self.burned)))
            move = moving(MoveKind.REFUND, hold.shared_hold_id, 0, a_uuid())
            await self.steps.sharing.move(move)
            self.model.move(hold, available=1, lent=-1)

    def check(self) -> None:
        expected = [
            (self.model.available[member], self.model.held[member])
            for member in self.family.members
        ]
        assert self.steps.points(self.family) == expected
        assert max(self.model.lent.values()) <= LIMIT


@pytest.mark.parametrize("seed", [1, 2])
async def test_everybody_has_what_is_theirs_by_origin(steps: Steps, seed: int) -> None:
    chance = Random(seed)  # noqa: S311 — the same every time
    with told_together(steps.url) as told:
        life = Life(steps, told, await steps.family(*BEGINNING), chance)
        actions = [life.earn, life.merge, life.part, life.hold, life.hold, life.end, life.refund]
        for _ in range(ACTIONS):
            await chance.choice(actions)()
            life.check()
        while life.model.merges:
            await life.part()
        life.check()
    assert steps.problems() == {}
