"""What people gave or took alone of late. It lies outside the shards: people do it rarely."""

from collections.abc import Sequence

from sqlalchemy import Connection

from services.ledger.domain.documents import AdjustPoints
from services.ledger.storage.posting import MICROS
from services.plumbing.database import array

TIME = MICROS.format("%s")
# Whoever adds one removes so many at most that no longer count: more than come in.
FORGOTTEN_AT_ONCE_MAX = 100


def lock(connection: Connection, person: str, wallet_id: int) -> None:
    """One adjustment of a person for a member at a time, until the end of the transaction: of two
    that are within the limit each, the second is counted with the first.
    """
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(hashtextextended('gives alone ' || %s, %s))",
        (person, wallet_id),
    )


def body_of(connection: Connection, wallet_id: int, request_id: str) -> str | None:
    """The body hash of a request that was allowed before; None where none was."""
    found: str | None = connection.exec_driver_sql(
        "SELECT body_hash::text FROM adjustments_alone"
        " WHERE wallet_id = %s AND request_id = %s::uuid",
        (wallet_id, request_id),
    ).scalar_one_or_none()
    return found


def points_since(
    connection: Connection, wallet_ids: Sequence[int], asked: AdjustPoints, *, since: int
) -> int:
    """What the person who asks gave to wallets alone since a time, of the kind that is asked for;
    less what they took.
    """
    found: int = connection.exec_driver_sql(
        "SELECT coalesce(sum(points), 0)::bigint FROM adjustments_alone"
        f" WHERE wallet_id = ANY(%s::bigint[]) AND person = %s AND kind = %s AND ask_time > {TIME}",
        (array(wallet_ids), asked.actor, asked.kind.value, since),
    ).scalar_one()
    return found


def add(connection: Connection, asked: AdjustPoints, *, now: int, since: int) -> None:
    """Note what is given alone, and forget what was before since."""
    connection.exec_driver_sql(
        "INSERT INTO adjustments_alone"
        " (wallet_id, request_id, body_hash, person, kind, points, ask_time)"
        # Another's under the same id at the same moment: of the two the journal takes one.
        f" VALUES (%s, %s, %s, %s, %s, %s, {TIME}) ON CONFLICT DO NOTHING",
        (
            asked.wallet_id,
            asked.request_id,
            asked.body_hash,
            asked.actor,
            asked.kind.value,
            asked.points,
            now,
        ),
    )
    connection.exec_driver_sql(
        "DELETE FROM adjustments_alone WHERE (wallet_id, request_id) IN ("
        f" SELECT wallet_id, request_id FROM adjustments_alone WHERE ask_time <= {TIME}"
        " ORDER BY ask_time LIMIT %s FOR UPDATE SKIP LOCKED)",
        (since, FORGOTTEN_AT_ONCE_MAX),
    )


def remove(connection: Connection, asked: AdjustPoints) -> None:
    """Forget what came to nothing; the same request with another body is not that."""
    connection.exec_driver_sql(
        "DELETE FROM adjustments_alone"
        " WHERE wallet_id = %s AND request_id = %s::uuid AND body_hash = %s::uuid",
        (asked.wallet_id, asked.request_id, asked.body_hash),
    )
