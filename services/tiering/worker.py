"""Relays tiering's events and reacts to those of others."""

from services.plumbing import worker
from services.plumbing.config import read
from services.tiering.reactions import TieringReactions
from services.tiering.settings import TieringWorkerSettings


def main() -> None:
    worker.run("tiering", read(TieringWorkerSettings), TieringReactions)
