"""What the audit compares of points that members send each other: that what arrived is what left.

The statements are of the kind that audit_sums runs.
"""

from sqlalchemy import Connection

from services.ledger.domain import audit
from services.ledger.domain.audit import CheckResult
from services.ledger.domain.documents import Account, DocumentType
from services.ledger.domain.transferring import TransferState
from services.ledger.storage.audit_sums import compare
from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.shards import schema as schema_of

SEND, RECEIVE = DocumentType.SEND.value, DocumentType.RECEIVE.value
TRANSFER = Account.TRANSFER.value

# Each part of what a document sent or received says what its lot does: of a lot that activity
# prolongs the end may have come later since, never sooner.
PARTS = f"""
    SELECT p.wallet_id AS place,
           concat('wallet ', p.wallet_id, ', document ', p.document_id, ', part ', p.number)
               AS subject,
           concat_ws('; ',
        CASE WHEN l.document_id IS NULL THEN 'its lot does not exist' END,
        CASE WHEN p.points <> coalesce(u.points, l.points) THEN
            concat('it is of ', p.points, ' points, its lot of ', coalesce(u.points, l.points)) END,
        CASE WHEN p.type = {SEND} AND u.points IS NULL THEN 'it was not taken of its lot' END,
        CASE WHEN (p.earn_time, p.months)
                  <> (l.earn_micros, l.inactive_months) THEN
            'its lot was earned otherwise' END,
        CASE WHEN p.months = 0 AND p.expire_time IS DISTINCT FROM l.expire_micros
                  OR p.months > 0 AND p.type = {RECEIVE} AND l.expire_micros < p.expire_time
             THEN 'its lot expires at another time' END) AS details
    FROM (
        SELECT j.wallet_id, j.document_id, j.type, number, (part->>1)::bigint AS points,
               (part->>2)::bigint AS earn_time, (part->>3)::bigint AS expire_time,
               (part->>4)::integer AS months,
               CASE j.type WHEN {SEND} THEN (part->0->>0)::bigint ELSE j.document_id END
                   AS lot_document_id,
               CASE j.type WHEN {SEND} THEN (part->0->>1)::smallint ELSE number END AS lot_ordinal
        FROM {{schema}}.journal j
        CROSS JOIN json_array_elements(j.lines) WITH ORDINALITY AS parts (part, number)
        WHERE j.type IN ({SEND}, {RECEIVE}) AND j.refusal IS NULL) p
    LEFT JOIN (
        SELECT *, {AS_MICROS.format("earn_time")} AS earn_micros,
               {AS_MICROS.format("expire_time")} AS expire_micros
        FROM {{schema}}.lots) l ON (l.wallet_id, l.document_id, l.ordinal)
                                = (p.wallet_id, p.lot_document_id, p.lot_ordinal)
    LEFT JOIN {{schema}}.lot_uses u
      ON p.type = {SEND} AND u.document_id = p.document_id
         AND (u.lot_document_id, u.lot_ordinal) = (p.lot_document_id, p.lot_ordinal)"""

MOVED = f"""
    SELECT j.type, j.receipt_number AS transfer, j.wallet_id, j.business_time, j.lines::text,
           (SELECT sum(points) FROM unnest(j.entries) WHERE account = {TRANSFER}) AS points
    FROM {{schema}}.journal j
    WHERE j.type IN ({SEND}, {RECEIVE}) AND j.refusal IS NULL"""

ACCOUNT = (
    f"SELECT sum(points) AS points FROM {{schema}}.account_movements WHERE account = {TRANSFER}"
)

# What each of a transfer's sources agreed to give, gave, and got back where nothing came of it.
_GIVEN = f"""
    SELECT coalesce(s.transfer, m.transfer) AS transfer, s.ordinal, m.business_time, m.lines,
           coalesce(s.points, 0) AS agreed, -m.points AS sent, b.points AS back,
           b.lines <> m.lines AS changed
    FROM (SELECT transfer_id::text AS transfer, ordinal, wallet_id, points
          FROM public.transfer_sources) s
    FULL JOIN (SELECT * FROM moved WHERE type = {SEND}) m USING (transfer, wallet_id)
    LEFT JOIN (SELECT * FROM moved WHERE type = {RECEIVE}) b USING (transfer, wallet_id)"""

# Each transfer beside its documents, whichever shards they are in; and what the programme's account
# holds beside the points that are on their way. As msgspec writes parts, those of several wallets
# are those of each, one after the other.
TRANSFERS = f"""
    WITH moved AS ({{moved}}),
    given AS ({_GIVEN}),
    sent AS (
        SELECT transfer, sum(sent) AS sent, sum(back) AS back,
               bool_or(sent <> agreed) AS otherwise, bool_or(changed) AS changed,
               min(business_time) AS first_time, max(business_time) AS last_time,
               concat('[', string_agg(substr(lines, 2, length(lines) - 2), ',' ORDER BY ordinal),
                      ']') AS lines
        FROM given GROUP BY transfer),
    arrived AS (
        SELECT * FROM moved m WHERE type = {RECEIVE} AND NOT EXISTS (
            SELECT FROM public.transfer_sources s
            WHERE (s.transfer_id::text, s.wallet_id) = (m.transfer, m.wallet_id))),
    followed AS (
        SELECT t.*, coalesce(t.transfer_id::text, s.transfer, a.transfer) AS name,
               coalesce(s.sent, 0) AS sent, coalesce(s.back, 0) AS back, s.otherwise,
               coalesce(a.points, 0) AS arrived, s.changed OR a.lines <> s.lines AS changed,
               (s.first_time, s.last_time) <> (t.create_time, t.create_time)
                   OR (a.wallet_id, a.business_time) <> (t.target_wallet, t.create_time)
                   AS elsewhere
        FROM public.transfers t
        FULL JOIN sent s ON s.transfer = t.transfer_id::text
        FULL JOIN arrived a ON a.transfer = coalesce(t.transfer_id::text, s.transfer))
    SELECT coalesce(transfer_id, 0) AS place, concat('transfer ', name) AS subject, concat_ws('; ',
        CASE WHEN transfer_id IS NULL THEN 'it is not among the transfers' END,
        CASE WHEN otherwise THEN 'a wallet sent other points than agreed' END,
        CASE WHEN state = {TransferState.REFUSED.value} AND (sent <> back OR arrived <> 0) THEN
            concat('it was refused; ', sent, ' points were sent, ', back, ' came back, ', arrived,
                   ' arrived') END,
        CASE WHEN state = {TransferState.DONE.value}
                  AND (sent, back, arrived) <> (points, 0, points) THEN
            concat('it is of ', points, ' points; ', sent, ' were sent, ', back, ' came back, ',
                   arrived, ' arrived') END,
        CASE WHEN arrived > sent - back THEN
            concat(sent - back, ' points were sent, ', arrived, ' arrived') END,
        CASE WHEN elsewhere THEN 'its points moved elsewhere or at another time' END,
        CASE WHEN changed THEN 'its points changed on their way' END) AS details
    FROM followed
    UNION ALL
    SELECT 0, 'account transfer',
           CASE WHEN coalesce(held, 0) <> under_way THEN
               concat('it holds ', coalesce(held, 0), ' points, ', under_way, ' are under way') END
    FROM (SELECT -sum(points) AS held FROM ({{accounts}}) AS accounts) AS a,
         (SELECT coalesce(sum(sent - back - arrived) FILTER (
                     WHERE state = {TransferState.UNDER_WAY.value}), 0) AS under_way
          FROM followed) AS f
    WHERE held IS NOT NULL OR under_way > 0"""


def compare_parts(connection: Connection, shard: int) -> CheckResult:
    """Whether what a shard's wallets sent and received is what their lots gave and got."""
    statement = PARTS.format(schema=schema_of(shard))
    return compare(connection, audit.TRANSFERS_ARRIVE, statement)


def compare_transfers(connection: Connection, shards: int) -> CheckResult:
    """Whether every transfer arrived as it was sent; the connection sees one state of all
    shards.
    """
    schemas = [schema_of(number) for number in range(shards)]
    moved, accounts = (
        " UNION ALL ".join(each.format(schema=schema) for schema in schemas)
        for each in (MOVED, ACCOUNT)
    )
    statement = TRANSFERS.format(moved=moved, accounts=accounts)
    return compare(connection, audit.TRANSFERS_ARRIVE, statement)
