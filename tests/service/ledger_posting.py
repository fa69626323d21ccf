"""Posting without a server: what a committer does with a batch."""

from collections.abc import Sequence

from services.ledger.domain.documents import Command
from services.ledger.usecases.post import Answer, post
from services.ledger.usecases.shard import Shard


def answers(shard: Shard, commands: Sequence[Command]) -> list[Answer]:
    """Post a batch; the answers as they are."""
    return post(shard, commands, lambda _, answer: answer)
