"""What the audit compares set by set, inside one shard: sums, sequences, belonging, uniqueness.

Each statement gives a row for everything it compares: `place` orders the rows, `subject` names the
thing, `details` says what is off and is empty where nothing is.
"""

from sqlalchemy import Connection

from services.ledger.domain import audit
from services.ledger.domain.audit import CheckResult
from services.ledger.domain.documents import Account, DocumentType
from services.ledger.domain.forgiving import MADE_GOOD
from services.ledger.domain.lots import HoldState
from services.ledger.domain.policy import PointKind
from services.ledger.domain.restoring import RESTORED
from services.ledger.domain.wallet import REPAID
from services.ledger.storage.shards import schema as schema_of

_ACCOUNTS = ", ".join(f"'{account.name.lower()}'" for account in Account)
_KINDS = ", ".join(f"'{kind.name.lower()}'" for kind in PointKind)
REDEEMABLE = PointKind.REDEEMABLE.value
QUALIFYING = PointKind.QUALIFYING.value

DEBITS = f"""
    SELECT batch_id AS place,
           concat('shard ', {{shard}}, ', batch ', batch_id) AS subject,
           CASE WHEN coalesce(m.points, 0) <> coalesce(e.points, 0) THEN
               concat((ARRAY[{_ACCOUNTS}])[account], ' gave ', coalesce(m.points, 0), ' ',
                      (ARRAY[{_KINDS}])[kind], ' points, wallets got ', coalesce(e.points, 0))
           END AS details
    FROM {{schema}}.account_movements m
    FULL JOIN (
        SELECT j.batch_id, e.account, e.kind, sum(e.points) AS points
        FROM {{schema}}.journal j CROSS JOIN LATERAL unnest(j.entries) e
        GROUP BY j.batch_id, e.account, e.kind) e USING (batch_id, account, kind)"""

# What points are spent on, or lost to.
_SPENT = f"({Account.REDEMPTION.value}, {Account.BREAKAGE.value})"
# Points spent or sent, and given back or received, do not change what a wallet earned in its
# lifetime; points taken back do.
_NOT_EARNED = f"{_SPENT[:-1]}, {Account.TRANSFER.value})"
_TOTALS = f"""
    sum(points) FILTER (WHERE kind = {REDEEMABLE}) AS redeemable,
    sum(points) FILTER (WHERE kind = {QUALIFYING}) AS qualifying,
    sum(points) FILTER (WHERE kind = {REDEEMABLE} AND (account = {Account.ISSUANCE.value}
        OR points > 0 AND account NOT IN {_NOT_EARNED})) AS lifetime"""

BALANCES = f"""
    SELECT wallet_id AS place, concat('wallet ', wallet_id) AS subject, concat_ws('; ',
        CASE WHEN w.points IS NULL THEN 'it is not among the wallets' END,
        CASE WHEN w.points <> coalesce(l.remaining, 0) - w.overdrawn THEN
            concat('it holds ', w.points, ' points, its lots ', coalesce(l.remaining, 0),
                   ' less ', w.overdrawn, ' overdrawn') END,
        CASE WHEN w.points <> coalesce(e.redeemable, 0) THEN
            concat('it holds ', w.points, ' points, its entries sum to ',
                   coalesce(e.redeemable, 0)) END,
        CASE WHEN w.qualifying <> coalesce(e.qualifying, 0) THEN
            concat('it has ', w.qualifying, ' qualifying points, its entries sum to ',
                   coalesce(e.qualifying, 0)) END,
        CASE WHEN w.lifetime <> coalesce(e.lifetime, 0) THEN
            concat('its lifetime points are ', w.lifetime, ', by its entries ',
                   coalesce(e.lifetime, 0)) END,
        CASE WHEN w.pending <> coalesce(l.pending, 0) THEN
            concat(w.pending, ' points are pending, of its lots ', coalesce(l.pending, 0)) END,
        CASE WHEN w.held <> coalesce(l.held, 0) OR w.held <> coalesce(h.on_hold, 0) THEN
            concat(w.held, ' points are held, of its lots ', coalesce(l.held, 0), ', by its holds ',
                   coalesce(h.on_hold, 0)) END,
        CASE WHEN w.overdrawn > 0 AND w.available <> -w.overdrawn THEN
            'it is overdrawn while a lot holds points' END,
        CASE WHEN mod(wallet_id, {{shards}}) <> {{shard}} THEN 'it belongs to another shard' END
    ) AS details
    FROM (SELECT *, available + pending + held AS points FROM {{schema}}.wallets) w
    FULL JOIN (
        SELECT wallet_id, sum(remaining) AS remaining,
               sum(remaining) FILTER (WHERE pending) AS pending, sum(held) AS held
        FROM {{schema}}.lots GROUP BY wallet_id) l USING (wallet_id)
    FULL JOIN (
        SELECT wallet_id, sum(points) AS on_hold FROM {{schema}}.holds
        WHERE state = {HoldState.OPEN.value} GROUP BY wallet_id) h USING (wallet_id)
    FULL JOIN (
        SELECT wallet_id, {_TOTALS} FROM {{schema}}.journal CROSS JOIN LATERAL unnest(entries)
        GROUP BY wallet_id) e USING (wallet_id)"""

SEQUENCES = f"""
    WITH posted AS MATERIALIZED (
        SELECT document_id, wallet_id, sequence, available + pending + held AS points, qualifying,
               lifetime, effect.*
        FROM {{schema}}.journal CROSS JOIN LATERAL (SELECT {_TOTALS} FROM unnest(entries)) effect
             (redeemable_moved, qualifying_moved, lifetime_moved)
        WHERE refusal IS NULL),
    continued AS (
        SELECT p.*, lag(p.sequence, 1, 0::bigint) OVER following AS sequence_before,
               lag(p.points, 1, 0::bigint) OVER following + coalesce(redeemable_moved, 0)
                   AS points_expected,
               lag(p.qualifying, 1, 0::bigint) OVER following + coalesce(qualifying_moved, 0)
                   AS qualifying_expected,
               lag(p.lifetime, 1, 0::bigint) OVER following + coalesce(lifetime_moved, 0)
                   AS lifetime_expected
        FROM posted p
        WINDOW following AS (PARTITION BY p.wallet_id ORDER BY p.sequence, p.document_id))
    SELECT wallet_id AS place, concat('wallet ', wallet_id, ', document ', document_id) AS subject,
           concat_ws('; ',
        CASE WHEN sequence <> sequence_before + 1 THEN
            concat('its sequence is ', sequence, ' after ', sequence_before) END,
        CASE WHEN points <> points_expected THEN
            concat('it left ', points, ' points, by its entries ', points_expected) END,
        CASE WHEN qualifying <> qualifying_expected THEN
            concat('it left ', qualifying, ' qualifying points, by its entries ',
                   qualifying_expected) END,
        CASE WHEN lifetime <> lifetime_expected THEN
            concat('it left ', lifetime, ' lifetime points, by its entries ',
                   lifetime_expected) END) AS details
    FROM continued
    UNION ALL
    SELECT wallet_id, concat('wallet ', wallet_id), concat_ws('; ',
        CASE WHEN w.sequence IS NULL THEN 'it has documents and is not among the wallets' END,
        CASE WHEN w.sequence <> coalesce(d.documents, 0) THEN
            concat('its sequence is ', w.sequence, ', its documents are ',
                   coalesce(d.documents, 0)) END,
        CASE WHEN (w.available + w.pending + w.held, w.qualifying, w.lifetime)
                  <> (last.points, last.qualifying, last.lifetime) THEN
            concat('its balance is not what its document ', last.document_id, ' left') END)
    FROM {{schema}}.wallets w
    FULL JOIN (SELECT wallet_id, count(*) AS documents FROM posted GROUP BY wallet_id) d
        USING (wallet_id)
    LEFT JOIN posted last USING (wallet_id, sequence)
    UNION ALL
    SELECT wallet_id, concat('wallet ', wallet_id, ', document ', document_id), concat_ws('; ',
        CASE WHEN sequence <> 0 THEN 'it was refused and has a sequence' END,
        CASE WHEN entries <> '{{{{}}}}' THEN 'it was refused and has entries' END)
    FROM {{schema}}.journal WHERE refusal IS NOT NULL"""

# Points that came back and make good what a return had forgiven.
IS_MADE_GOOD = (
    f"(account = {Account.ISSUANCE.value} AND rule = '{MADE_GOOD}' AND policy_version = 0)"
)
# Points given back into the lots that they were burned of, or expired in.
_RESTORED = f"(account IN {_SPENT} AND rule = '{RESTORED}')"

LOTS = f"""
    SELECT wallet_id AS place,
           concat('wallet ', wallet_id, ', lot ', document_id, '-', ordinal) AS subject,
           concat_ws('; ',
        CASE WHEN l.points IS NULL THEN 'it does not exist' END,
        CASE WHEN l.remaining < 0 THEN concat('it holds ', l.remaining) END,
        CASE WHEN l.points - coalesce(u.used, 0) <> l.remaining THEN
            concat('it opened with ', l.points, ', ', coalesce(u.used, 0), ' were used, ',
                   l.remaining, ' remain') END,
        CASE WHEN l.points <> coalesce(e.points, 0) THEN
            concat('it opened with ', l.points, ', its entry gave ', coalesce(e.points, 0)) END,
        CASE WHEN l.held <> coalesce(h.points, 0) THEN
            concat(l.held, ' are held, by holds ', coalesce(h.points, 0)) END
    ) AS details
    FROM {{schema}}.lots l
    FULL JOIN (
        SELECT wallet_id, (part->0->>0)::bigint AS document_id, (part->0->>1)::smallint AS ordinal,
               sum((part->>1)::bigint) AS points
        FROM {{schema}}.holds CROSS JOIN json_array_elements(parts) AS part
        WHERE state = {HoldState.OPEN.value} GROUP BY 1, 2, 3) h
        USING (wallet_id, document_id, ordinal)
    FULL JOIN (
        SELECT wallet_id, document_id, ordinal, points FROM {{schema}}.entries
        WHERE kind = {REDEEMABLE} AND points > 0
          AND NOT {_RESTORED}) e USING (wallet_id, document_id, ordinal)
    FULL JOIN (
        SELECT wallet_id, lot_document_id AS document_id, lot_ordinal AS ordinal,
               sum(points) AS used
        FROM {{schema}}.lot_uses GROUP BY 1, 2, 3) u USING (wallet_id, document_id, ordinal)
    UNION ALL
    SELECT wallet_id, concat('wallet ', wallet_id, ', entry ', document_id, '-', ordinal),
           concat_ws('; ',
        CASE WHEN e.points IS NULL THEN 'lots were used, and it does not exist' END,
        CASE WHEN u.used > abs(e.points) OR e.drawn AND u.used <> -e.points THEN
            concat('it used ', u.used, ' points of lots and moved ', e.points) END,
        CASE WHEN e.points > 0 AND NOT u.own AND NOT e.drawn THEN
            'it gave points and used other lots' END)
    FROM (
        SELECT wallet_id, document_id, ordinal, sum(points) AS used,
               bool_and((lot_document_id, lot_ordinal) = (document_id, ordinal)) AS own
        FROM {{schema}}.lot_uses WHERE ordinal <> {REPAID} GROUP BY 1, 2, 3) u
    LEFT JOIN (
        SELECT *, account = {Account.BREAKAGE.value}
                  OR account = {Account.REDEMPTION.value} AND (points < 0 OR {_RESTORED})
                  OR account = {Account.TRANSFER.value} AND points < 0
                  OR {IS_MADE_GOOD} AS drawn
        FROM {{schema}}.entries WHERE kind = {REDEEMABLE}) e
        USING (wallet_id, document_id, ordinal)"""

# A hold was made by its document, burned what its burn moved, and no more of that came back.
HOLDS = f"""
    SELECT wallet_id AS place, concat('wallet ', wallet_id, ', hold ', hold_id) AS subject,
           concat_ws('; ',
        CASE WHEN h.points IS NULL THEN 'it does not exist' END,
        CASE WHEN made.original_id IS NULL THEN 'its document is not in the journal' END,
        CASE WHEN h.points <> h.of_lots THEN
            concat('it holds ', h.points, ' points, of lots ', h.of_lots) END,
        CASE WHEN (h.burn_id, h.captured) <> (coalesce(b.burn_id, 0), coalesce(b.burned, 0)) THEN
            concat('burn ', h.burn_id, ' took ', h.captured, ' points of it, by the journal burn ',
                   coalesce(b.burn_id, 0), ' took ', coalesce(b.burned, 0)) END,
        CASE WHEN b.given_back > b.burned THEN
            concat(b.burned, ' points were burned, ', b.given_back, ' given back') END) AS details
    FROM (
        SELECT *, (SELECT sum((part->>1)::bigint) FROM json_array_elements(parts) AS part)
                   AS of_lots
        FROM {{schema}}.holds) h
    FULL JOIN (
        SELECT wallet_id, document_id AS hold_id, original_id FROM {{schema}}.journal
        WHERE type = {DocumentType.HOLD.value} AND refusal IS NULL) made
        USING (wallet_id, hold_id)
    LEFT JOIN (
        SELECT j.wallet_id, j.original_id AS hold_id, j.document_id AS burn_id,
               (SELECT -sum(points) FROM unnest(j.entries)
                WHERE account = {Account.REDEMPTION.value}) AS burned,
               (SELECT sum(e.points)
                FROM {{schema}}.journal r CROSS JOIN LATERAL unnest(r.entries) e
                WHERE r.wallet_id = j.wallet_id AND r.original_id = j.document_id
                  AND r.type = {DocumentType.REFUND.value} AND r.refusal IS NULL
                  AND e.account = {Account.REDEMPTION.value}) AS given_back
        FROM {{schema}}.journal j
        WHERE j.type = {DocumentType.BURN.value} AND j.refusal IS NULL) b
        USING (wallet_id, hold_id)"""

REQUESTS = """
    SELECT wallet_id AS place, concat('wallet ', wallet_id, ', request ', request_id) AS subject,
           CASE WHEN count(*) > 1 THEN
               concat('it was applied ', count(*), ' times, as documents ', min(document_id),
                      ' to ', max(document_id)) END AS details
    FROM {schema}.journal GROUP BY wallet_id, request_id"""

BATCHES = f"""
    SELECT batch_id AS place, concat('shard ', {{shard}}, ', batch ', batch_id) AS subject,
           concat_ws('; ',
        CASE WHEN b.documents IS NULL THEN 'it is not among the batches' END,
        CASE WHEN j.documents IS NULL THEN 'it has nothing in the journal' END,
        CASE WHEN b.documents <> j.documents THEN
            concat('it counts ', b.documents, ' documents, the journal ', j.documents) END,
        CASE WHEN b.entries <> coalesce(j.entries, 0) THEN
            concat('it counts ', b.entries, ' entries, the journal ',
                   coalesce(j.entries, 0)) END,
        CASE WHEN b.documents = j.documents
                  AND b.latest_sale_time IS DISTINCT FROM j.latest_sale_time THEN
            'its latest sale is another one' END) AS details
    FROM {{schema}}.batches b
    FULL JOIN (
        SELECT batch_id, count(*) FILTER (WHERE refusal IS NULL) AS documents,
               sum(cardinality(entries)) AS entries,
               max(business_time) FILTER (WHERE refusal IS NULL
                   AND type = {DocumentType.SALE.value}) AS latest_sale_time
        FROM {{schema}}.journal
        GROUP BY batch_id) j USING (batch_id)"""

SUMS = {
    audit.DEBITS_EQUAL_CREDITS: DEBITS,
    audit.BALANCES_AGREE: BALANCES,
    audit.DOCUMENTS_IN_SEQUENCE: SEQUENCES,
    audit.LOTS_ADD_UP: f"{LOTS} UNION ALL {HOLDS}",
    audit.REQUESTS_APPLIED_ONCE: REQUESTS,
    audit.BATCHES_MATCH_JOURNAL: BATCHES,
}


def compare_sums(connection: Connection, shard: int, shards: int) -> list[CheckResult]:
    """Make every comparison of a shard that needs no more than SQL."""
    schema = schema_of(shard)
    return [
        compare(connection, name, statement.format(schema=schema, shard=shard, shards=shards))
        for name, statement in SUMS.items()
    ]


def compare(connection: Connection, name: str, statement: str) -> CheckResult:
    """Run a comparison; the database keeps its rows and hands out the first that are off."""
    row = connection.exec_driver_sql(
        f"""
        WITH compared AS MATERIALIZED ({statement})
        SELECT (SELECT count(*) FROM compared),
               (SELECT count(*) FROM compared WHERE details <> ''),
               ARRAY(SELECT subject || ': ' || details FROM compared WHERE details <> ''
                     ORDER BY place, subject LIMIT {audit.PROBLEMS_NAMED_MAX})"""
    ).one()
    return CheckResult(name, row[0], row[1], tuple(row[2]))
