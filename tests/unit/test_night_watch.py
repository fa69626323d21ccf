"""What a night does, and when `loyalty up` starts one."""

import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from services.cli.night import close_days
from services.cli.night_watch import RETRY_SECONDS, NightWatch

DAY = timedelta(days=1)
MONDAY = date(2026, 3, 2)


@dataclass(slots=True)
class Diary:
    """A step that notes what it did, and can fail."""

    name: str
    pages: list[str]
    open_from: date | None = MONDAY
    fails_on: date | None = None

    def first_open_day(self) -> date | None:
        return self.open_from

    def close(self, day: date) -> str:
        if day == self.fails_on:
            raise ConnectionError
        self.pages.append(f"{self.name} {day:%a}")
        self.open_from = day + DAY
        return "well"


def test_each_day_sees_all_steps_before_the_next_day() -> None:
    pages: list[str] = []
    steps = [Diary("tiers", pages), Diary("expiry", pages)]
    done = list(close_days(steps, MONDAY + DAY))
    assert pages == ["tiers Mon", "expiry Mon", "tiers Tue", "expiry Tue"]
    assert [(each.day, each.step, each.result) for each in done] == [
        ("2026-03-02", "tiers", "well"),
        ("2026-03-02", "expiry", "well"),
        ("2026-03-03", "tiers", "well"),
        ("2026-03-03", "expiry", "well"),
    ]


def test_an_interrupted_night_goes_on_with_the_step_that_failed() -> None:
    pages: list[str] = []
    steps = [Diary("tiers", pages), Diary("expiry", pages, fails_on=MONDAY)]
    with pytest.raises(ConnectionError):
        list(close_days(steps, MONDAY + DAY))
    assert pages == ["tiers Mon"]
    steps[1].fails_on = None
    assert len(list(close_days(steps, MONDAY + DAY))) == 3
    assert pages == ["tiers Mon", "expiry Mon", "tiers Tue", "expiry Tue"]


def test_nothing_is_done_where_no_day_is_open() -> None:
    pages: list[str] = []
    steps = [Diary("tiers", pages, open_from=None), Diary("expiry", pages, MONDAY + DAY)]
    assert list(close_days(steps, MONDAY)) == []
    assert [each.step for each in close_days(steps, MONDAY + DAY)] == ["expiry"]


@dataclass(slots=True)
class Nights:
    """Nights that end with a code, in a time that is set."""

    now: datetime
    code: int = 0
    seconds: float = 0.0
    days: list[date] = field(default_factory=list)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def watch(self, delay_minutes: int) -> NightWatch:
        return NightWatch(
            self.start,
            delay=timedelta(minutes=delay_minutes),
            clock=lambda: self.now,
            monotonic=lambda: self.seconds,
        )

    def start(self, last_day: date) -> subprocess.Popen[bytes]:
        self.days.append(last_day)
        code = f"import sys; sys.stdin.read(); sys.exit({self.code})"
        self.running.append(
            subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE)
        )
        return self.running[-1]

    def end_the_last(self) -> None:
        self.running[-1].communicate()


def test_a_day_is_closed_the_delay_after_midnight_and_once() -> None:
    nights = Nights(datetime(2026, 3, 3, 0, 14, 59, tzinfo=UTC))
    watch = nights.watch(delay_minutes=15)
    watch.tend()
    # What ended while nothing ran is closed at once; the day before is not yet over for long.
    assert nights.days == [MONDAY - DAY]
    nights.end_the_last()
    watch.tend()
    assert (nights.days, watch.process) == ([MONDAY - DAY], None)
    nights.now += timedelta(seconds=1)
    watch.tend()
    nights.end_the_last()
    watch.tend()
    watch.tend()
    assert nights.days == [MONDAY - DAY, MONDAY]


def test_two_nights_never_run_at_once() -> None:
    nights = Nights(datetime(2026, 3, 3, 12, tzinfo=UTC))
    watch = nights.watch(delay_minutes=0)
    watch.tend()
    nights.now += DAY
    watch.tend()
    assert nights.days == [MONDAY]
    nights.end_the_last()
    watch.tend()
    assert nights.days == [MONDAY, MONDAY + DAY]
    nights.end_the_last()


def test_a_night_that_failed_is_tried_again_later() -> None:
    nights = Nights(datetime(2026, 3, 3, 12, tzinfo=UTC), code=1)
    watch = nights.watch(delay_minutes=0)
    watch.tend()
    nights.end_the_last()
    watch.tend()
    assert nights.days == [MONDAY]
    nights.seconds = RETRY_SECONDS
    nights.code = 0
    watch.tend()
    nights.end_the_last()
    watch.tend()
    assert nights.days == [MONDAY, MONDAY]
