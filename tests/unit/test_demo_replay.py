"""How the replay goes from day to day, remembers where it is, and what its policy says."""

import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from loyalty.ledger.v1 import earn_policy_pb2
from protovalidate import Validator

from services.cli.demo.policy import publications
from services.cli.demo.preparation import PreparedBatch, PreparedDay
from services.cli.demo.progress import ClosedDays, Progress, ProgressFile
from services.cli.demo.replay import in_turn, replay_days, together

FIRST, SECOND = date(2017, 1, 1), date(2017, 1, 2)


class Recorder:
    """Writes down what happened, in order."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    def record_day(self, day: PreparedDay) -> None:
        self.happened.append(f"record {day.day} {day.sales}")

    def first_step(self, day: date) -> None:
        self.happened.append(f"first {day}")

    def second_step(self, day: date) -> None:
        self.happened.append(f"second {day}")


def test_each_day_is_closed_in_the_order_of_the_steps_before_the_next_opens() -> None:
    recorder = Recorder()
    days = [
        PreparedDay(FIRST, (PreparedBatch(b"", (1, 2, 2)), PreparedBatch(b"", (3, 4)))),
        PreparedDay(SECOND, ()),
    ]
    replay_days(days, recorder, [recorder.first_step, recorder.second_step])
    assert recorder.happened == [
        "record 2017-01-01 5",
        "first 2017-01-01",
        "second 2017-01-01",
        "record 2017-01-02 0",
        "first 2017-01-02",
        "second 2017-01-02",
    ]


def test_day_whose_step_fails_is_not_closed_and_the_next_does_not_open() -> None:
    recorder = Recorder()

    def fails(day: date) -> None:
        raise RuntimeError(str(day))

    with pytest.raises(RuntimeError, match="2017-01-01"):
        replay_days(
            [PreparedDay(FIRST, ()), PreparedDay(SECOND, ())],
            recorder,
            [fails, recorder.first_step],
        )
    assert recorder.happened == ["record 2017-01-01 0"]


def test_progress_starts_with_no_closed_day(tmp_path: Path) -> None:
    assert ProgressFile(tmp_path).read() == Progress(last_closed_day=None, replay_seconds=0.0)


def test_progress_is_read_back_and_seconds_add_up_over_runs(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path)
    file.write(Progress(FIRST, 100.0))
    started = time.monotonic()
    ClosedDays(file)(SECOND)
    taken = time.monotonic() - started
    progress = ProgressFile(tmp_path).read()
    assert progress.last_closed_day == SECOND
    assert 100.0 < progress.replay_seconds <= 100.0 + taken
    assert [path.name for path in tmp_path.iterdir()] == ["replay.json"]


@pytest.mark.parametrize(
    "torn", [b"", b'{"last_closed', b'{"last_closed_day":"2017-99-01"}', b"[]"]
)
def test_torn_progress_file_means_the_start_of_the_year(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "replay.json").write_bytes(torn)
    assert ProgressFile(tmp_path).read() == Progress()


def test_policy_versions_take_effect_in_january_and_july() -> None:
    starts = [r.policy.effective_time.ToDatetime(UTC) for r in publications()]
    assert starts == [datetime(2017, 1, 1, tzinfo=UTC), datetime(2017, 7, 1, tzinfo=UTC)]
    assert [r.policy.eligible_minor_min for r in publications()] == [0, 500]


def test_policy_versions_are_valid_and_the_same_in_every_run() -> None:
    validator = Validator()
    for request in publications():
        validator.validate(request)
    assert publications() == publications()
    assert len({request.request_id for request in publications()}) == 2


def test_both_versions_have_the_same_rules_and_exclusions() -> None:
    first, second = (request.policy for request in publications())
    assert list(first.rules) == list(second.rules)
    assert list(first.exclusions) == list(second.exclusions)
    assert [excluded_segments(condition) for condition in first.exclusions] == [
        ["FUEL"],
        ["COUPON"],
        ["MISCELLANEOUS"],
        ["*", "CIGARETTES"],
        ["*", "CIGARS"],
        ["*", "TOBACCO OTHER"],
    ]


def excluded_segments(condition: earn_policy_pb2.LineCondition) -> list[str]:
    (pattern,) = condition.categories
    return list(pattern.segments)


def test_steps_side_by_side_are_both_done_before_the_next_and_one_that_fails_is_told() -> None:
    recorder = Recorder()

    def fails(day: date) -> None:
        raise RuntimeError(str(day))

    with together(recorder.first_step, recorder.second_step) as both:
        replay_days([PreparedDay(FIRST, ())], recorder, [both])
    assert sorted(recorder.happened[1:]) == ["first 2017-01-01", "second 2017-01-01"]
    with together(recorder.first_step, fails) as both, pytest.raises(RuntimeError, match="2017"):
        replay_days([PreparedDay(FIRST, ())], recorder, [both])


def test_steps_in_turn_are_one_step_and_one_that_fails_stops_those_behind() -> None:
    recorder = Recorder()

    def fails(day: date) -> None:
        raise RuntimeError(str(day))

    in_turn(recorder.second_step, recorder.first_step)(FIRST)
    with pytest.raises(RuntimeError, match="2017"):
        in_turn(fails, recorder.first_step)(FIRST)
    assert recorder.happened == ["second 2017-01-01", "first 2017-01-01"]
