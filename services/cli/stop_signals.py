"""How a process that runs until it is told to end hears of it."""

import signal
import threading
import time
from dataclasses import dataclass, field

# Sooner nobody means to hurry: the end of a starter is told once for each of its threads.
HURRY_AFTER_SECONDS = 0.5


@dataclass(slots=True)
class StopSignals:
    """The user's wishes to end; another one a moment later asks to hurry."""

    told: threading.Event = field(default_factory=threading.Event)
    first_time: float | None = None
    hurries: bool = False

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.note)
        # Whoever started us with nohup wants us to outlive the terminal.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self.note)

    def note(self, _number: int, _frame: object) -> None:
        now = time.monotonic()
        if self.first_time is not None:
            self.hurries = self.hurries or now - self.first_time > HURRY_AFTER_SECONDS
            return
        # Noted first: a signal may interrupt this very handler, and an event that is being set
        # cannot be set again by the same thread.
        self.first_time = now
        self.told.set()

    def told_to_stop(self) -> bool:
        return self.first_time is not None

    def told_to_hurry(self) -> bool:
        return self.hurries
