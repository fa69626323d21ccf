"""Shared holds beside the holds they are made of, and merges, compared by the database."""

from sqlalchemy import Connection

from services.ledger.domain import audit
from services.ledger.domain.audit import CheckResult
from services.ledger.domain.documents import Account, DocumentType
from services.ledger.domain.lots import HoldState
from services.ledger.domain.shared_holds import SharedState
from services.ledger.storage.audit_sums import compare
from services.ledger.storage.shards import schema as schema_of

_OPEN, _CAPTURED = HoldState.OPEN.value, HoldState.CAPTURED.value
_OVER = f"({HoldState.RELEASED.value}, {HoldState.EXPIRED.value})"
_HELD = SharedState.OPEN.value
_BURNED = f"({SharedState.CAPTURED.value}, {SharedState.REFUNDING.value})"
_ENDED = f"({SharedState.RELEASED.value}, {SharedState.EXPIRED.value})"
_REFUSED = SharedState.REFUSED.value
# While these are under way a wallet may be a step ahead of the shared hold.
_PREPARING = f"({SharedState.PREPARING.value}, {SharedState.UNDOING.value})"

# Each part beside the hold of its wallet. The life of an open part may be over by itself.
PARTS = f"""
    SELECT wallet_id AS place,
           concat('wallet ', wallet_id, ', hold ', hold_id, ' of sharedHolds/', shared_hold_id)
               AS subject,
           concat_ws('; ',
        CASE WHEN p.points IS NULL AND s.shared_hold_id IS NULL THEN 'there is no shared hold' END,
        CASE WHEN p.points IS NULL AND w.state = {_OPEN} AND s.state NOT IN {_PREPARING} THEN
            'it is no part of it' END,
        CASE WHEN w.points IS NULL THEN 'its wallet does not hold it' END,
        CASE WHEN w.points <> p.points THEN
            concat('it is to hold ', p.points, ' points, its wallet holds ', w.points) END,
        CASE WHEN p.points IS NOT NULL AND (
                s.state = {_HELD} AND w.state <> {_OPEN} AND w.expire_time > now()
                OR (s.state IN {_BURNED} OR s.state IN {_ENDED}) AND w.state = {_OPEN}
                OR s.state = {_REFUSED} AND w.state NOT IN {_OVER}) THEN
            concat('the shared hold is in state ', s.state, ', its wallet''s in ', w.state) END,
        CASE WHEN s.state IN {_BURNED} OR s.state IN {_ENDED} THEN
            CASE WHEN (p.captured, p.burn_id) <> (w.captured, w.burn_id) THEN
                concat('it burned ', p.captured, ' points as ', p.burn_id, ', its wallet ',
                       w.captured, ' as ', w.burn_id) END END,
        CASE WHEN s.state = {SharedState.CAPTURED.value} OR s.state IN {_ENDED} THEN
            CASE WHEN p.refunded <> coalesce(r.given_back, 0) THEN
                concat(p.refunded, ' points came back, in its wallet ',
                       coalesce(r.given_back, 0)) END END) AS details
    FROM (
        SELECT * FROM public.shared_hold_parts
        WHERE hold_id <> 0 AND mod(wallet_id, {{shards}}) = {{shard}}) p
    FULL JOIN (SELECT * FROM {{schema}}.holds WHERE shared_hold_id IS NOT NULL) w
        USING (shared_hold_id, wallet_id, hold_id)
    LEFT JOIN public.shared_holds s USING (shared_hold_id)
    LEFT JOIN (
        SELECT j.wallet_id AS wallet, j.original_id AS burn, sum(e.points) AS given_back
        FROM {{schema}}.journal j CROSS JOIN LATERAL unnest(j.entries) e
        WHERE j.type = {DocumentType.REFUND.value} AND j.refusal IS NULL
          AND e.account = {Account.REDEMPTION.value}
        GROUP BY 1, 2) r ON (r.wallet, r.burn) = (p.wallet_id, p.burn_id)"""

SUMS = f"""
    SELECT h.create_time AS place, concat('sharedHolds/', shared_hold_id) AS subject,
           concat_ws('; ',
        CASE WHEN h.points <> coalesce(p.points, 0) THEN
            concat('it holds ', h.points, ' points, its parts ', coalesce(p.points, 0)) END,
        CASE WHEN h.captured <> CASE WHEN h.state IN {_BURNED} THEN p.captured ELSE 0 END THEN
            concat('it burned ', h.captured, ' points, its parts ', p.captured) END,
        CASE WHEN p.unheld AND h.state IN ({_HELD}, {SharedState.CAPTURED.value}) THEN
            'a part was never held' END,
        CASE WHEN h.state IN {_ENDED} AND p.captured <> p.refunded THEN
            concat(p.captured, ' points were burned of it, ', p.refunded, ' came back') END)
               AS details
    FROM public.shared_holds h
    LEFT JOIN (
        SELECT shared_hold_id, sum(points) AS points, sum(captured) AS captured,
               sum(refunded) AS refunded, bool_or(hold_id = 0) AS unheld
        FROM public.shared_hold_parts GROUP BY 1) p USING (shared_hold_id)"""

# UNION ends also where merges go round in a circle.
MERGES = """
    WITH RECURSIVE counts_for AS (
        SELECT source_id, target_id FROM public.merged_members WHERE undo_time IS NULL
        UNION
        SELECT c.source_id, m.target_id FROM counts_for c
        JOIN public.merged_members m ON m.source_id = c.target_id AND m.undo_time IS NULL)
    SELECT source_id AS place, concat('members/', source_id) AS subject,
           CASE WHEN bool_or(source_id = target_id) THEN 'it was merged into itself, by others' END
               AS details
    FROM counts_for GROUP BY source_id"""


def compare_parts(connection: Connection, shard: int, shards: int) -> CheckResult:
    """Whether each part of a shared hold is what a wallet of the shard holds for it."""
    statement = PARTS.format(schema=schema_of(shard), shard=shard, shards=shards)
    return compare(connection, audit.SHARED_HOLDS_AGREE, statement)


def compare_directory(connection: Connection) -> list[CheckResult]:
    """What is about no one shard: what shared holds sum to, and that every merge has an end."""
    return [
        compare(connection, audit.SHARED_HOLDS_AGREE, SUMS),
        compare(connection, audit.MERGES_END, MERGES),
    ]
