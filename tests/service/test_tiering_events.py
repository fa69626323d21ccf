"""What tiering makes of events: out of order, twice, of nobody, and at the same time."""

import asyncio
from functools import partial
from uuid import UUID

import psycopg2.extensions
import psycopg2.extras
import pytest
from google.protobuf.message import DecodeError
from loyalty.ledger.v1 import events_pb2 as ledger_events
from loyalty.members.v1 import events_pb2 as members_events
from loyalty.tiering.v1 import rules_pb2
from plumbing.v1 import envelope_pb2

from services.plumbing.database import transaction
from services.tiering.usecases.apply import Attached, attach_wallets
from tests.service.contents import contents
from tests.service.tiering_calls import (
    RETURN,
    Posted,
    Tiering,
    classic,
    days,
    envelope,
    member,
    sales,
)
from tests.service.tiering_merging import merge

AGGREGATES = """
    SELECT member, day, sum(points)::int, sum(spend_minor)::int, sum(visits)::int,
        sum(base_points - base_points_before)::int
    FROM activity GROUP BY member, day ORDER BY member, day
"""
FIRST_DAY = 17_167


def test_sales_returns_and_adjustments_are_summed_by_member_and_day(tiering: Tiering) -> None:
    tiering.join(1, 2)
    tiering.post(
        Posted(1, "2017-01-01", 30, 3_050, base=30),
        Posted(1, "2017-01-01", 12, 1_200, base=12),
        Posted(2, "2017-01-02", 7, 777, base=7),
        Posted(*(1, "2017-01-05", -10, -1_000, 0, 20, 30, RETURN), original_day="2017-01-01"),
    )
    assert tiering.rows(AGGREGATES) == [
        (1, FIRST_DAY, 32, 3_250, 2, 32),
        (2, FIRST_DAY + 1, 7, 777, 1, 7),
    ]


def test_a_day_ends_at_midnight_utc(tiering: Tiering) -> None:
    tiering.join(1)
    event = ledger_events.EntriesPosted()
    for micros in (1_483_315_199_999_999, 1_483_315_200_000_000):
        event.documents.add(wallet=1, business_time_micros=micros, visits=1)
    tiering.reactions.entries_posted(envelope("ledger", event))
    assert [row[1] for row in tiering.rows(AGGREGATES)] == [FIRST_DAY, FIRST_DAY + 1]


async def test_a_return_heard_of_before_its_sale_ends_the_same(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.join(1)
    sale = Posted(1, "2017-01-01", 600, 60_000, base=600)
    taken_back = Posted(
        *(1, "2017-01-02", -600, -60_000, -1, 0, 600, RETURN), original_day="2017-01-01"
    )
    tiering.post(taken_back)
    await tiering.close_day("2017-01-02")
    tiering.post(sale)
    await tiering.close_day("2017-01-03")
    assert tiering.changes() == []
    assert tiering.rows(AGGREGATES) == [(1, FIRST_DAY, 0, 0, 0, 0)]


@pytest.mark.parametrize("what", ["another type", "no message", "no member"])
def test_an_event_that_cannot_be_applied_changes_nothing(tiering: Tiering, what: str) -> None:
    tiering.join(1)
    before = contents(tiering.database_url)
    unreadable = envelope_pb2.Envelope(
        id="1", source="ledger", type="loyalty.ledger.v1.EntriesPosted", data=b"\xff\xff"
    )
    payload, error = {
        "another type": (
            envelope("ledger", members_events.MemberEnrolled(member=member(1))),
            ValueError,
        ),
        "no message": (unreadable.SerializeToString(), DecodeError),
        "no member": (
            envelope("ledger", ledger_events.WalletAttached(wallet=5, member="members/nobody")),
            ValueError,
        ),
    }[what]
    react = (
        tiering.reactions.wallet_attached
        if what == "no member"
        else tiering.reactions.entries_posted
    )
    with pytest.raises(error):
        react(payload)
    assert contents(tiering.database_url) == before


async def test_wallets_attached_while_their_entries_come_lose_none(tiering: Tiering) -> None:
    wallets = range(1, 41)

    def post(day: str) -> None:
        tiering.post(*[Posted(wallet, day, 10) for wallet in wallets])

    def attach(half: int) -> None:
        for wallet in wallets:
            if wallet % 2 == half:
                tiering.attach(wallet, member(wallet))

    work = [partial(post, day) for day in days("2017-01-01", "2017-01-10")]
    work += [partial(attach, 0), partial(attach, 1)]
    await asyncio.gather(*[asyncio.to_thread(each) for each in work])
    assert tiering.rows("SELECT count(*), sum(points)::int FROM activity") == [(400, 4_000)]
    assert tiering.rows("SELECT count(*) FROM waiting_activity") == [(0,)]
    assert tiering.rows("SELECT count(*) FROM members") == [(40,)]


def test_many_movements_are_kept_as_one_by_one_and_as_by_a_green_worker(tiering: Tiering) -> None:
    """Of members, of a merged one, and of nobody: wallets 1 to 3."""
    tiering.join(1, 2)
    merge(tiering, source=member(2), target=member(1))
    posted = [
        Posted(number % 3 + 1, day, 7 * number - 100, 13 * number, 1, number, number // 2)
        for number, day in enumerate(days("2017-01-01", "2017-03-01"))
    ]

    def kept() -> list[list[tuple[object, ...]]]:
        tables = ("activity", "waiting_activity", "applied_documents")
        rows = [sorted(tiering.rows(f"SELECT {table}::text FROM {table}")) for table in tables]
        rows.append(
            sorted(
                tiering.rows(
                    "SELECT day, number, sum(amount) FROM changed_days, unnest(members, points)"
                    f" AS told (number, amount) WHERE day >= {FIRST_DAY} GROUP BY 1, 2"
                )
            )
        )
        with transaction(tiering.database) as connection:
            connection.exec_driver_sql(f"TRUNCATE {', '.join(tables)}, changed_days")
        return rows

    tiering.post(*posted)
    together = kept()
    for each in posted:
        tiering.post(each)
    one_by_one = kept()
    psycopg2.extensions.set_wait_callback(psycopg2.extras.wait_select)
    try:
        tiering.post(*posted)
    finally:
        psycopg2.extensions.set_wait_callback(None)
    assert together == one_by_one == kept()
    assert [len(rows) for rows in together] == [40, 20, 60, 40]


async def test_a_wallet_keeps_its_first_owner(tiering: Tiering) -> None:
    tiering.join(1, 2)
    tiering.attach(1, member(2))
    tiering.post(Posted(1, "2017-01-01", 10))
    assert tiering.rows("SELECT member FROM activity") == [(1,)]


def test_wallets_attached_together_go_to_whom_each_was_attached_to_first(
    tiering: Tiering,
) -> None:
    tiering.join(1)
    tiering.post(Posted(2, "2017-01-01", 20), Posted(3, "2017-01-01", 30))
    told = [(1, 2), (2, 2), (3, 3), (2, 3)]
    attached = [Attached(wallet, UUID(member(number)[8:]), 17_167) for wallet, number in told]
    with transaction(tiering.database) as connection:
        attach_wallets(connection, attached)
    assert tiering.rows(
        "SELECT wallets.wallet, member_id::text FROM wallets JOIN members ON number = member"
        " ORDER BY wallet"
    ) == [(number, member(number)[8:]) for number in (1, 2, 3)]
    assert tiering.rows("SELECT points FROM activity ORDER BY points") == [(20,), (30,)]
    assert tiering.rows("SELECT count(*) FROM waiting_activity") == [(0,)]


async def test_another_day_of_enrolment_counts_from_the_beginning(tiering: Tiering) -> None:
    await tiering.in_force()
    tiering.attach(1, member(1))
    tiering.post(*sales(1, [("2017-01-01", 600)]))
    await tiering.close_day("2017-01-02")
    before = tiering.changes()
    tiering.enrol(member(1), "2016-06-01")
    await tiering.close_day("2017-01-03")
    assert tiering.changes() == before
    assert tiering.rows("SELECT enrol_day FROM members") == [(16_953,)]
    tiering.enrol(member(1), "2016-06-01")
    assert tiering.rows("SELECT count(*) FROM changed_days") == [(0,)]


async def test_a_green_worker_tells_at_the_event_what_a_server_would(tiering: Tiering) -> None:
    await tiering.in_force(classic(evaluation=rules_pb2.Rules.EVALUATION_AT_EVENT))
    tiering.join(1)
    psycopg2.extensions.set_wait_callback(psycopg2.extras.wait_select)
    try:
        tiering.post(Posted(1, "2017-01-01", 600))
    finally:
        psycopg2.extensions.set_wait_callback(None)
    assert tiering.changes() == [(member(1), "base", "silver", "2017-01-01")]
