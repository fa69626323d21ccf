"""Points set aside, and burned ones as refunds see them."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.ledger.domain.documents import DocumentType
from services.ledger.domain.lots import Burn, Hold, HoldState, LotId, LotPart, Refunded
from services.ledger.domain.spending import captured_parts
from services.ledger.domain.wallet import WalletState
from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.posting import MICROS
from services.plumbing.database import array, text_array
from services.plumbing.prepared import Batch, Statement

# A hold or a burn, by its wallet and its document.
Key = tuple[int, int]
# A hold's place in the order of lists: business time, document and wallet.
HoldKey = tuple[int, int, int]
# What a hold h made by a document j is made of, its wallet first.
HOLD = f"""
    h.wallet_id, h.hold_id, h.points, {AS_MICROS.format("h.business_time")},
    {AS_MICROS.format("h.expire_time")}, h.purpose, h.parts::text, h.state, h.captured, h.burn_id,
    coalesce(h.shared_hold_id::text, ''), j.sequence"""


def load_holds(
    connection: Connection, schema: str, wallets: Mapping[int, WalletState], keys: Set[Key]
) -> None:
    """Give wallets the holds that are named."""
    for wallet_id, hold in find_holds(connection, schema, keys):
        wallets[wallet_id].holds[hold.hold_id] = hold


@cache
def finding(schema: str) -> Statement:
    return Statement(
        f"find_holds_{schema}",
        "bigint[], bigint[]",
        f"""
        SELECT {HOLD} FROM unnest($1, $2) AS asked (wallet_id, hold_id)
        JOIN {schema}.holds h ON (asked.wallet_id, asked.hold_id) = (h.wallet_id, h.hold_id)
        JOIN {schema}.journal j ON j.document_id = h.hold_id""",
    )


def find_holds(connection: Connection, schema: str, keys: Set[Key]) -> list[tuple[int, Hold]]:
    """Holds with their wallets; those that do not exist are missing."""
    wallets, hold_ids = array(wallet for wallet, _ in keys), array(hold for _, hold in keys)
    return [read_hold(row) for row in finding(schema).run(connection, wallets, hold_ids)]


def page(
    connection: Connection,
    schema: str,
    wallet_ids: Sequence[int],
    *,
    states: Collection[HoldState],
    before: HoldKey | None,
    limit: int,
) -> list[tuple[int, Hold]]:
    """Holds in these states with their wallets, the newest first."""
    time, *rest = before or (0, 0, 0)
    rows = connection.exec_driver_sql(
        f"""
        SELECT {HOLD} FROM {schema}.holds h
        JOIN {schema}.journal j ON j.document_id = h.hold_id
        WHERE h.wallet_id = ANY(%s::bigint[]) AND h.state = ANY(%s::smallint[])
          AND (NOT %s OR (h.business_time, h.hold_id, h.wallet_id)
               < ({MICROS.format("%s")}, %s, %s))
        ORDER BY h.business_time DESC, h.hold_id DESC, h.wallet_id DESC LIMIT %s""",
        (
            array(wallet_ids),
            array(state.value for state in states),
            before is not None,
            time,
            *rest,
            limit,
        ),
    )
    return [read_hold(row) for row in rows]


def read_hold(row: Sequence[Any]) -> tuple[int, Hold]:
    """A hold of HOLD, with its wallet."""
    wallet_id, hold_id, points, business_time, expire_time, purpose, parts, state, *rest = row
    hold = Hold(
        hold_id,
        points,
        business_time,
        expire_time,
        purpose,
        msgspec.json.decode(parts, type=tuple[LotPart, ...]),
        HoldState(state),
        *rest,
    )
    return wallet_id, hold


def find_burns(connection: Connection, schema: str, keys: Set[Key]) -> dict[Key, Burn]:
    """Burns by their keys, with what of each lot was not given back before."""
    wallets, burns = array(wallet for wallet, _ in keys), array(burn for _, burn in keys)
    burned: dict[Key, dict[LotId, int]] = {}
    rest: dict[Key, tuple[str, int]] = {}
    for wallet, burn, text, sequence in connection.exec_driver_sql(
        f"""
        SELECT j.wallet_id, j.document_id, j.lines::text, h.sequence
        FROM unnest(%s::bigint[], %s::bigint[]) AS asked (wallet_id, burn_id)
        JOIN {schema}.journal j ON j.document_id = burn_id AND j.wallet_id = asked.wallet_id
         AND j.type = {DocumentType.BURN.value} AND j.refusal IS NULL
        JOIN {schema}.journal h ON h.document_id = j.original_id""",
        (wallets, burns),
    ):
        hold = msgspec.json.decode(text, type=Hold)
        burned[wallet, burn] = {part.lot: part.points for part in captured_parts(hold)}
        rest[wallet, burn] = hold.shared, sequence
    for wallet, burn, text in connection.exec_driver_sql(
        f"""
        SELECT j.wallet_id, j.original_id, j.lines::text
        FROM unnest(%s::bigint[], %s::bigint[]) AS asked (wallet_id, burn_id)
        JOIN {schema}.journal j ON j.wallet_id = asked.wallet_id AND j.original_id = burn_id
         AND j.type = {DocumentType.REFUND.value} AND j.refusal IS NULL""",
        (wallets, burns),
    ):
        for refunded in msgspec.json.decode(text, type=list[Refunded]):
            burned[wallet, burn][refunded.source] -= refunded.points
    return {
        key: Burn(
            key[1], tuple(LotPart(lot, left) for lot, left in lots.items() if left), *rest[key]
        )
        for key, lots in burned.items()
    }


def overdue(connection: Connection, schema: str, now: int, *, limit: int) -> list[Key]:
    """Open holds whose life is over by now, the longest first."""
    rows = connection.exec_driver_sql(
        f"SELECT wallet_id, hold_id FROM {schema}.holds"
        f" WHERE state = {HoldState.OPEN.value} AND expire_time <= {MICROS.format('%s')}"
        " ORDER BY expire_time LIMIT %s",
        (now, limit),
    )
    return [(row[0], row[1]) for row in rows]


@cache
def writing(schema: str) -> Statement:
    return Statement(
        f"write_holds_{schema}",
        ", ".join([*["bigint[]"] * 7, "smallint[]", "text[]", "text[]", "text[]"]),
        f"""
        INSERT INTO {schema}.holds (wallet_id, hold_id, points, captured, burn_id, business_time,
                                    expire_time, state, purpose, parts, shared_hold_id)
        SELECT wallet, id, points, captured, burn, {MICROS.format("business_time")},
               {MICROS.format("expire_time")}, state, purpose, parts::json,
               nullif(shared, '')::uuid
        FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            AS h (wallet, id, points, captured, burn, business_time, expire_time, state, purpose,
                  parts, shared)
        ON CONFLICT (wallet_id, hold_id) DO UPDATE
        SET captured = excluded.captured, burn_id = excluded.burn_id, state = excluded.state""",
    )


def write_changed(batch: Batch, schema: str, wallets: Iterable[WalletState]) -> None:
    """Keep the holds that were made, captured or released."""
    found = [(w.wallet_id, w.holds[key]) for w in wallets for key in sorted(w.touched_holds)]
    if not found:
        return
    batch.later(
        writing(schema),
        array([wallet for wallet, _ in found]),
        array([hold.hold_id for _, hold in found]),
        array([hold.points for _, hold in found]),
        array([hold.captured for _, hold in found]),
        array([hold.burn_id for _, hold in found]),
        array([hold.business_time for _, hold in found]),
        array([hold.expire_time for _, hold in found]),
        array([hold.state.value for _, hold in found]),
        text_array(hold.purpose for _, hold in found),
        text_array(msgspec.json.encode(hold.parts).decode() for _, hold in found),
        text_array(hold.shared for _, hold in found),
    )
