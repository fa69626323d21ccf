"""When a stream of the embedded bus is busy, so that its events gather."""

from services.plumbing.embedded_bus import Pace
from services.plumbing.stream_delivery import BATCH


def test_a_stream_is_busy_by_its_rate_for_a_moment_and_not_while_it_catches_up() -> None:
    pace = Pace(0.0)
    found = []
    for events, now in ((9, 10.0), (9, 10.1), (1, 10.9), (1, 11.2), (2, 11.3), (BATCH, 11.4)):
        pace.note(events, now)
        found.append(pace.is_busy(now))
    assert found == [False, True, True, False, True, False]


def test_events_that_come_one_by_one_never_make_a_stream_busy() -> None:
    pace = Pace(0.0)
    for nth in range(100):
        pace.note(1, nth / 100)
        assert not pace.is_busy(nth / 100)
