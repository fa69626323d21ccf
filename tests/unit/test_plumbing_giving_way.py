"""Work that gives way rests for as long as others kept it waiting."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.plumbing import giving_way
from services.plumbing.giving_way import GivingWay, waited_seconds

BUSY_SECONDS = 0.4
# Two on one core: each has half of it, or near it.
TWO_ON_A_CORE = f"""
import os, time
from services.plumbing.giving_way import waited_seconds
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
child = os.fork()
while time.process_time() < {BUSY_SECONDS}:
    pass
if child:
    os.wait()
    print(waited_seconds())
"""


class Waiting:
    """What was waited and how long was slept; from each sleep it wakes a tenth of a second late."""

    def __init__(self) -> None:
        self.waited = 5.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.waited += 0.1


def test_it_rests_in_times_of_what_it_waited_since_the_last_rest() -> None:
    waiting = Waiting()
    way = GivingWay(2.0, waited=lambda: waiting.waited, sleep=waiting.sleep)
    for waited in (0.25, 0.0, 0.5):
        waiting.waited += waited
        way.rest()
    assert waiting.slept == pytest.approx([0.5, 0.0, 1.0])


@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells")
def test_what_others_had_of_the_processor_was_waited_for() -> None:
    run = subprocess.run(
        [sys.executable, "-c", TWO_ON_A_CORE],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert float(run.stdout) > BUSY_SECONDS / 4


@pytest.mark.parametrize("text", ["", "12"])
def test_where_the_system_does_not_tell_nothing_was_waited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    told = tmp_path / "schedstat"
    monkeypatch.setattr(giving_way, "SCHEDSTAT", told)
    assert waited_seconds() == 0.0
    told.write_text(text)
    assert waited_seconds() == 0.0
