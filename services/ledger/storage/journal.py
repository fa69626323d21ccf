"""What the journal holds, read back: documents with their entries, the originals of returns,
statements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.ledger.domain.basket import lines_from_json
from services.ledger.domain.documents import (
    Balance,
    Document,
    DocumentType,
    Origin,
    Original,
)
from services.ledger.domain.lots import Tender
from services.ledger.domain.returning import TakenBack
from services.ledger.domain.standing import Standing
from services.ledger.storage import entries
from services.plumbing.database import array, text_array
from services.plumbing.pages import WHOLE_NUMBER_MAX

# A timestamp as microseconds since 1970, exactly.
AS_MICROS = "(extract(epoch FROM {}) * 1000000)::bigint"

COLUMNS = f"""
    j.document_id, j.wallet_id, j.request_id::text, j.body_hash::text, j.type,
    {AS_MICROS.format("j.business_time")}, j.available, j.pending, j.qualifying, j.lifetime,
    j.store, j.terminal, j.receipt_number, j.currency, j.lines::text, j.amount, j.flags,
    j.original_id, j.policy_version, j.points_forgiven, j.actor, j.reason,
    coalesce(j.refusal::text, ''), j.sequence, j.tier, j.tier_multiplier, j.rule_set_version,
    j.held, j.tender::text, {AS_MICROS.format("j.post_time")}, {entries.ENTRIES}"""
POST_TIME, ENTRIES = 29, 30


@dataclass(frozen=True, slots=True)
class Posted:
    """A document and when it was posted (microseconds since 1970)."""

    document: Document
    post_time: int


def read_document(row: Sequence[Any]) -> Document:
    """A document of COLUMNS."""
    return Document(
        document_id=row[0],
        wallet_id=row[1],
        request_id=row[2],
        body_hash=row[3],
        type=DocumentType(row[4]),
        business_time=row[5],
        balance=Balance(row[6], row[7], row[8], row[9], row[27]),
        store=row[10],
        terminal=row[11],
        receipt_number=row[12],
        currency=row[13],
        lines_json=row[14],
        amount=row[15],
        flags=row[16],
        original_id=row[17],
        policy_version=row[18],
        points_forgiven=row[19],
        actor=row[20],
        reason=row[21],
        refusal=row[22],
        sequence=row[23],
        standing=Standing(*row[24:27]),
        entries=entries.read(row[ENTRIES]),
        tender=read_tender(row[28]),
    )


def read_tender(text: str | None) -> Tender | None:
    return None if text is None else msgspec.json.decode(text, type=Tender)


def documents(
    connection: Connection, schema: str, document_ids: Sequence[int]
) -> dict[int, Posted]:
    """Documents by their ids, with entries."""
    rows = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM {schema}.journal j WHERE j.document_id = ANY(%s::bigint[])",
        (array(document_ids),),
    )
    return {row[0]: Posted(read_document(row), row[POST_TIME]) for row in rows}


@dataclass(frozen=True, slots=True)
class Period:
    """Business times from (inclusive) until (exclusive), in microseconds; None: unbounded."""

    from_time: int | None = None
    until_time: int | None = None


# Where a page of a statement ended: business time, document and wallet, as shards number their
# documents each from 1.
StatementKey = tuple[int, int, int]
# Earlier and later than any time there is, and still times the database takes.
MICROS_MIN, MICROS_MAX = -(10**17), 10**18


def statement(
    connection: Connection,
    schema: str,
    wallet_ids: Sequence[int],
    *,
    period: Period,
    before: StatementKey | None,
    limit: int,
    sales_only: bool,
) -> list[Posted]:
    """Documents of wallets that were not refused, newest business time first.

    What is read is made of the page's rows alone: sorted are all that the wallets have.
    """
    time, document_id, wallet_id = before or (MICROS_MAX, 0, 0)
    rows = connection.exec_driver_sql(
        f"""
        SELECT {COLUMNS} FROM (
            SELECT * FROM {schema}.journal
            WHERE wallet_id = ANY(%s::bigint[]) AND refusal IS NULL
              AND (business_time, document_id, wallet_id)
                  < (timestamptz 'epoch' + %s * interval '1 microsecond', %s, %s)
              AND business_time >= coalesce(
                  timestamptz 'epoch' + %s * interval '1 microsecond', '-infinity')
              AND business_time < coalesce(
                  timestamptz 'epoch' + %s * interval '1 microsecond', 'infinity')
              AND (type = {DocumentType.SALE.value} OR NOT %s)
            ORDER BY business_time DESC, document_id DESC, wallet_id DESC LIMIT %s) j
        ORDER BY j.business_time DESC, j.document_id DESC, j.wallet_id DESC""",
        (
            array(wallet_ids),
            time,
            document_id,
            wallet_id,
            period.from_time,
            period.until_time,
            sales_only,
            limit,
        ),
    )
    return [Posted(read_document(row), row[POST_TIME]) for row in rows]


# A document by its wallet and its id, which alone is a shard's own.
DocumentKey = tuple[int, int]


def voided_among(
    connection: Connection, schema: str, sales: Sequence[DocumentKey]
) -> set[DocumentKey]:
    """Which of a shard's sales were voided."""
    rows = connection.exec_driver_sql(
        "SELECT wallet_id, original_id"
        f" FROM {schema}.journal WHERE wallet_id = ANY(%s::bigint[])"
        f" AND original_id = ANY(%s::bigint[]) AND type = {DocumentType.VOID.value}"
        " AND refusal IS NULL",
        (array({wallet for wallet, _ in sales}), array(document for _, document in sales)),
    )
    return {(row[0], row[1]) for row in rows}


def wallet_of_request(
    connection: Connection, schema: str, wallet_ids: Sequence[int], request_id: str
) -> int | None:
    """Which of the wallets has a request in its journal."""
    found: int | None = connection.exec_driver_sql(
        f"SELECT wallet_id FROM {schema}.journal"
        " WHERE wallet_id = ANY(%s::bigint[]) AND request_id = %s::uuid LIMIT 1",
        (array(wallet_ids), request_id),
    ).scalar_one_or_none()
    return found


def find_originals(
    connection: Connection, schema: str, origins: Sequence[tuple[int, Origin]]
) -> list[Original | None]:
    """The sales that returns are about, by (wallet, origin), with what came back before.

    Of sales with the same receipt the newest is meant.
    """
    rows = connection.exec_driver_sql(
        f"""
        SELECT asked.number, found.document_id
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[])
             AS asked (number, wallet_id, sale_id, store, terminal, receipt_number)
        CROSS JOIN LATERAL (
            SELECT j.document_id FROM {schema}.journal j
            WHERE j.wallet_id = asked.wallet_id AND j.type = {DocumentType.SALE.value}
              AND j.refusal IS NULL
              AND CASE WHEN asked.sale_id <> 0 THEN j.document_id = asked.sale_id
                  ELSE j.store = asked.store AND j.terminal = asked.terminal
                       AND j.receipt_number = asked.receipt_number END
            ORDER BY j.sequence DESC LIMIT 1) AS found""",
        (
            array(range(len(origins))),
            array(wallet for wallet, _ in origins),
            array(origin.sale_id for _, origin in origins),
            text_array(origin.store for _, origin in origins),
            text_array(origin.terminal for _, origin in origins),
            text_array(origin.receipt_number for _, origin in origins),
        ),
    ).fetchall()
    ids = {row[0]: row[1] for row in rows}
    sales = originals(connection, schema, list(set(ids.values())))
    return [sales.get(ids.get(number, 0)) for number in range(len(origins))]


def originals(
    connection: Connection, schema: str, sale_ids: Sequence[int], *, before: int = WHOLE_NUMBER_MAX
) -> dict[int, Original]:
    """Sales as returns see them: with what came back before a sequence of their wallet."""
    if not sale_ids:
        return {}
    sales = connection.exec_driver_sql(
        f"SELECT document_id, store, terminal, receipt_number,"
        f" {AS_MICROS.format('business_time')}, currency, policy_version, lines::text, wallet_id,"
        " tier, tier_multiplier, rule_set_version, tender::text, sequence"
        f" FROM {schema}.journal WHERE document_id = ANY(%s::bigint[])",
        (array(sale_ids),),
    ).fetchall()
    returned: dict[int, dict[int, tuple[int, int]]] = {row[0]: {} for row in sales}
    return_ids: dict[int, list[int]] = {row[0]: [] for row in sales}
    given_back = dict.fromkeys(returned, 0)
    voided = set()
    for row in connection.exec_driver_sql(
        f"SELECT original_id, type, lines::text, document_id, tender::text FROM {schema}.journal"
        " WHERE wallet_id = ANY(%s::bigint[]) AND original_id = ANY(%s::bigint[])"
        " AND refusal IS NULL AND sequence < %s ORDER BY sequence",
        (array({row[8] for row in sales}), array(sale_ids), before),
    ):
        return_ids[row[0]].append(row[3])
        if row[1] == DocumentType.VOID:
            voided.add(row[0])
        add_returned(returned[row[0]], row[2])
        if (tender := read_tender(row[4])) is not None:
            given_back[row[0]] += tender.points
    return {
        row[0]: Original(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            row[5],
            row[6],
            lines_from_json(row[7]),
            returned[row[0]],
            tuple(return_ids[row[0]]),
            row[0] in voided,
            Standing(*row[9:12]),
            read_tender(row[12]),
            given_back[row[0]],
            row[13],
        )
        for row in sales
    }


def original_before(connection: Connection, schema: str, document: Document) -> Original | None:
    """The sale of a return as it was before that return; None for what is not about a sale."""
    if document.type not in (DocumentType.RETURN, DocumentType.VOID):
        return None
    found = originals(connection, schema, [document.original_id], before=document.sequence)
    return found.get(document.original_id)


def add_returned(returned: dict[int, tuple[int, int]], lines_json: str | bytes) -> None:
    """Add what a return took back to what was returned of a sale before."""
    for back in msgspec.json.decode(lines_json, type=list[TakenBack]):
        quantity, amount = returned.get(back.line, (0, 0))
        returned[back.line] = quantity + back.quantity, amount + back.amount
