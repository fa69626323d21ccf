"""What the audit reads through from one end to the other: documents with their entries, returns
with their sales, announcements with their batches. A few thousand rows at a time are in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.ledger.domain import audit
from services.ledger.domain.audit import AnnouncedDocument, CheckResult
from services.ledger.domain.basket import lines_from_json
from services.ledger.domain.documents import Balance, Document, DocumentType, Original
from services.ledger.domain.standing import Standing
from services.ledger.storage import entries
from services.ledger.storage.audit_sums import compare
from services.ledger.storage.journal import AS_MICROS, read_tender
from services.ledger.storage.shards import schema as schema_of
from services.ledger.storage.streams import stream

_documents_from_json = msgspec.json.Decoder(list[AnnouncedDocument]).decode

NO_BALANCE = Balance()
# What a document is recomputed from.
_COLUMNS = f"""
    j.document_id, j.wallet_id, j.type, {AS_MICROS.format("j.business_time")}, j.store, j.currency,
    j.lines::text, j.amount, j.original_id, j.policy_version, j.points_forgiven, j.actor,
    j.reason, j.tier, j.tier_multiplier, j.rule_set_version, j.tender::text, {entries.ENTRIES}"""
_COLUMN_COUNT = 18

RETURNS = f"({DocumentType.RETURN.value}, {DocumentType.VOID.value})"


def sales_and_adjustments(connection: Connection, schema: str) -> Iterator[Document]:
    """Every posted document that stands for itself, in the order of their ids."""
    for row in stream(
        connection,
        f"SELECT {_COLUMNS} FROM {schema}.journal j"
        f" WHERE j.refusal IS NULL AND j.type NOT IN {RETURNS} ORDER BY j.document_id",
    ):
        yield _read_document(row)


def returns(connection: Connection, schema: str) -> Iterator[tuple[Document, Original | None]]:
    """Every return and void, sale by sale and in sequence, with its sale as it was sold."""
    for row in stream(
        connection,
        f"""
        SELECT {_COLUMNS}, s.document_id, s.store, s.terminal, s.receipt_number,
               {AS_MICROS.format("s.business_time")}, s.currency, s.policy_version, s.lines::text,
               s.tier, s.tier_multiplier, s.rule_set_version, s.tender::text
        FROM {schema}.journal j
        LEFT JOIN (
            SELECT * FROM {schema}.journal
            WHERE type = {DocumentType.SALE.value} AND refusal IS NULL) s
          ON s.document_id = j.original_id AND s.wallet_id = j.wallet_id
             AND s.sequence < j.sequence
        WHERE j.refusal IS NULL AND j.type IN {RETURNS} ORDER BY j.original_id, j.sequence""",
    ):
        yield _read_document(row), _read_sale(row[_COLUMN_COUNT:])


def _read_document(row: Sequence[Any]) -> Document:
    """A document of _COLUMNS."""
    return Document(
        document_id=row[0],
        wallet_id=row[1],
        request_id="",
        body_hash="",
        type=DocumentType(row[2]),
        business_time=row[3],
        balance=NO_BALANCE,
        store=row[4],
        currency=row[5],
        lines_json=row[6],
        amount=row[7],
        original_id=row[8],
        policy_version=row[9],
        points_forgiven=row[10],
        actor=row[11],
        reason=row[12],
        standing=Standing(*row[13:16]),
        tender=read_tender(row[16]),
        entries=entries.read(row[17]),
    )


def _read_sale(row: Sequence[Any]) -> Original | None:
    """A sale before anything came back; None where there is none that can be read."""
    if row[0] is None:
        return None
    try:
        lines = lines_from_json(row[7])
    except msgspec.MsgspecError:
        return None
    return Original(
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        row[6],
        lines,
        {},
        standing=Standing(*row[8:11]),
        tender=read_tender(row[11]),
    )


def compare_announcements(connection: Connection, shard: int, event_type: str) -> CheckResult:
    """Whether every batch that posted anything has its one event, and no event is of another.

    Events of before the outbox was last pruned may be gone.
    """
    schema = schema_of(shard)
    pruned = f"""
        EXISTS (SELECT FROM {schema}.outbox_pruning JOIN {schema}.batches ON post_time < before
                WHERE batches.batch_id = b.batch_id)"""
    return compare(
        connection,
        audit.OUTBOX_COMPLETE,
        f"""
        SELECT batch_id AS place, concat('shard {shard}, batch ', batch_id, ', event ', id)
                   AS subject,
               CASE WHEN announced IS NULL AND NOT {pruned} THEN 'it is not in the outbox'
                    WHEN batch_id IS NULL THEN 'it announces nothing that was posted'
                    WHEN announced > 1 THEN concat('it is in the outbox ', announced, ' times') END
                   AS details
        FROM ({_posted_batches(shard)}) b
        FULL JOIN (
            SELECT id, count(*) AS announced FROM {schema}.outbox
            WHERE type = '{event_type}' GROUP BY id) o USING (id)""",
    )


def compare_policies(connection: Connection, event_type: str) -> CheckResult:
    """Whether every published policy has its one event, unless the outbox was ever pruned; versions
    have no gap.
    """
    return compare(
        connection,
        audit.OUTBOX_COMPLETE,
        f"""
        SELECT version AS place, concat('policy ', version, ', event ', id) AS subject,
               concat_ws('; ',
            CASE WHEN version <> place THEN 'a version before it is missing' END,
            CASE WHEN announced IS NULL AND NOT EXISTS (SELECT FROM public.outbox_pruning)
                      THEN 'it is not in the outbox'
                 WHEN version IS NULL THEN 'it announces no policy'
                 WHEN announced > 1 THEN concat('it is in the outbox ', announced, ' times') END)
                   AS details
        FROM (SELECT version, row_number() OVER (ORDER BY version) AS place,
                     'policy-' || version AS id
              FROM public.earn_policies) p
        FULL JOIN (
            SELECT id, count(*) AS announced FROM public.outbox
            WHERE type = '{event_type}' GROUP BY id) o USING (id)""",
    )


@dataclass(frozen=True, slots=True)
class AnnouncedBatch:
    """A batch as it was posted, and the event that announces it."""

    batch_id: int
    data: bytes
    documents: list[AnnouncedDocument]


def announced_batches(
    connection: Connection, shard: int, event_type: str
) -> Iterator[AnnouncedBatch]:
    """Every batch that has an event, with that event."""
    schema = schema_of(shard)
    for row in stream(
        connection,
        f"""
        SELECT b.batch_id, o.data, d.documents
        FROM ({_posted_batches(shard)}) b
        JOIN {schema}.outbox o ON o.id = b.id AND o.type = '{event_type}'
        JOIN (
            SELECT j.batch_id, json_agg(json_build_array(
                       j.document_id, j.wallet_id, j.type,
                       {AS_MICROS.format("j.business_time")}, j.store, j.amount, j.original_id,
                       j.currency, e.entries))::text AS documents
            FROM {schema}.journal j
            CROSS JOIN LATERAL (
                SELECT coalesce(json_agg(json_build_array(ordinal, kind, points, rule)
                                         ORDER BY ordinal), '[]'::json) AS entries
                FROM unnest(j.entries) WITH ORDINALITY
                     AS e (points, basis, policy_version, kind, account, rule, lines, ordinal)) e
            WHERE j.refusal IS NULL GROUP BY j.batch_id) d ON d.batch_id = b.batch_id""",
    ):
        yield AnnouncedBatch(row[0], bytes(row[1]), _documents_from_json(row[2]))


def _posted_batches(shard: int) -> str:
    """The batches with posted documents; the first of these names the batch's event."""
    return f"""
        SELECT batch_id, concat('{shard:02d}-', min(document_id)) AS id
        FROM {schema_of(shard)}.journal WHERE refusal IS NULL GROUP BY batch_id"""
