"""Transfers whose server died over them: whatever was agreed arrives, once and whole, or never
left.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest

from services.cli.audit import run_audit
from services.ledger import main
from services.ledger.domain.documents import (
    Account,
    AdjustPoints,
    Command,
    Document,
    ReceivePoints,
    SendPoints,
)
from services.ledger.domain.liability import Liability
from services.ledger.domain.lots import Lot
from services.ledger.domain.policy import PointKind
from services.ledger.domain.refusals import (
    InsufficientPoints,
    MemberBlocked,
    OutcomeUnknown,
    QueueFull,
)
from services.ledger.domain.transferring import AskedTransfer, TransferState
from services.ledger.storage import accounts
from services.ledger.storage.shards import schemas
from services.ledger.transferring import LEFT_ALONE, TransfersUnderWay
from services.ledger.usecases import together
from services.ledger.usecases.liability import Liabilities
from services.plumbing.database import transaction
from services.plumbing.errors import Refused
from tests.service.conftest import Serve
from tests.service.ledger_history import problems_of
from tests.service.ledger_transfer_steps import (
    MEMBERS,
    SECOND,
    Stepping,
    a_uuid,
    asking,
    stepping,
)
from tests.service.waiting import until


@pytest.fixture
async def ledger(database: Callable[[str], str]) -> AsyncIterator[Stepping]:
    async with stepping(database("ledger")) as steps:
        yield steps


def liability(ledger: Stepping) -> Liability:
    today = datetime.fromtimestamp(ledger.now // 1_000_000, UTC).date()
    return Liabilities(ledger.database).at(today)[0]


def on_their_way(ledger: Stepping) -> int:
    """What the programme's account of transfers holds."""
    with transaction(ledger.database) as connection:
        moved = accounts.all_movements(connection, schemas(connection))
    return -moved.get((Account.TRANSFER, PointKind.REDEEMABLE), 0)


def prove(ledger: Stepping, *, under_way: int = 0, total: int = 100) -> None:
    """The books are right, and tie to the point, whatever is on its way."""
    assert problems_of(run_audit(ledger.url).checks) == {}
    assert on_their_way(ledger) == under_way
    figures = liability(ledger)
    assert figures.ties
    assert figures.movement.transferred == -under_way
    assert figures.outstanding == figures.movement.closing == total - under_way


def terms(lot: Lot) -> tuple[object, ...]:
    return lot.remaining, lot.earn_time, lot.term


# Where the sender has other points, who is sent them, and after how many steps the server dies: to
# another shard, within one, from two wallets. Sent from each wallet, received, noted: then the end.
DEATHS = [
    *[(1, 2, steps) for steps in range(4)],
    *[(1, 3, steps) for steps in (1, 2)],
    *[(SECOND, 2, steps) for steps in range(5)],
]


@pytest.mark.parametrize(("second", "target", "steps"), DEATHS)
async def test_interrupted_after_any_step_it_arrives_once(
    ledger: Stepping, second: int, target: int, steps: int
) -> None:
    await ledger.give(1, 60)
    await ledger.give(second, 40)
    sources = sorted({1, second})
    lots = [lot for wallet in sources for lot in ledger.lots(wallet)]
    asked = asking(1, target, 70, *sources[1:])
    await ledger.die(asked, after=steps)
    prove(ledger, under_way=100 - sum(ledger.points(*sources, target)))
    done = steps >= len(sources) + 2
    assert await ledger.under_way.finish(older_than=0) == (0 if done else 1)
    assert await ledger.under_way.finish(older_than=0) == 0
    prove(ledger)
    first, other = lots
    arrived = msgspec.structs.replace(other, remaining=10)
    assert [terms(lot) for lot in ledger.lots(target)] == [terms(first), terms(arrived)]
    # The sender, who heard nothing, asks again.
    transfer, sent = await ledger.transferring.transfer(asked)
    assert transfer.state is TransferState.DONE
    assert sum(each.balance.available for each in sent) == 30
    assert ledger.points(target) == [70]
    assert sum(ledger.points(*sources)) == 30


@pytest.mark.parametrize("steps", range(5))
async def test_interrupted_after_any_step_it_comes_back_where_a_wallet_has_too_little(
    ledger: Stepping, steps: int
) -> None:
    """It was agreed upon when there was enough."""
    await ledger.give(1, 60)
    await ledger.give(SECOND, 60)
    before = [terms(lot) for lot in ledger.lots(1)]
    asked = asking(1, 2, 90, SECOND)
    await ledger.die(asked, after=0)
    await spend(ledger, SECOND, 40)
    await ledger.die(asked, after=steps)
    prove(ledger, under_way=80 - sum(ledger.points(1, SECOND, 2)), total=80)
    assert await ledger.under_way.finish(older_than=0) == 0
    prove(ledger, total=80)
    assert ledger.points(1, SECOND, 2) == [60, 20, 0]
    assert [terms(lot) for lot in ledger.lots(1) if lot.remaining] == before
    assert isinstance(await refusal_of(ledger, asked), InsufficientPoints)
    assert ledger.transfers.left_under_way(older_than=0, limit=10) == []
    # It counts against no limit.
    await ledger.transferring.transfer(asking(1, 2, 80, SECOND))
    prove(ledger, total=80)


async def test_what_two_wallets_have_together_is_what_can_be_sent(ledger: Stepping) -> None:
    await ledger.give(1, 60)
    await ledger.give(SECOND, 39)
    refusal = await refusal_of(ledger, asking(1, 2, 100, SECOND))
    assert refusal.metadata == {"wanted": "100", "available": "99"}
    await ledger.transferring.transfer(asking(1, 2, 99, SECOND))
    assert ledger.points(1, SECOND, 2) == [0, 0, 99]
    await ledger.give(1, 2)
    # Both wallets' count against the limit of a hundred.
    limited = await refusal_of(ledger, asking(1, 2, 2))
    assert limited.metadata["left"] == "1"


async def test_many_finish_it_as_one(ledger: Stepping) -> None:
    await ledger.give(1, 100)
    asked = asking(1, 2, 70)
    await ledger.die(asked, after=0)
    calls = [ledger.under_way.finish(older_than=0) for _ in range(4)]
    await asyncio.gather(*calls, *[ledger.transferring.transfer(asked) for _ in range(4)])
    assert ledger.points(1, 2) == [30, 70]
    prove(ledger)


async def test_a_server_finishes_what_another_left(
    ledger: Stepping, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.give(1, 100)
    await ledger.die(asking(1, 2, 70), after=1)
    at_once = partial(TransfersUnderWay, every_seconds=0.01)
    monkeypatch.setattr(main, "TransfersUnderWay", at_once)
    await serve("ledger", ledger.url)
    await until(lambda: not ledger.transfers.left_under_way(older_than=0, limit=1))
    assert ledger.points(1, 2) == [30, 70]
    prove(ledger)


async def test_what_is_agreed_is_left_to_its_server_at_first(ledger: Stepping) -> None:
    await ledger.give(1, 100)
    await ledger.die(asking(1, 2, 70), after=1)
    ledger.now += LEFT_ALONE - 1
    assert await ledger.under_way.finish() == 0
    ledger.now += 1
    assert await ledger.under_way.finish() == 1


async def spend(ledger: Stepping, wallet_id: int, points: int) -> None:
    ids = a_uuid(), a_uuid()
    await ledger.shards.post_one(
        AdjustPoints(wallet_id, *ids, PointKind.REDEEMABLE, -points, "spent", "x", ledger.now)
    )


async def refusal_of(ledger: Stepping, asked: AskedTransfer) -> Refused:
    with pytest.raises(Refused) as caught:
        await ledger.transferring.transfer(asked)
    return caught.value


async def test_points_spent_meanwhile_are_not_sent_and_count_against_no_limit(
    ledger: Stepping,
) -> None:
    await ledger.give(1, 100)
    asked = asking(1, 2, 70)
    await ledger.die(asked, after=0)
    await spend(ledger, 1, 40)
    assert await ledger.under_way.finish(older_than=0) == 0
    assert isinstance(await refusal_of(ledger, asked), InsufficientPoints)
    assert ledger.transfers.left_under_way(older_than=0, limit=10) == []
    assert ledger.points(1, 2) == [60, 0]
    # Of a hundred in thirty days these are sixty: the other seventy would not have fitted.
    await ledger.transferring.transfer(asking(1, 2, 60))
    assert ledger.points(1, 2) == [0, 60]
    assert problems_of(run_audit(ledger.url).checks) == {}


async def test_who_is_blocked_meanwhile_still_receives_what_was_sent(ledger: Stepping) -> None:
    await ledger.give(1, 100)
    await ledger.die(asking(1, 2, 70), after=1)
    block(ledger, MEMBERS[1])
    assert await ledger.under_way.finish(older_than=0) == 1
    assert ledger.points(1, 2) == [30, 70]
    prove(ledger)


@pytest.mark.parametrize("steps", [0, 1])
async def test_who_is_blocked_meanwhile_keeps_what_was_not_sent_whole(
    ledger: Stepping, steps: int
) -> None:
    await ledger.give(1, 60)
    await ledger.give(SECOND, 40)
    asked = asking(1, 2, 70, SECOND)
    await ledger.die(asked, after=steps)
    block(ledger, MEMBERS[0])
    assert await ledger.under_way.finish(older_than=0) == 0
    assert isinstance(await refusal_of(ledger, asked), MemberBlocked)
    assert ledger.points(1, SECOND, 2) == [60, 40, 0]
    prove(ledger)


async def test_nobody_sends_to_or_from_who_is_blocked(ledger: Stepping) -> None:
    await ledger.give(1, 100)
    block(ledger, MEMBERS[1])
    for source, target in ((1, 2), (2, 1)):
        asked = asking(source, target, 10)
        assert isinstance(await refusal_of(ledger, asked), MemberBlocked)
        # And it is remembered.
        assert isinstance(await refusal_of(ledger, asked), MemberBlocked)
    assert ledger.points(1, 2) == [100, 0]
    prove(ledger)


def block(ledger: Stepping, member_id: str) -> None:
    with transaction(ledger.database) as connection:
        together.block(connection, member_id, blocked=True, time=datetime.now(UTC))


@pytest.mark.parametrize("kept_waiting", [SendPoints, ReceivePoints])
async def test_a_busy_ledger_sends_later_and_says_what_it_knows(
    ledger: Stepping, kept_waiting: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was not sent yet nothing is known; what was sent arrives."""
    await ledger.give(1, 100)
    asked = asking(1, 2, 70)
    post_one = ledger.shards.post_one

    async def busy(command: Command) -> Document:
        if isinstance(command, kept_waiting):
            raise QueueFull()
        return await post_one(command)

    monkeypatch.setattr(ledger.shards, "post_one", busy)
    if kept_waiting is SendPoints:
        assert isinstance(await refusal_of(ledger, asked), OutcomeUnknown)
    else:
        transfer, _ = await ledger.transferring.transfer(asked)
        assert transfer.state is TransferState.UNDER_WAY
    assert await ledger.under_way.finish(older_than=0) == 0
    monkeypatch.undo()
    assert await ledger.under_way.finish(older_than=0) == 1
    assert ledger.points(1, 2) == [30, 70]
    prove(ledger)
