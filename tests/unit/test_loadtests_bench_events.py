"""What the benchmark concludes from events it followed and previews it watched."""

import os

from loadtests.bench import report
from loadtests.bench.bus import Applied
from loadtests.bench.carrying import Lag, catch_up_of, lag_of
from loadtests.bench.found import Found
from loadtests.bench.previewing import MEBIBYTE, Previewed, peak_memory_bytes
from loadtests.bench.usage import Usage

USAGE = Usage(wall_seconds=2.0, seconds={"server": 1.0}, others_seconds=0.0, stolen_seconds=0.0)


def event(documents: int, *, committed: float, lag: float) -> Applied:
    return Applied(documents, 2 * documents, committed, committed + lag)


def test_lag_is_of_sales_and_not_of_events() -> None:
    events = [
        event(1, committed=0.0, lag=9.0),
        event(98, committed=1.0, lag=0.25),
        event(1, committed=2.0, lag=3.0),
    ]

    found = lag_of(events, USAGE)

    assert (found.p50_seconds, found.p99_seconds, found.most_seconds) == (0.25, 3.0, 9.0)
    assert (found.sales, found.events) == (100, 3)


def test_offered_is_what_was_committed_after_the_first_event() -> None:
    events = [event(500, committed=float(second), lag=0.1) for second in range(5)]

    found = lag_of(events, USAGE)

    assert found.sales_per_second == 500.0
    assert found.is_short


def test_catching_up_is_counted_from_the_first_event_applied_to_the_last() -> None:
    events = [
        event(10, committed=0.0, lag=100.0),
        event(20, committed=1.0, lag=100.0),
        event(30, committed=2.0, lag=100.0),
    ]

    found = catch_up_of(events, USAGE)

    assert (found.entries, found.documents, found.events) == (100, 50, 2)
    assert found.entries_per_second == 50.0


def lag(sales_per_second: float) -> Lag:
    return Lag(2_000, sales_per_second, 1, 1, 0.1, 0.1, 0.1, {})


def preview(members: int) -> Previewed:
    return Previewed(members, 1, 3.0, 2.5, 200 * MEBIBYTE, 0, 0)


def test_a_machine_that_offers_less_is_told() -> None:
    assert report.remarks(Found(lag=lag(1_960.0))) == []
    assert report.remarks(Found(lag=lag(1_200.0))) == [
        "events_lag_p99_s: the machine offered 1,200 sales/s, not 2,000"
    ]


def test_a_preview_of_fewer_members_is_told_to_be_in_proportion() -> None:
    whole, part = Found(preview=preview(1_000_000)), Found(preview=preview(50_000))

    memory = "the preview's process had at most 200 MiB of memory, 2,048 are allowed"
    assert report.remarks(whole) == [memory]
    assert report.remarks(part) == [
        "preview_1m_seconds: in proportion, from 3.0 s for 50,000 members",
        memory,
    ]
    assert report.values_of(part)["preview_1m_seconds"] == 60.0


def test_memory_is_the_most_a_process_ever_had() -> None:
    held = bytearray(64 * MEBIBYTE)
    held[::4096] = b"x" * len(held[::4096])
    during = peak_memory_bytes(os.getpid())
    del held

    assert during is not None
    assert during > 64 * MEBIBYTE
    after = peak_memory_bytes(os.getpid())
    assert after is not None
    # The kernel counts roughly.
    assert after > during - 8 * MEBIBYTE
    assert peak_memory_bytes(2**22 + 1) is None
