"""The hot path in SQL: lock, look up, append. Set-based, a handful of statements a batch, one
shard.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from services.ledger.domain.documents import (
    AdjustPoints,
    Command,
    Document,
    DocumentType,
    RecordReturn,
    RecordSale,
)
from services.ledger.domain.wallet import WalletState
from services.plumbing.database import array, text_array

# Microseconds since 1970 into a timestamp, exactly.
MICROS = "timestamptz 'epoch' + {} * interval '1 microsecond'"
DUPLICATE_WINDOW = "interval '1 day'"
FENCE_CLASS = 7_102
# As much as the sequence moves on with every call.
DOCUMENT_ID_BLOCK = 2_000


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal already has of a batch: documents by (wallet, request), doubled
    receipts, newest policy.
    """

    documents: dict[tuple[int, str], tuple[int, str]]
    duplicates: frozenset[int]
    policy_version: int


def lock_wallets(
    connection: Connection, schema: str, shard: int, wallet_ids: Sequence[int]
) -> dict[int, WalletState]:
    """Lock the wallets of a batch until its end; those that do not exist yet come into being.

    In id order: two batches that lock the same wallets the other way round would deadlock.
    Held besides, shared: the fence that publishing a policy holds alone.
    """
    ids = array(wallet_ids)
    locking = (
        "SELECT wallet_id, available, pending, qualifying, lifetime, overdrawn, sequence"
        f" FROM {schema}.wallets WHERE wallet_id = ANY(%s::bigint[])"
        " ORDER BY wallet_id FOR UPDATE"
    )
    rows = connection.exec_driver_sql(
        f"SELECT pg_advisory_xact_lock_shared({FENCE_CLASS}, {shard}); {locking}", (ids,)
    ).fetchall()
    if len(rows) < len(wallet_ids):
        rows = connection.exec_driver_sql(
            f"INSERT INTO {schema}.wallets (wallet_id) SELECT unnest(%s::bigint[])"
            f" ORDER BY 1 ON CONFLICT DO NOTHING; {locking}",
            (ids, ids),
        ).fetchall()
    return {row[0]: WalletState(*row) for row in rows}


def fence(connection: Connection, shard: int) -> None:
    """Wait until no batch of the shard is under way, and hold new ones back."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({FENCE_CLASS}, {shard})")


def find_known(connection: Connection, schema: str, commands: Sequence[Command]) -> Known:
    """Look up the requests of a batch and the receipts of its sales. After the wallets are
    locked nobody else adds any.
    """
    sales = [(i, c) for i, c in enumerate(commands) if isinstance(c, RecordSale)]
    rows = connection.exec_driver_sql(
        f"""
        SELECT 0 AS what, (SELECT coalesce(max(version), 0) FROM public.earn_policies)::bigint,
               0::bigint, NULL::text, NULL::text
        UNION ALL
        SELECT 1, j.document_id, j.wallet_id, j.request_id::text, j.body_hash::text
        FROM unnest(%s::bigint[], %s::uuid[]) AS asked (wallet_id, request_id)
        JOIN {schema}.journal j USING (wallet_id, request_id)
        UNION ALL
        SELECT 2, asked.number, 0, NULL, NULL
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[])
             AS asked (number, wallet_id, business_time, store, terminal, receipt_number)
        WHERE EXISTS (
            SELECT FROM {schema}.journal j
            WHERE j.wallet_id = asked.wallet_id
              AND j.business_time
                  BETWEEN {MICROS.format("asked.business_time")} - {DUPLICATE_WINDOW}
                      AND {MICROS.format("asked.business_time")} + {DUPLICATE_WINDOW}
              AND j.receipt_number = asked.receipt_number
              AND j.store = asked.store AND j.terminal = asked.terminal
              AND j.type = {DocumentType.SALE.value} AND j.refusal IS NULL)
        """,
        (
            array(command.wallet_id for command in commands),
            array(command.request_id for command in commands),
            array(number for number, _ in sales),
            array(command.wallet_id for _, command in sales),
            array(command.sale.business_time for _, command in sales),
            text_array(command.sale.store for _, command in sales),
            text_array(command.sale.terminal for _, command in sales),
            text_array(command.sale.receipt_number for _, command in sales),
        ),
    ).fetchall()
    return Known(
        documents={(r[2], r[3]): (r[1], r[4]) for r in rows if r[0] == 1},
        duplicates=frozenset(r[1] for r in rows if r[0] == 2),
        policy_version=next(r[1] for r in rows if r[0] == 0),
    )


def draws_on_lots(command: Command, wallet: WalletState) -> bool:
    """Whether a command may take points out of lots, so that they must be read."""
    if isinstance(command, RecordReturn):
        return True
    return (isinstance(command, AdjustPoints) and command.points < 0) or wallet.overdrawn > 0


def next_document_ids(connection: Connection, schema: str) -> range:
    """A block of ids nobody else has or gets."""
    first: int = connection.exec_driver_sql(f"SELECT nextval('{schema}.document_ids')").scalar_one()
    return range(first, first + DOCUMENT_ID_BLOCK)


def append(
    connection: Connection,
    schema: str,
    *,
    documents: Sequence[Document],
    wallets: Iterable[WalletState],
    post_time: int,
) -> None:
    """Write a batch: documents, entries, lots, the wallets as they now are, and one sum for
    each account.
    """
    batch_id = documents[0].document_id
    statements: list[str] = []
    parameters: list[object] = []
    for statement, values in (
        _journal(schema, documents, batch_id, post_time),
        _entries(schema, documents),
        _new_lots(schema, documents),
        _touched_lots(schema, documents, wallets),
        _lot_uses(schema, documents),
        _wallets(schema, documents, wallets),
        _accounts(schema, documents, batch_id),
        _batch(schema, documents, batch_id, post_time),
    ):
        if statement:
            statements.append(statement)
            parameters += values
    # One round trip; each statement is small beside its own.
    connection.exec_driver_sql(";".join(statements), tuple(parameters))


Statement = tuple[str, list[object]]
NOTHING: Statement = ("", [])


def _journal(
    schema: str, documents: Sequence[Document], batch_id: int, post_time: int
) -> Statement:
    statement = f"""
        INSERT INTO {schema}.journal (document_id, wallet_id, batch_id, original_id, amount,
            points_forgiven, available, pending, qualifying, lifetime, sequence,
            business_time, post_time,
            request_id, body_hash, policy_version, type, flags, store, terminal, receipt_number,
            currency, actor, reason, refusal, lines)
        SELECT d.id, d.wallet, {batch_id}, d.original, d.amount, d.forgiven, d.available,
            d.pending, d.qualifying, d.lifetime, d.sequence, {MICROS.format("d.business_time")},
            {MICROS.format(post_time)}, d.request, d.hash, d.policy, d.type, d.flags, d.store,
            d.terminal, d.receipt, d.currency, d.actor, d.reason, nullif(d.refusal, '')::json,
            d.lines::json
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::uuid[],
            %s::uuid[], %s::integer[], %s::smallint[], %s::smallint[], %s::text[], %s::text[],
            %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
            AS d (id, wallet, original, amount, forgiven, available, pending, qualifying, lifetime,
                  sequence, business_time, request, hash, policy, type, flags,
                  store, terminal, receipt,
                  currency, actor, reason, refusal, lines)"""
    values: list[object] = [
        array([d.document_id for d in documents]),
        array([d.wallet_id for d in documents]),
        array([d.original_id for d in documents]),
        array([d.amount for d in documents]),
        array([d.points_forgiven for d in documents]),
        array([d.balance.available for d in documents]),
        array([d.balance.pending for d in documents]),
        array([d.balance.qualifying for d in documents]),
        array([d.balance.lifetime for d in documents]),
        array([d.sequence for d in documents]),
        array([d.business_time for d in documents]),
        array([d.request_id for d in documents]),
        array([d.body_hash for d in documents]),
        array([d.policy_version for d in documents]),
        array([d.type.value for d in documents]),
        array([d.flags for d in documents]),
        text_array([d.store for d in documents]),
        text_array([d.terminal for d in documents]),
        text_array([d.receipt_number for d in documents]),
        text_array([d.currency for d in documents]),
        text_array([d.actor for d in documents]),
        text_array([d.reason for d in documents]),
        text_array([d.refusal for d in documents]),
        text_array([d.lines_json for d in documents]),
    ]
    return statement, values


def _entries(schema: str, documents: Sequence[Document]) -> Statement:
    entries = [(d, entry) for d in documents for entry in d.entries]
    if not entries:
        return NOTHING
    statement = f"""
        INSERT INTO {schema}.entries (document_id, wallet_id, points, basis, policy_version,
            ordinal, kind, account, rule, lines, explanation)
        SELECT e.document, e.wallet, e.points, e.basis, e.policy, e.ordinal, e.kind, e.account,
            e.rule, e.lines::integer[], e.explanation
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[],
            %s::smallint[], %s::smallint[], %s::smallint[], %s::text[], %s::text[], %s::text[])
            AS e (document, wallet, points, basis, policy, ordinal, kind, account, rule, lines,
                  explanation)"""
    values: list[object] = [
        array([d.document_id for d, _ in entries]),
        array([d.wallet_id for d, _ in entries]),
        array([e.points for _, e in entries]),
        array([e.basis for _, e in entries]),
        array([e.policy_version for _, e in entries]),
        array([e.ordinal for _, e in entries]),
        array([e.kind.value for _, e in entries]),
        array([e.account.value for _, e in entries]),
        text_array([e.rule for _, e in entries]),
        text_array([array(e.lines) for _, e in entries]),
        text_array([e.explanation for _, e in entries]),
    ]
    return statement, values


def _new_lots(schema: str, documents: Sequence[Document]) -> Statement:
    lots = [(d.wallet_id, lot) for d in documents for lot in d.lots]
    if not lots:
        return NOTHING
    statement = f"""
        INSERT INTO {schema}.lots (wallet_id, document_id, points, remaining, earn_time,
            expire_time, ordinal)
        SELECT l.wallet, l.document, l.points, l.remaining, {MICROS.format("l.earned")},
            {MICROS.format("l.expires")}, l.ordinal
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::bigint[], %s::smallint[])
            AS l (wallet, document, points, remaining, earned, expires, ordinal)"""
    values: list[object] = [
        array([wallet for wallet, _ in lots]),
        array([lot.document_id for _, lot in lots]),
        array([lot.points for _, lot in lots]),
        array([lot.remaining for _, lot in lots]),
        array([lot.earn_time for _, lot in lots]),
        array(["NULL" if lot.expire_time is None else lot.expire_time for _, lot in lots]),
        array([lot.ordinal for _, lot in lots]),
    ]
    return statement, values


def _touched_lots(
    schema: str, documents: Sequence[Document], wallets: Iterable[WalletState]
) -> Statement:
    """Lots drawn on: those of this batch were inserted as they were opened, so all are updated."""
    del documents
    lots = [(w.wallet_id, w.lots[lot_id]) for w in wallets for lot_id in sorted(w.touched)]
    if not lots:
        return NOTHING
    statement = f"""
        UPDATE {schema}.lots SET remaining = l.remaining
        FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::bigint[])
            AS l (wallet, document, ordinal, remaining)
        WHERE lots.wallet_id = l.wallet AND lots.document_id = l.document
          AND lots.ordinal = l.ordinal"""
    values: list[object] = [
        array([wallet for wallet, _ in lots]),
        array([lot.document_id for _, lot in lots]),
        array([lot.ordinal for _, lot in lots]),
        array([lot.remaining for _, lot in lots]),
    ]
    return statement, values


def _lot_uses(schema: str, documents: Sequence[Document]) -> Statement:
    uses = [(d, use) for d in documents for use in d.lot_uses]
    if not uses:
        return NOTHING
    statement = f"""
        INSERT INTO {schema}.lot_uses (document_id, ordinal, wallet_id, lot_document_id,
            lot_ordinal, points)
        SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[], %s::bigint[],
            %s::smallint[], %s::bigint[])"""
    values: list[object] = [
        array([d.document_id for d, _ in uses]),
        array([use.ordinal for _, use in uses]),
        array([d.wallet_id for d, _ in uses]),
        array([use.lot[0] for _, use in uses]),
        array([use.lot[1] for _, use in uses]),
        array([use.points for _, use in uses]),
    ]
    return statement, values


def _wallets(
    schema: str, documents: Sequence[Document], wallets: Iterable[WalletState]
) -> Statement:
    moved = {d.wallet_id for d in documents if not d.refused}
    changed = [wallet for wallet in wallets if wallet.wallet_id in moved]
    if not changed:
        return NOTHING
    statement = f"""
        UPDATE {schema}.wallets SET available = w.available, pending = w.pending,
            qualifying = w.qualifying, lifetime = w.lifetime, overdrawn = w.overdrawn,
            sequence = w.sequence
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::bigint[], %s::bigint[])
            AS w (id, available, pending, qualifying, lifetime, overdrawn, sequence)
        WHERE wallets.wallet_id = w.id"""
    values: list[object] = [
        array([w.wallet_id for w in changed]),
        array([w.available for w in changed]),
        array([w.pending for w in changed]),
        array([w.qualifying for w in changed]),
        array([w.lifetime for w in changed]),
        array([w.overdrawn for w in changed]),
        array([w.sequence for w in changed]),
    ]
    return statement, values


def _accounts(schema: str, documents: Sequence[Document], batch_id: int) -> Statement:
    """The other side of all entries, summed: appended, never locked."""
    sums: dict[tuple[int, int], int] = {}
    for document in documents:
        for entry in document.entries:
            key = (entry.account.value, entry.kind.value)
            sums[key] = sums.get(key, 0) + entry.points
    if not sums:
        return NOTHING
    statement = f"""
        INSERT INTO {schema}.account_movements (batch_id, account, kind, points)
        SELECT {batch_id}, * FROM unnest(%s::smallint[], %s::smallint[], %s::bigint[])"""
    return statement, [
        array([account for account, _ in sums]),
        array([kind for _, kind in sums]),
        array(sums.values()),
    ]


def _batch(schema: str, documents: Sequence[Document], batch_id: int, post_time: int) -> Statement:
    posted = [d for d in documents if not d.refused]
    sale_times = [d.business_time for d in posted if d.type is DocumentType.SALE]
    latest = MICROS.format(max(sale_times)) if sale_times else "NULL"
    entries = sum(len(d.entries) for d in posted)
    statement = f"""
        INSERT INTO {schema}.batches (batch_id, post_time, latest_sale_time, documents, entries)
        VALUES ({batch_id}, {MICROS.format(post_time)}, {latest}, {len(posted)}, {entries})"""
    return statement, []
