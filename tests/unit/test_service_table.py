import json
import subprocess
import sys

from services.cli.service_table import SUBSCRIPTIONS

# In a process of its own: nameko and grpc never meet in one.
DECLARED = """
import json
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR
from services.ledger.reactions import LedgerReactions
from services.rewards.reactions import RewardsReactions
from services.tiering.reactions import TieringReactions
pairs = {
    (reactions.name, entrypoint.source_service)
    for reactions in (LedgerReactions, RewardsReactions, TieringReactions)
    for method in vars(reactions).values()
    for entrypoint in getattr(method, ENTRYPOINT_EXTENSIONS_ATTR, ())
}
print(json.dumps(sorted(pairs)))
"""


def test_subscriptions_are_those_the_reactions_declare() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DECLARED], capture_output=True, text=True, check=True
    )
    assert [tuple(pair) for pair in json.loads(ended.stdout)] == sorted(SUBSCRIPTIONS)
