"""When members last did something, read back from the journal; and what that did to their lots."""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from services.ledger.domain.documents import ACTIVE, DocumentType, Flag
from services.ledger.domain.wallet import WalletState
from services.ledger.storage.lots import LOT, LOT_COLUMNS, read_lot
from services.plumbing.database import array

_ACTIVE = ", ".join(str(kind.value) for kind in ACTIVE)
_WHOLE = f"(r.type = {DocumentType.VOID.value} OR r.flags & {Flag.WHOLE_SALE.value} <> 0)"


def last_active_days(
    connection: Connection, schema: str, wallet_ids: Collection[int], *, without: Collection[int]
) -> dict[int, int | None]:
    """The day (since 1970) of each wallet's last activity beside these sales and those that came
    back as a whole; None where there was no other.
    """
    rows = connection.exec_driver_sql(
        f"""
        SELECT asked.wallet_id, (
            SELECT (j.business_time AT TIME ZONE 'UTC')::date - date 'epoch'
            FROM {schema}.journal j
            WHERE j.wallet_id = asked.wallet_id AND j.refusal IS NULL AND j.type IN ({_ACTIVE})
              AND j.document_id <> ALL(%s::bigint[])
              AND NOT EXISTS (
                SELECT FROM {schema}.journal r
                WHERE r.wallet_id = j.wallet_id AND r.original_id = j.document_id
                  AND r.refusal IS NULL AND {_WHOLE})
            ORDER BY j.business_time DESC LIMIT 1)
        FROM unnest(%s::bigint[]) AS asked (wallet_id)""",
        (array(without), array(wallet_ids)),
    )
    return {row[0]: row[1] for row in rows}


def load_prolonged(
    connection: Connection, schema: str, wallets: Mapping[int, WalletState], ids: Collection[int]
) -> None:
    """Give wallets every lot that activity prolongs, empty ones too, and when those would expire
    without any that came from another member.
    """
    for row in connection.exec_driver_sql(
        f"""
        SELECT {LOT}, l.wallet_id,
               CASE WHEN j.type = {DocumentType.RECEIVE.value}
                    THEN (j.lines->(l.ordinal - 1)->>3)::bigint END
        FROM {schema}.lots l JOIN {schema}.journal j USING (document_id)
        WHERE l.wallet_id = ANY(%s::bigint[]) AND l.inactive_months > 0""",
        (array(ids),),
    ):
        lot = read_lot(row)
        wallet = wallets[row[LOT_COLUMNS]]
        wallet.lots.setdefault(lot.id, lot)
        if row[LOT_COLUMNS + 1] is not None:
            wallet.received_until += ((lot.id, row[LOT_COLUMNS + 1]),)
