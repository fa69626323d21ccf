"""Points set aside, and burned ones as refunds see them."""

from collections.abc import Iterable, Mapping, Set

import msgspec
from sqlalchemy import Connection

from services.ledger.domain.documents import DocumentType
from services.ledger.domain.lots import Burn, Hold, HoldState, LotId, LotPart, Refunded
from services.ledger.domain.spending import captured_parts
from services.ledger.domain.wallet import WalletState
from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.posting import MICROS
from services.plumbing.database import array, text_array

# A hold or a burn, by its wallet and its document.
Key = tuple[int, int]


def load_holds(
    connection: Connection, schema: str, wallets: Mapping[int, WalletState], keys: Set[Key]
) -> None:
    """Give wallets the holds that are named."""
    for wallet_id, hold in find_holds(connection, schema, keys):
        wallets[wallet_id].holds[hold.hold_id] = hold


def find_holds(connection: Connection, schema: str, keys: Set[Key]) -> list[tuple[int, Hold]]:
    """Holds with their wallets; those that do not exist are missing."""
    rows = connection.exec_driver_sql(
        f"""
        SELECT h.wallet_id, h.hold_id, h.points, {AS_MICROS.format("h.business_time")},
               {AS_MICROS.format("h.expire_time")}, h.purpose, h.parts::text, h.state, h.captured,
               h.burn_id, coalesce(h.shared_hold_id::text, '')
        FROM {schema}.holds h
        JOIN unnest(%s::bigint[], %s::bigint[]) AS asked (wallet_id, hold_id)
          ON (asked.wallet_id, asked.hold_id) = (h.wallet_id, h.hold_id)""",
        (array(wallet for wallet, _ in keys), array(hold for _, hold in keys)),
    )
    return [
        (
            row[0],
            Hold(
                row[1],
                row[2],
                row[3],
                row[4],
                row[5],
                msgspec.json.decode(row[6], type=tuple[LotPart, ...]),
                HoldState(row[7]),
                row[8],
                row[9],
                row[10],
            ),
        )
        for row in rows
    ]


def find_burns(connection: Connection, schema: str, keys: Set[Key]) -> dict[Key, Burn]:
    """Burns by their keys, with what of each lot was not given back before."""
    wallets, burns = array(wallet for wallet, _ in keys), array(burn for _, burn in keys)
    burned: dict[Key, dict[LotId, int]] = {}
    shared: dict[Key, str] = {}
    for wallet, burn, text in connection.exec_driver_sql(
        f"""
        SELECT j.wallet_id, j.document_id, j.lines::text
        FROM unnest(%s::bigint[], %s::bigint[]) AS asked (wallet_id, burn_id)
        JOIN {schema}.journal j ON j.document_id = burn_id AND j.wallet_id = asked.wallet_id
         AND j.type = {DocumentType.BURN.value} AND j.refusal IS NULL""",
        (wallets, burns),
    ):
        hold = msgspec.json.decode(text, type=Hold)
        burned[wallet, burn] = {part.lot: part.points for part in captured_parts(hold)}
        shared[wallet, burn] = hold.shared
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
            key[1], tuple(LotPart(lot, left) for lot, left in lots.items() if left), shared[key]
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


def changed(schema: str, wallets: Iterable[WalletState]) -> tuple[str, list[object]] | None:
    """What writes the holds that were made, captured or released; None where there are none."""
    found = [(w.wallet_id, w.holds[key]) for w in wallets for key in sorted(w.touched_holds)]
    if not found:
        return None
    statement = f"""
        INSERT INTO {schema}.holds (wallet_id, hold_id, points, captured, burn_id, business_time,
                                    expire_time, state, purpose, parts, shared_hold_id)
        SELECT wallet, id, points, captured, burn, {MICROS.format("business_time")},
               {MICROS.format("expire_time")}, state, purpose, parts::json,
               nullif(shared, '')::uuid
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
                    %s::bigint[], %s::bigint[], %s::smallint[], %s::text[], %s::text[], %s::text[])
            AS h (wallet, id, points, captured, burn, business_time, expire_time, state, purpose,
                  parts, shared)
        ON CONFLICT (wallet_id, hold_id) DO UPDATE
        SET captured = excluded.captured, burn_id = excluded.burn_id, state = excluded.state"""
    return statement, [
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
    ]
