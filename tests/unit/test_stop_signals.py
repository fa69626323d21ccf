"""Signals to end: told once whatever interrupts what, and in a hurry only when meant."""

import signal
import threading

import pytest

from services.cli.stop_signals import HURRY_AFTER_SECONDS, StopSignals


class Interrupted(threading.Event):
    """An event in whose setting the next signal arrives, as it does when several come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.signals: StopSignals | None = None
        self.times_set = 0

    def set(self) -> None:
        self.times_set += 1
        with self._cond:  # type: ignore[attr-defined] # the lock that setting takes
            assert self.signals is not None
            self.signals.note(signal.SIGTERM, None)
        super().set()


def test_signals_that_interrupt_one_another_are_told_once_and_block_nothing() -> None:
    told = Interrupted()
    told.signals = StopSignals(told)
    told.signals.note(signal.SIGTERM, None)
    assert (told.is_set(), told.times_set) == (True, 1)
    assert told.signals.told_to_stop()
    assert not told.signals.told_to_hurry()


def test_another_signal_a_moment_later_asks_to_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = StopSignals()
    now = 100.0
    monkeypatch.setattr("services.cli.stop_signals.time.monotonic", lambda: now)
    signals.note(signal.SIGINT, None)
    assert not signals.told_to_hurry()
    now += HURRY_AFTER_SECONDS + 0.1
    signals.note(signal.SIGINT, None)
    assert signals.told_to_hurry()


def test_nobody_is_told_before_a_signal() -> None:
    signals = StopSignals()
    assert not signals.told_to_stop()
    assert not signals.told.is_set()
