"""A night's work at tiering: every open day is closed, and none before its sales are known."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from loyalty.tiering.v1 import tiering_pb2
from sqlalchemy import Engine

from services.cli.hearing import NotHeard
from services.cli.night import Done, close_days
from services.cli.night_tiers import TiersStep
from services.plumbing import inbox, outbox
from services.plumbing.database import engine, transaction
from services.plumbing.inbox import Cursor
from tests.service.contents import contents
from tests.service.tiering_calls import Posted, Tiering, member
from tests.service.tokens import Tokens

STREAM = "ledger_00"
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


class Night:
    """Closes days at a tiering as `loyalty night` does; the ledger is a database of its own."""

    def __init__(self, tiering: Tiering, ledger_url: str, address: str, token: str) -> None:
        self._tiering = tiering
        self._ledger_url = ledger_url
        self._address = address
        self._token = token

    def close(self, last_day: str, *, hear_seconds_max: float = 30) -> list[Done]:
        with TiersStep(
            address=self._address,
            token=self._token,
            tiering_database_url=self._tiering.database_url,
            ledger_database_url=self._ledger_url,
            hear_seconds_max=hear_seconds_max,
        ) as tiers:
            return list(close_days([tiers], date.fromisoformat(last_day)))

    def announce(self) -> int:
        """Let the ledger announce something; returns its position."""
        event = outbox.Event("1", "any", "any", datetime.now(UTC), b"")
        ledger = engine(self._ledger_url, pool_size=1)
        try:
            with transaction(ledger) as connection:
                outbox.append(connection, STREAM, [event])
                return outbox.origin(connection, STREAM).last_position
        finally:
            ledger.dispose()


@pytest.fixture
def night(tiering: Tiering, database: Callable[[str], str], tokens: Tokens) -> Night:
    address = tiering.address
    return Night(tiering, database("ledger"), address, tokens.mint("days.read", "days.write"))


async def first_open_day(tiering: Tiering) -> str:
    request = tiering_pb2.GetDayRequest(day="2017-01-01")
    answer = await tiering.tiers.GetDay(request, metadata=tiering.everything)
    return answer.first_open_day


async def test_the_first_open_day_is_the_rules_first_then_the_one_after_the_last_close(
    tiering: Tiering,
) -> None:
    assert await first_open_day(tiering) == ""
    await tiering.in_force()
    assert await first_open_day(tiering) == "2017-01-01"
    await tiering.close_day("2017-01-03")
    assert await first_open_day(tiering) == "2017-01-04"


async def test_every_open_day_is_closed_by_itself_and_a_second_night_changes_nothing(
    tiering: Tiering, night: Night
) -> None:
    await tiering.in_force()
    tiering.join(1)
    tiering.post(Posted(1, "2017-01-02", 600))
    done = await asyncio.to_thread(night.close, "2017-01-03")
    assert [(each.day, each.result) for each in done] == [
        ("2017-01-01", "0 changes by 0 documents"),
        ("2017-01-02", "1 changes by 1 documents"),
        ("2017-01-03", "0 changes by 0 documents"),
    ]
    assert tiering.changes() == [(member(1), "base", "silver", "2017-01-03")]
    before = contents(tiering.database_url)
    assert await asyncio.to_thread(night.close, "2017-01-03") == []
    assert contents(tiering.database_url) == before


async def test_without_rules_no_day_is_closed(tiering: Tiering, night: Night) -> None:
    before = contents(tiering.database_url)
    assert await asyncio.to_thread(night.close, YESTERDAY.isoformat()) == []
    assert contents(tiering.database_url) == before


async def test_a_day_stays_open_until_tiering_has_heard_the_ledger(
    tiering: Tiering, night: Night
) -> None:
    await tiering.in_force()
    position = night.announce()
    before = contents(tiering.database_url)
    with pytest.raises(NotHeard, match="tiering does not hear ledger"):
        await asyncio.to_thread(night.close, "2017-01-01", hear_seconds_max=0.2)
    assert contents(tiering.database_url) == before
    hear(tiering.database, position)
    done = await asyncio.to_thread(night.close, "2017-01-01")
    assert [each.day for each in done] == ["2017-01-01"]
    assert (await tiering.day("2017-01-01")).closed is True


def hear(tiering: Engine, position: int) -> None:
    with transaction(tiering) as connection:
        place = {"consumer": "tiering", "source": "ledger", "stream": STREAM}
        inbox.move_cursor(connection, **place, to=Cursor(position, None))
