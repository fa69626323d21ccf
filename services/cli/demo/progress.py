"""Which days are closed: a small file beside the data, so an interrupted replay resumes."""

import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

FILE_NAME = "replay.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """The last closed day, and the seconds that recording the closed days took over all runs."""

    last_closed_day: date | None = None
    replay_seconds: float = 0.0


class ProgressFile:
    """Reads and writes the progress of one data directory."""

    def __init__(self, data_directory: Path) -> None:
        self._path = data_directory / FILE_NAME

    def read(self) -> Progress:
        """The progress so far. A file that is missing or torn means the year's start.

        Starting too early is safe: the ledger answers what it answered the first time.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Progress)
        except (FileNotFoundError, msgspec.DecodeError):
            return Progress()

    def write(self, progress: Progress) -> None:
        """Replace the file in one step; a kill leaves the old one or the new one."""
        unfinished = self._path.with_suffix(".unfinished")
        unfinished.write_bytes(msgspec.json.encode(progress))
        unfinished.replace(self._path)


class ClosedDays:
    """The step that closes a day in the progress file; the last of them all.

    A day's seconds count from the closing of the day before, the first's from the making of this.
    """

    def __init__(self, file: ProgressFile) -> None:
        self._file = file
        self._closed_at = time.monotonic()
        self.progress = file.read()

    def __call__(self, day: date) -> None:
        now = time.monotonic()
        seconds = self.progress.replay_seconds + (now - self._closed_at)
        self._closed_at = now
        self.progress = Progress(last_closed_day=day, replay_seconds=seconds)
        self._file.write(self.progress)
