"""The real year, replayed by the command that does it."""

import json
import subprocess
import sys

REPLAY_SECONDS_MAX = 1_200
LINES_SHOWN = 5


class ReplayFailed(Exception):  # noqa: N818 — says what happened
    """`loyalty replay` ended badly; the message is the end of what it said."""


def replay_fresh() -> dict[str, object]:
    """What a replay on a fresh platform of its own says at its end. Refuses: ReplayFailed."""
    finished = subprocess.run(
        [sys.executable, "-m", "services.cli", "replay", "--fresh"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=REPLAY_SECONDS_MAX,
        check=False,
    )
    lines = finished.stdout.strip().splitlines()
    if finished.returncode or not lines:
        raise ReplayFailed("\n".join(lines[-LINES_SHOWN:]))
    summary: dict[str, object] = json.loads(lines[-1])
    return summary
