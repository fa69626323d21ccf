"""Previews in processes of their own, which leave the server its processor and its interpreter."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from uuid import UUID

from services.plumbing import child_process, telemetry
from services.plumbing.config import LogSettings, read
from services.plumbing.database import engine
from services.plumbing.giving_way import GivingWay
from services.tiering.domain.refusals import PreviewFailed, PreviewNotFound, PreviewUnderWay
from services.tiering.metrics import PREVIEWS_UNDER_WAY
from services.tiering.settings import PreviewSettings, TieringSettings
from services.tiering.usecases.preview import compute_preview

# More would take from the tills what one leaves them.
AT_ONCE = 1
POLL_SECONDS = 0.1
UNDER_WAY = 3
END = signal.SIGKILL
# How long after a slice, in times of what it waited for a processor that tills had.
REST = 2.0


class PreviewProcesses:
    """Starts a process for each preview; it ends with its caller, and with the server."""

    def __init__(self, settings: TieringSettings) -> None:
        self._environment: Mapping[str, str] = {
            **os.environ,
            "TIERING_DATABASE_URL": settings.database_url,
            "TIERING_PREVIEW_NICENESS": str(settings.preview_niceness),
        }
        self._places = asyncio.Semaphore(AT_ONCE)

    async def run(self, preview_id: UUID) -> AsyncGenerator[None, None]:
        """Compute a preview, with a turn for the caller now and then. To leave early stops it.

        Refuses: PreviewUnderWay, PreviewFailed.
        """
        with PREVIEWS_UNDER_WAY.track_inprogress():
            async with self._places:
                process = self._start(preview_id)
                try:
                    while process.poll() is None:
                        await asyncio.sleep(POLL_SECONDS)
                        yield
                finally:
                    # What is not kept by now is computed again when somebody asks.
                    process.kill()
                    process.wait()
        if process.returncode == UNDER_WAY:
            raise PreviewUnderWay
        if process.returncode != 0:
            raise PreviewFailed

    def _start(self, preview_id: UUID) -> subprocess.Popen[bytes]:
        """Takes no time; a thread that did it could be left alone with the process."""
        return subprocess.Popen(  # noqa: S603 -- our own program
            self._command(preview_id),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            # Ctrl-C in a terminal is for the server, which lets its calls end.
            start_new_session=True,
        )

    def _command(self, preview_id: UUID) -> Sequence[str]:
        computing = (sys.executable, "-m", "services.tiering", "preview", preview_id.hex)
        return child_process.bound(computing, end_signal=END)


def main(preview_id: str) -> None:
    """Compute a preview to its end; the exit code says why not."""
    telemetry.start_logging(read(LogSettings).level)
    settings = read(PreviewSettings)
    os.nice(settings.preview_niceness)
    reading = engine(settings.database_url, pool_size=1)
    writing = engine(settings.database_url, pool_size=2)
    try:
        compute_preview(reading, writing, UUID(preview_id), rest=GivingWay(REST).rest)
    except PreviewUnderWay:
        sys.exit(UNDER_WAY)
    except PreviewNotFound as refusal:
        sys.exit(refusal.message)
    finally:
        reading.dispose()
        writing.dispose()
