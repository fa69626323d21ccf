"""The hot path in SQL, second half: append a batch to one shard.

New rows are copied: a line of text a row costs client and server less than half of what arrays of
parameters do. Nothing
can clash, since the wallets are locked and their requests were looked up; the unique keys stand
behind that.

Enumerations are written by their `_value_`: formatting or hashing a member costs ten times as much,
for every row.
"""

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from sqlalchemy import Connection

from services.ledger.domain.documents import Document, DocumentType
from services.ledger.domain.wallet import WalletState
from services.plumbing import outbox
from services.plumbing.database import array, copy_rows, copy_text, prepare
from services.plumbing.outbox import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SALE = DocumentType.SALE

JOURNAL = (
    "document_id, wallet_id, batch_id, original_id, amount, points_forgiven, available, pending,"
    " qualifying, lifetime, sequence, business_time, post_time, request_id, body_hash,"
    " policy_version, type, flags, store, terminal, receipt_number, currency, actor, reason,"
    " refusal, lines"
)
ENTRIES = (
    "document_id, wallet_id, points, basis, policy_version, ordinal, kind, account, rule, lines"
)
LOTS = "wallet_id, document_id, points, remaining, earn_time, expire_time, ordinal"
LOT_USES = "document_id, ordinal, wallet_id, lot_document_id, lot_ordinal, points"


@lru_cache(maxsize=4_096)
def timestamp(micros: int) -> str:
    """Microseconds since 1970 as PostgreSQL reads a time, exactly."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat()


@lru_cache(maxsize=16_384)
def line_array(lines: tuple[int, ...]) -> str:
    """Numbers of lines as PostgreSQL reads an array; most baskets share a few."""
    return array(lines)


def prepare_update(connection: Connection, schema: str) -> None:
    prepare(
        connection,
        f"update_{schema}",
        ", ".join(["bigint[]"] * 7),
        f"""
        UPDATE {schema}.wallets SET available = w.available, pending = w.pending,
            qualifying = w.qualifying, lifetime = w.lifetime, overdrawn = w.overdrawn,
            sequence = w.sequence
        FROM unnest($1, $2, $3, $4, $5, $6, $7)
            AS w (id, available, pending, qualifying, lifetime, overdrawn, sequence)
        WHERE wallets.wallet_id = w.id""",
    )


def append(
    connection: Connection,
    schema: str,
    *,
    documents: Sequence[Document],
    wallets: Iterable[WalletState],
    event: Event | None,
    post_time: int,
) -> None:
    """Write a batch: documents, entries, lots, the wallets as they are now, a sum an account,
    and the event that announces it.
    """
    batch_id = documents[0].document_id
    posted = [document for document in documents if not document.refused]
    copy_rows(connection, f"{schema}.journal ({JOURNAL})", _journal(documents, batch_id, post_time))
    copy_rows(connection, f"{schema}.entries ({ENTRIES})", _entries(posted))
    copy_rows(connection, f"{schema}.lots ({LOTS})", _lots(posted))
    copy_rows(connection, f"{schema}.lot_uses ({LOT_USES})", _lot_uses(posted))
    prepare_update(connection, schema)
    statements = [
        _touched_lots(schema, wallets),
        _wallets(schema, posted, wallets),
        _accounts(schema, posted, batch_id),
        _batch(schema, posted, batch_id, post_time),
        outbox.insertion(schema, [event]) if event else NOTHING,
    ]
    # One round trip; each statement is small beside its own.
    connection.exec_driver_sql(
        ";".join(text for text, _ in statements if text),
        tuple(value for _, values in statements for value in values),
    )


def _journal(documents: Sequence[Document], batch_id: int, post_time: int) -> str:
    posted = timestamp(post_time)
    rows = io.StringIO()
    for d in documents:
        b = d.balance
        rows.write(
            f"{d.document_id}\t{d.wallet_id}\t{batch_id}\t{d.original_id}\t{d.amount}"
            f"\t{d.points_forgiven}\t{b.available}\t{b.pending}\t{b.qualifying}\t{b.lifetime}"
            f"\t{d.sequence}\t{timestamp(d.business_time)}\t{posted}\t{d.request_id}\t{d.body_hash}"
            f"\t{d.policy_version}\t{d.type._value_}\t{d.flags}\t{d.store}\t{d.terminal}"
            f"\t{d.receipt_number}\t{d.currency}\t{copy_text(d.actor)}\t{copy_text(d.reason)}"
            f"\t{copy_text(d.refusal) if d.refusal else NULL}\t{copy_text(d.lines_json)}\n"
        )
    return rows.getvalue()


NULL = "\\N"


def _entries(documents: Sequence[Document]) -> str:
    return "".join(
        [
            f"{d.document_id}\t{d.wallet_id}\t{e.points}\t{e.basis}\t{e.policy_version}"
            f"\t{e.ordinal}\t{e.kind._value_}\t{e.account._value_}\t{e.rule}\t{line_array(e.lines)}\n"
            for d in documents
            for e in d.entries
        ]
    )


def _lots(documents: Sequence[Document]) -> str:
    return "".join(
        [
            f"{d.wallet_id}\t{lot.document_id}\t{lot.points}\t{lot.remaining}"
            f"\t{timestamp(lot.earn_time)}"
            f"\t{NULL if lot.expire_time is None else timestamp(lot.expire_time)}\t{lot.ordinal}\n"
            for d in documents
            for lot in d.lots
        ]
    )


def _lot_uses(documents: Sequence[Document]) -> str:
    return "".join(
        [
            f"{d.document_id}\t{use.ordinal}\t{d.wallet_id}\t{use.lot[0]}\t{use.lot[1]}"
            f"\t{use.points}\n"
            for d in documents
            for use in d.lot_uses
        ]
    )


Statement = tuple[str, list[object]]
NOTHING: Statement = ("", [])


def _touched_lots(schema: str, wallets: Iterable[WalletState]) -> Statement:
    """Lots drawn on; those that this batch opened stand there as they were opened."""
    lots = [(w.wallet_id, w.lots[lot_id]) for w in wallets for lot_id in sorted(w.touched)]
    if not lots:
        return NOTHING
    statement = f"""
        UPDATE {schema}.lots SET remaining = l.remaining
        FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::bigint[])
            AS l (wallet, document, ordinal, remaining)
        WHERE lots.wallet_id = l.wallet AND lots.document_id = l.document
          AND lots.ordinal = l.ordinal"""
    return statement, [
        array([wallet for wallet, _ in lots]),
        array([lot.document_id for _, lot in lots]),
        array([lot.ordinal for _, lot in lots]),
        array([lot.remaining for _, lot in lots]),
    ]


def _wallets(
    schema: str, documents: Sequence[Document], wallets: Iterable[WalletState]
) -> Statement:
    moved = {document.wallet_id for document in documents}
    changed = [wallet for wallet in wallets if wallet.wallet_id in moved]
    if not changed:
        return NOTHING
    return f"EXECUTE update_{schema}(%s, %s, %s, %s, %s, %s, %s)", [
        array([w.wallet_id for w in changed]),
        array([w.available for w in changed]),
        array([w.pending for w in changed]),
        array([w.qualifying for w in changed]),
        array([w.lifetime for w in changed]),
        array([w.overdrawn for w in changed]),
        array([w.sequence for w in changed]),
    ]


def _accounts(schema: str, documents: Sequence[Document], batch_id: int) -> Statement:
    """The other side of all entries, summed: appended, never locked."""
    sums: dict[tuple[int, int], int] = {}
    for document in documents:
        for entry in document.entries:
            key = (entry.account._value_, entry.kind._value_)
            sums[key] = sums.get(key, 0) + entry.points
    if not sums:
        return NOTHING
    rows = ",".join(
        f"({batch_id},{account},{kind},{points})" for (account, kind), points in sums.items()
    )
    return (
        f"INSERT INTO {schema}.account_movements (batch_id, account, kind, points) VALUES {rows}",
        [],
    )


def _batch(schema: str, documents: Sequence[Document], batch_id: int, post_time: int) -> Statement:
    sale_times = [d.business_time for d in documents if d.type is SALE]
    latest = f"'{timestamp(max(sale_times))}'" if sale_times else "NULL"
    entries = sum([len(d.entries) for d in documents])
    statement = f"""
        INSERT INTO {schema}.batches (batch_id, post_time, latest_sale_time, documents, entries)
        VALUES ({batch_id}, '{timestamp(post_time)}', {latest}, {len(documents)}, {entries})"""
    return statement, []
