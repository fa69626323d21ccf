"""Previews in processes forked from one that has loaded all modules once; whole platforms start
theirs from nothing.
"""

import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from uuid import UUID

from services.tiering import preview_process
from services.tiering.preview_process import PreviewProcesses


class Forked:
    """A process, as `subprocess` would show it."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> None:
        self._process.join()


def start(previews: PreviewProcesses, preview_id: UUID) -> Forked:
    """Takes the place of what starts a preview's process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    environment: Mapping[str, str] = vars(previews)["_environment"]
    process = context.Process(target=_compute, args=(environment, preview_id.hex), daemon=True)
    process.start()
    return Forked(process)


def _compute(environment: Mapping[str, str], preview_id: str) -> None:
    os.environ.update(environment)
    preview_process.main(preview_id)
