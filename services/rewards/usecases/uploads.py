"""Code pools: filled chunk by chunk."""

from datetime import datetime

from sqlalchemy import Engine

from services.plumbing.database import transaction
from services.rewards.domain import uploads
from services.rewards.domain.refusals import RequestIdReused
from services.rewards.domain.uploads import Chunk, Outcome
from services.rewards.metrics import CODES_LOADED
from services.rewards.storage import pools
from services.rewards.storage.pools import CodePool


def upload_codes(database: Engine, chunk: Chunk, *, now: datetime) -> Outcome:
    """Load what is good of a chunk, nothing twice. Refuses: RequestIdReused."""
    lines = uploads.sort_lines(chunk)
    with transaction(database) as connection:
        earlier = pools.noted_chunk(connection, chunk)
        if earlier is not None:
            if earlier[0] != chunk.fingerprint:
                raise RequestIdReused
            return earlier[1]
        pools.begin_pool(connection, chunk.pool, now)
        outcome = uploads.outcome(lines, pools.add_codes(connection, chunk.pool, lines.codes))
        pools.note_chunk(connection, chunk, outcome, now)
    CODES_LOADED.inc(outcome.loaded)
    return outcome


def get_pool(database: Engine, pool: str) -> CodePool:
    """Refuses: CodePoolNotFound."""
    with transaction(database) as connection:
        return pools.read_pool(connection, pool)
