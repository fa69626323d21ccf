"""The database, the ledger or everything dies under load; no sale is lost, none counted twice."""

import asyncio
import signal
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial

import grpc
import pytest
from loyalty.ledger.v1 import point_of_sale_pb2 as pos

from services.cli import probes
from services.ledger.storage.shards import shard_of
from tests.faults.programme import SHARDS, Programme
from tests.faults.proof import prove_exactly_once, told
from tests.faults.tills import USUAL, Failure, Manner, Tills, at_work, sales
from tests.service.waiting import until

TILLS, EACH, CARDS = 12, 40, 15
# A busy machine may notice a deadline late, but not by much.
LATE_SECONDS_MAX = 5.0
UNANSWERED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
# gRPC's own word to a call that had reached a server which ended before it looked at it.
UNSEEN = grpc.StatusCode.CANCELLED


def assert_bounded(failures: list[Failure]) -> None:
    """Nobody waited longer than they wanted to, and nothing was answered as INTERNAL."""
    for each in failures:
        assert each.code in {*UNANSWERED, UNSEEN}, each
        assert each.seconds < each.deadline_seconds + LATE_SECONDS_MAX, each


def assert_advised(failures: list[Failure]) -> None:
    """A server that is there says why it cannot answer, and when to ask again."""
    assert_bounded(failures)
    for each in failures:
        assert each.code in UNANSWERED, each
        if each.code is grpc.StatusCode.UNAVAILABLE:
            assert each.reason in {"DATABASE_DOWN", "OUTCOME_UNKNOWN"}, each
            assert each.retry_seconds is not None, each


def reasons(tills: Tills) -> set[str]:
    return {each.reason for each in tills.failures}


def prove(programme: Programme, *working: Tills) -> None:
    requests = [request for tills in working for request in tills.requests]
    answers = {key: answer for tills in working for key, answer in tills.answers.items()}
    prove_exactly_once(programme.ledger_url, requests, answers)


def tills_at(
    programme: Programme, name: str, manner: Manner = USUAL
) -> AbstractAsyncContextManager[Tills]:
    lists = sales(name, tills=TILLS, each=EACH, cards=CARDS)
    token = programme.bearer("sales.write")
    return at_work(lists, address=programme.ledger_address, metadata=token, manner=manner)


@pytest.mark.parametrize(
    ("number", "moments"), [(signal.SIGINT, (120,)), (signal.SIGKILL, (60, 240))]
)
async def test_database_ends_under_load_and_every_sale_is_there_once(
    programme: Programme, number: signal.Signals, moments: tuple[int, ...]
) -> None:
    async with tills_at(programme, f"database-{number.name}") as tills:
        for answered in moments:
            await tills.until_answered(answered)
            await asyncio.to_thread(programme.end, "postgres", number=number)
            assert not tills.done
            await asyncio.to_thread(programme.wait_until_healthy)
    assert_advised(tills.failures)
    prove(programme, tills)


async def test_database_away_for_long_is_told_to_the_tills_with_advice(
    programme: Programme,
) -> None:
    async with tills_at(programme, "away", Manner(30.0, 30.0)) as tills:
        await tills.until_answered(60)
        with programme.books_locked(), programme.nothing_started_again():
            # Both shards are in the middle of a commit when the database dies.
            await until(lambda: len(programme.sessions_waiting()) == SHARDS)
            await asyncio.to_thread(programme.end, "postgres")
            await until(lambda: reasons(tills) >= {"OUTCOME_UNKNOWN", "DATABASE_DOWN"}, 60)
            # Who watches is not left alone meanwhile.
            assert programme.metric("ledger", "ledger_outbox_age_seconds") == ["NaN"] * SHARDS
    assert_advised(tills.failures)
    prove(programme, tills)


@pytest.mark.parametrize(
    ("number", "moments"), [(signal.SIGTERM, (120,)), (signal.SIGKILL, (60, 240))]
)
async def test_ledger_ends_under_load_and_every_sale_is_there_once(
    programme: Programme, number: signal.Signals, moments: tuple[int, ...]
) -> None:
    async with tills_at(programme, f"ledger-{number.name}") as tills:
        for answered in moments:
            await tills.until_answered(answered)
            await asyncio.to_thread(programme.end, "ledger", number=number)
            assert not tills.done
    assert_bounded(tills.failures)
    prove(programme, tills)


async def test_ledger_told_to_end_answers_the_calls_under_way(programme: Programme) -> None:
    address, token = programme.ledger_address, programme.bearer("sales.write")
    at_address = partial(at_work, address=address, metadata=token)
    async with at_address(sales("known", tills=8, each=1, cards=100)) as known:
        pass
    ledger, restarts = programme.process("ledger"), programme.restarts("ledger")
    async with AsyncExitStack() as working:
        with programme.books_locked():
            # Each shard's committer waits for the first; the second wait behind them.
            first = await working.enter_async_context(at_address(one_for_each_shard(known)))
            await until(lambda: len(programme.sessions_waiting()) == SHARDS)
            lists = sales("second", tills=20, each=1, cards=20)
            second = await working.enter_async_context(at_address(lists))
            await until(lambda: programme.sales_queued() == len(lists))
            ledger.terminate()
            await until(lambda: not probes.serves_grpc(address))
            late = await working.enter_async_context(
                at_address(sales("late", tills=4, each=1, cards=4))
            )
            await until(lambda: late.failures)
            assert not first.answers
            assert not second.answers
    assert first.failures == second.failures == []
    assert_bounded(late.failures)
    assert programme.restarts("ledger") == restarts + 1
    assert "ledger ended with exit code 0" in programme.last_words()
    prove(programme, known, first, second, late)


def one_for_each_shard(tills: Tills) -> list[list[pos.RecordSaleRequest]]:
    """A further sale for a card of each shard, of those that tills had sales for."""
    cards = {request.request_id: request.sale.card_token for request in tills.requests}
    of_shard = {
        shard_of(told(key, answer).wallet, SHARDS): cards[key]
        for key, answer in tills.answers.items()
    }
    assert len(of_shard) == SHARDS
    further = sales("first", tills=SHARDS, each=1, cards=1)
    for (request,), card_token in zip(further, of_shard.values(), strict=True):
        request.sale.card_token = card_token
    return further


async def test_database_and_ledger_die_at_once_under_load(programme: Programme) -> None:
    async with tills_at(programme, "both") as tills:
        await tills.until_answered(120)
        await asyncio.to_thread(programme.end, "postgres", "ledger")
        assert not tills.done
    assert_bounded(tills.failures)
    prove(programme, tills)


async def test_platform_killed_under_load_and_started_again_on_the_same_data(
    programme: Programme,
) -> None:
    async with tills_at(programme, "platform") as tills:
        for answered, kill in ((60, programme.kill_up), (240, programme.kill_everything)):
            await tills.until_answered(answered)
            await asyncio.to_thread(kill)
            assert not tills.done
            await asyncio.to_thread(programme.start)
    assert_bounded(tills.failures)
    prove(programme, tills)
