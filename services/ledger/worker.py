"""Relays the ledger's events and reacts to those of others."""

from services.ledger.reactions import LedgerReactions
from services.ledger.settings import LedgerWorkerSettings
from services.plumbing import worker
from services.plumbing.config import read


def main() -> None:
    worker.run("ledger", read(LedgerWorkerSettings), LedgerReactions)
