"""Relays what rewards announces and reacts to tiering and members."""

from services.plumbing import worker
from services.plumbing.config import read
from services.rewards.reactions import RewardsReactions
from services.rewards.settings import RewardsWorkerSettings


def main() -> None:
    worker.run("rewards", read(RewardsWorkerSettings), RewardsReactions)
