"""The hot path in SQL, second half: append a batch to one shard.

New rows are copied, packed as the server keeps them: text costs both sides half as much again, and
arrays of parameters twice that. Nothing can clash, since the wallets are locked and their requests
were looked up; the unique keys stand behind that.

Enumerations are written by their `_value_`: formatting or hashing a member costs ten times as much,
for every row.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache

import msgspec

from services.ledger.domain.documents import Document, DocumentType
from services.ledger.domain.lots import Lot, LotId
from services.ledger.domain.wallet import WalletState
from services.ledger.storage import entries, forgiven, holds
from services.ledger.storage.posting import MICROS
from services.plumbing import outbox
from services.plumbing.batch_session import BatchTransaction, Rows
from services.plumbing.binary_copy import (
    EPOCH_MICROS,
    NULL,
    bigint_array,
    fixed_columns,
    repeated_text,
    text,
)
from services.plumbing.database import array
from services.plumbing.outbox import Event
from services.plumbing.prepared import Statement

SALE = DocumentType.SALE

JOURNAL = (
    "document_id, wallet_id, batch_id, original_id, amount, points_forgiven, available, pending,"
    " qualifying, lifetime, held, sequence, business_time, post_time, request_id, body_hash,"
    " policy_version, rule_set_version, type, flags, store, terminal, receipt_number, currency,"
    " actor, reason, tier, tier_multiplier, tender, refusal, lines, entries"
)
JOURNAL_FIXED = fixed_columns("qqqqqqqqqqqqqquuiihh")
LOTS = (
    "wallet_id, document_id, points, remaining, held, earn_time, ordinal, inactive_months,"
    " available_time, expire_time, pending"
)
LOTS_FIXED = fixed_columns("qqqqqqhh")
LOT_USES = "document_id, wallet_id, lot_document_id, points, ordinal, lot_ordinal"
LOT_USES_FIXED = fixed_columns("qqqqhh")
BATCHES = "batch_id, post_time, documents, entries, latest_sale_time, movements"
BATCHES_FIXED = fixed_columns("qqii")
JOURNAL_COLUMNS, LOTS_COLUMNS, LOT_USES_COLUMNS, BATCHES_COLUMNS = (
    len(columns.split(",")) for columns in (JOURNAL, LOTS, LOT_USES, BATCHES)
)
TIME = struct.Struct("!iq")
TRUE, FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"


def append(
    batch: BatchTransaction,
    schema: str,
    *,
    documents: Sequence[Document],
    wallets: Collection[WalletState],
    announce: Callable[[Sequence[Document], int], Event],
    post_time: int,
) -> bool:
    """Write a batch and let it be committed: documents, entries, lots, the wallets as they are
    now, a sum an account, and the event that announces it; that is made while the database writes.

    Answers whether there was anything to announce: refusals are not.
    """
    batch_id = documents[0].document_id
    posted = [document for document in documents if not document.refused]
    _write_wallets(batch, schema, posted, wallets)
    batch.add(Rows(f"{schema}.batches ({BATCHES})", _batch_row(posted, batch_id, post_time), 1))
    batch.start()
    holds.write_changed(batch, schema, wallets)
    forgiven.write_changed(batch, schema, wallets)
    drawn = _drawn_lots(wallets)
    opened = {lot.id: lot for document in posted for lot in document.lots} if drawn else {}
    _write_touched_lots(batch, schema, [(w, lot) for w, lot in drawn if lot.id not in opened])
    # Lots that this batch opened and drew on are written as they are at its end.
    opened |= {lot.id: lot for _, lot in drawn}
    journal = _journal(documents, batch_id, post_time)
    batch.add(Rows(f"{schema}.journal ({JOURNAL})", journal, len(documents)))
    for rows in _moved(schema, posted, opened):
        batch.add(rows)
    if posted:
        batch.start()
        outbox.announce_later(batch, schema, [announce(posted, post_time)])
    batch.commit()
    return bool(posted)


def _moved(
    schema: str, documents: Sequence[Document], opened: Mapping[LotId, Lot]
) -> Iterator[Rows]:
    """What documents did to points; lots before what refers to them."""
    count = sum([len(document.lots) for document in documents])
    yield Rows(f"{schema}.lots ({LOTS})", _lots(documents, opened), count)
    count = sum([len(document.lot_uses) for document in documents])
    yield Rows(f"{schema}.lot_uses ({LOT_USES})", _lot_uses(documents), count)


def _journal(documents: Sequence[Document], batch_id: int, post_time: int) -> bytes:
    pack, count = JOURNAL_FIXED.pack, JOURNAL_COLUMNS
    posted = post_time - EPOCH_MICROS
    rows = bytearray()
    for d in documents:
        b = d.balance
        rows += pack(
            count,
            *(8, d.document_id, 8, d.wallet_id, 8, batch_id, 8, d.original_id, 8, d.amount),
            *(8, d.points_forgiven, 8, b.available, 8, b.pending, 8, b.qualifying, 8, b.lifetime),
            *(8, b.held, 8, d.sequence, 8, d.business_time - EPOCH_MICROS, 8, posted),
            *(16, bytes.fromhex(d.request_id.replace("-", ""))),
            *(16, bytes.fromhex(d.body_hash.replace("-", ""))),
            *(4, d.policy_version, 4, d.standing.rule_set_version, 2, d.type._value_, 2, d.flags),
        )
        rows += repeated_text(d.store)
        rows += repeated_text(d.terminal)
        rows += text(d.receipt_number)
        rows += repeated_text(d.currency)
        rows += repeated_text(d.actor)
        rows += repeated_text(d.reason)
        rows += repeated_text(d.standing.tier)
        rows += repeated_text(d.standing.multiplier)
        rows += NULL if d.tender is None else text(msgspec.json.encode(d.tender).decode())
        rows += text(d.refusal) if d.refusal else NULL
        rows += text(d.lines_json)
        rows += entries.written(d.entries)
    return bytes(rows)


def _lots(documents: Sequence[Document], changed: Mapping[LotId, Lot]) -> bytes:
    pack, count = LOTS_FIXED.pack, LOTS_COLUMNS
    rows = bytearray()
    for d in documents:
        for opened in d.lots:
            lot = changed.get(opened.id, opened) if changed else opened
            rows += pack(
                count,
                *(8, d.wallet_id, 8, lot.document_id, 8, lot.points, 8, lot.remaining),
                *(8, lot.held, 8, lot.earn_time - EPOCH_MICROS, 2, lot.ordinal),
                *(2, lot.term.inactive_months),
            )
            rows += _times(lot.term.available_time, lot.term.expire_time)
            rows += TRUE if lot.pending else FALSE
    return bytes(rows)


@lru_cache(maxsize=4_096)
def _times(*moments: int | None) -> bytes:
    """Times that may be missing; most lots of a batch share theirs."""
    return b"".join(
        NULL if micros is None else TIME.pack(8, micros - EPOCH_MICROS) for micros in moments
    )


def _lot_uses(documents: Sequence[Document]) -> bytes:
    pack, count = LOT_USES_FIXED.pack, LOT_USES_COLUMNS
    rows = bytearray()
    for d in documents:
        for use in d.lot_uses:
            rows += pack(
                count,
                *(8, d.document_id, 8, d.wallet_id, 8, use.lot[0], 8, use.points),
                *(2, use.ordinal, 2, use.lot[1]),
            )
    return bytes(rows)


def _drawn_lots(wallets: Iterable[WalletState]) -> list[tuple[int, Lot]]:
    """Lots that points were taken out of or given back to, with their wallets."""
    return [(w.wallet_id, w.lots[lot_id]) for w in wallets for lot_id in sorted(w.touched)]


@cache
def touching(schema: str) -> Statement:
    return Statement(
        f"touch_lots_{schema}",
        "bigint[], bigint[], smallint[], bigint[], bigint[], boolean[], bigint[]",
        f"""
        UPDATE {schema}.lots SET remaining = l.remaining, held = l.held, pending = l.pending,
            expire_time = {MICROS.format("l.expire_time")}
        FROM unnest($1, $2, $3, $4, $5, $6, $7)
            AS l (wallet, document, ordinal, remaining, held, pending, expire_time)
        WHERE lots.wallet_id = l.wallet AND lots.document_id = l.document
          AND lots.ordinal = l.ordinal""",
    )


def _write_touched_lots(
    batch: BatchTransaction, schema: str, lots: Sequence[tuple[int, Lot]]
) -> None:
    if not lots:
        return
    times = [lot.term.expire_time for _, lot in lots]
    batch.later(
        touching(schema),
        array([wallet for wallet, _ in lots]),
        array([lot.document_id for _, lot in lots]),
        array([lot.ordinal for _, lot in lots]),
        array([lot.remaining for _, lot in lots]),
        array([lot.held for _, lot in lots]),
        array([lot.pending for _, lot in lots]),
        array(["NULL" if time is None else time for time in times]),
    )


@cache
def updating(schema: str) -> Statement:
    return Statement(
        f"update_wallets_{schema}",
        ", ".join([*["bigint[]"] * 8, "integer[]"]),
        f"""
        UPDATE {schema}.wallets SET available = w.available, pending = w.pending,
            qualifying = w.qualifying, lifetime = w.lifetime, overdrawn = w.overdrawn,
            sequence = w.sequence, held = w.held, active_date = date 'epoch' + w.active_day
        FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
            AS w (id, available, pending, qualifying, lifetime, overdrawn, sequence, held,
                  active_day)
        WHERE wallets.wallet_id = w.id""",
    )


@cache
def updating_one(schema: str) -> Statement:
    """The same for a wallet alone, at half the cost."""
    return Statement(
        f"update_wallet_{schema}",
        ", ".join([*["bigint"] * 8, "integer"]),
        f"""
        UPDATE {schema}.wallets SET available = $2, pending = $3, qualifying = $4, lifetime = $5,
            overdrawn = $6, sequence = $7, held = $8, active_date = date 'epoch' + $9
        WHERE wallet_id = $1""",
    )


def _write_wallets(
    batch: BatchTransaction,
    schema: str,
    documents: Sequence[Document],
    wallets: Iterable[WalletState],
) -> None:
    moved = {document.wallet_id for document in documents}
    changed = [wallet for wallet in wallets if wallet.wallet_id in moved]
    if len(changed) == 1:
        batch.later(updating_one(schema), *_standing(changed[0]))
    elif changed:
        columns = zip(*map(_standing, changed), strict=True)
        *numbers, days = columns
        batch.later(
            updating(schema),
            *map(bigint_array, numbers),
            array(["NULL" if day is None else day for day in days]),
        )


def _standing(wallet: WalletState) -> tuple[int | None, ...]:
    return (
        wallet.wallet_id,
        wallet.available,
        wallet.pending,
        wallet.qualifying,
        wallet.lifetime,
        wallet.overdrawn,
        wallet.sequence,
        wallet.held,
        wallet.active_day,
    )


def _batch_row(documents: Sequence[Document], batch_id: int, post_time: int) -> bytes:
    """The batch itself, with the other side of all entries, summed: appended, never locked."""
    sums: dict[tuple[int, int], int] = {}
    count = 0
    for document in documents:
        for entry in document.entries:
            key = (entry.account._value_, entry.kind._value_)
            sums[key] = sums.get(key, 0) + entry.points
            count += 1
    sale_times = [d.business_time for d in documents if d.type is SALE]
    fixed = BATCHES_FIXED.pack(
        BATCHES_COLUMNS,
        *(8, batch_id, 8, post_time - EPOCH_MICROS, 4, len(documents), 4, count),
    )
    return fixed + _times(max(sale_times, default=None)) + entries.movements_written(sums)
