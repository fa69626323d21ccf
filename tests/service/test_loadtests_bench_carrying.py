"""The benchmark's events on RabbitMQ and its previews, so briefly that the numbers mean nothing."""

from collections.abc import Iterator

import pytest

from loadtests.bench.bus import Bus, NotApplied, fresh_bus
from loadtests.bench.carrying import measure_catch_up, measure_lag
from loadtests.bench.crew import Crew, crew_for
from loadtests.bench.found import Found
from loadtests.bench.membership import DAYS
from loadtests.bench.plan import Plan
from loadtests.bench.previewing import TimeMachine
from services.plumbing.database import transaction

MEMBERS = 3_200
SLICES = 2
LOADED = MEMBERS * SLICES // 32
BRIEF = Plan(
    rounds=1,
    seconds=0.3,
    idle_seconds=0.3,
    history_sales=0,
    wallets=500,
    lag_seconds=1.0,
    backlog_entries=3_000,
    members=MEMBERS,
    member_slices=SLICES,
)


@pytest.fixture(scope="module")
def bus() -> Iterator[Bus]:
    with fresh_bus(BRIEF.wallets) as bus:
        yield bus


@pytest.fixture(scope="module")
def crew(bus: Bus) -> Iterator[Crew]:
    with crew_for(bus.subject) as crew:
        yield crew


@pytest.fixture(scope="module")
def found(bus: Bus, crew: Crew) -> Found:
    def say(_: str) -> None:
        pass

    found = Found()
    found.lag = measure_lag(bus, crew, BRIEF, say)
    found.catch_up = measure_catch_up(bus, crew, BRIEF, say)
    with TimeMachine(bus.subject, BRIEF, say).ready() as machine:
        found.preview = machine.preview()
    return found


def of_tiering(bus: Bus, query: str) -> list[tuple[int, ...]]:
    with transaction(bus.tiering) as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_every_sale_of_the_tills_is_followed_to_tiering(found: Found) -> None:
    assert found.lag is not None
    assert 0 < found.lag.events <= found.lag.sales
    assert 0 < found.lag.p50_seconds <= found.lag.p99_seconds <= found.lag.most_seconds


def test_backlog_is_recorded_while_nobody_reacts_and_applied_whole(found: Found, bus: Bus) -> None:
    assert found.catch_up is not None
    assert found.catch_up.entries_per_second > 0
    # But for the first event, which marks the beginning.
    assert 0 < found.catch_up.documents < found.catch_up.entries
    [(applied,)] = of_tiering(bus, "SELECT sum(documents) FROM applied_documents")
    assert applied == bus.subject.sales()


def test_an_event_that_is_not_applied_is_noticed(found: Found, bus: Bus) -> None:
    assert found.lag is not None
    before = dict.fromkeys(bus.positions(), 0)
    assert len(bus.applied_after(before)) > found.lag.events
    first = "SELECT min(event_id) FROM inbox WHERE source = 'ledger'"
    gone = f"DELETE FROM inbox WHERE event_id = ({first}) RETURNING 1"
    assert of_tiering(bus, f"WITH gone AS ({gone}) SELECT * FROM gone") == [(1,)]
    with pytest.raises(NotApplied, match="1 of"):
        bus.applied_after(before)


def test_every_member_is_previewed_and_some_rise(found: Found) -> None:
    assert found.preview is not None
    # The wallets of the tills have members too.
    assert found.preview.members == LOADED + BRIEF.wallets
    assert found.preview.members_up > 0
    assert found.preview.peak_memory_bytes > 0
    assert found.preview.processor_seconds > 0
    assert found.preview.seconds_of_a_million > found.preview.seconds


def test_members_were_active_on_24_to_50_days_of_two_years(found: Found, bus: Bus) -> None:
    assert found.preview is not None
    loaded = "member_id = md5('member ' || number)::uuid"
    [(least, most, members)] = of_tiering(
        bus,
        "SELECT min(active), max(active), count(*) FROM (SELECT count(DISTINCT day) AS active"
        f" FROM activity JOIN members ON number = member WHERE {loaded} GROUP BY member) AS each",
    )
    assert (least, most, members) == (24, 50, LOADED)
    [(span,)] = of_tiering(
        bus,
        "SELECT max(day) - min(day) + 1 FROM activity JOIN members ON number = member"
        f" WHERE {loaded}",
    )
    assert span == DAYS


def test_what_came_back_is_of_a_basket_that_was_bought(bus: Bus, found: Found) -> None:
    assert found.preview is not None
    [(returned,)] = of_tiering(bus, "SELECT count(*) FROM activity WHERE base_points_before > 0")
    [(matched,)] = of_tiering(
        bus,
        "SELECT count(*) FROM activity r JOIN activity s USING (slice, member, day)"
        " WHERE r.base_points_before > 0 AND s.base_points_before = 0"
        " AND s.base_points = r.base_points_before AND -2 * r.points <= s.points",
    )
    assert 0 < returned == matched
