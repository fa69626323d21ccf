"""Relays the members' events; it reacts to none."""

from services.members.settings import MembersWorkerSettings
from services.plumbing import worker
from services.plumbing.config import read


def main() -> None:
    worker.run("members", read(MembersWorkerSettings))
