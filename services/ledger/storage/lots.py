"""Lots read back: what they hold, which are due."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.ledger.domain.documents import Account
from services.ledger.domain.lots import Lot, LotPart, LotUse
from services.ledger.domain.point_life import Term
from services.ledger.domain.wallet import REPAID, WalletState
from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.posting import MICROS, find_wallets
from services.plumbing.database import array
from services.plumbing.pages import WHOLE_NUMBER_MAX
from services.plumbing.prepared import Statement

# A lot's place in the order of burning: expiry, earned, document, ordinal; and its wallet.
LotKey = tuple[int, int, int, int, int]
# Later than any time there is, for lots that never expire.
NEVER = WHOLE_NUMBER_MAX
# What a lot is made of.
LOT = f"""
    l.document_id, l.ordinal, l.points, l.remaining, {AS_MICROS.format("l.earn_time")},
    {AS_MICROS.format("l.available_time")}, {AS_MICROS.format("l.expire_time")}, l.inactive_months,
    l.pending, l.held"""
LOT_COLUMNS = 10
# When a lot l of a wallet w expires as things stand: what lives_until says.
LIVES_UNTIL = """
    greatest(l.expire_time, CASE WHEN l.inactive_months > 0 THEN
        ((w.active_date + make_interval(months => l.inactive_months))::date + 1)::timestamp
            AT TIME ZONE 'UTC' END)"""


def read_lot(row: Sequence[Any]) -> Lot:
    document_id, ordinal, points, remaining, earn_time, available, expires, months, *rest = row
    term = Term(available, expires, months)
    return Lot(document_id, ordinal, points, remaining, earn_time, term, rest[0], rest[1])


@cache
def loading(schema: str) -> Statement:
    return Statement(
        f"load_lots_{schema}",
        "bigint[], bigint[]",
        f"""
        SELECT {LOT}, l.wallet_id FROM {schema}.lots l
        WHERE wallet_id = ANY($1) AND (remaining > 0 OR document_id = ANY($2))""",
    )


def load_lots(
    connection: Connection,
    schema: str,
    wallets: Mapping[int, WalletState],
    documents: Iterable[int] = (),
) -> None:
    """Give wallets the lots that still hold points, and those that the given documents opened."""
    for row in loading(schema).run(connection, array(wallets), array(documents)):
        lot = read_lot(row)
        wallets[row[LOT_COLUMNS]].lots[lot.id] = lot


def load_due(
    connection: Connection, schema: str, wallets: Mapping[int, WalletState], cutoff: int
) -> None:
    """Give wallets the lots that become available or expire by a time (microseconds since 1970)."""
    for row in connection.exec_driver_sql(
        f"""
        SELECT {LOT}, l.wallet_id FROM {schema}.lots l
        WHERE wallet_id = ANY(%s::bigint[]) AND remaining > 0
          AND (expire_time <= {MICROS.format("%s")}
               OR pending AND available_time <= {MICROS.format("%s")})""",
        (array(wallets), cutoff, cutoff),
    ):
        lot = read_lot(row)
        wallets[row[LOT_COLUMNS]].lots[lot.id] = lot


def wallets_with_lots(
    connection: Connection, schema: str, wallet_ids: Sequence[int]
) -> dict[int, WalletState]:
    """Wallets with the lots that hold points, for who only looks."""
    found = find_wallets(connection, schema, wallet_ids)
    load_lots(connection, schema, found)
    return found


def load_expired(
    connection: Connection,
    schema: str,
    wallets: Mapping[int, WalletState],
    documents: Iterable[int],
) -> None:
    """Give wallets what expired of the lots that the given documents opened, and stayed so."""
    for wallet_id, document_id, ordinal, points in connection.exec_driver_sql(
        f"""
        SELECT u.wallet_id, u.lot_document_id, u.lot_ordinal, sum(u.points)::bigint
        FROM {schema}.lot_uses u JOIN {schema}.journal j USING (document_id)
        WHERE u.wallet_id = ANY(%s::bigint[]) AND u.lot_document_id = ANY(%s::bigint[])
          AND (j.entries[u.ordinal]).account = {Account.BREAKAGE.value}
        GROUP BY 1, 2, 3""",
        (array(wallets), array(documents)),
    ):
        wallets[wallet_id].expired[document_id, ordinal] = points


def load_repaid(
    connection: Connection,
    schema: str,
    wallets: Mapping[int, WalletState],
    documents: Iterable[int],
) -> None:
    """Give wallets what the lots that the given documents opened repaid of debts."""
    for wallet_id, document_id, ordinal, points in connection.exec_driver_sql(
        f"""
        SELECT wallet_id, lot_document_id, lot_ordinal, sum(points)::bigint
        FROM {schema}.lot_uses
        WHERE wallet_id = ANY(%s::bigint[]) AND lot_document_id = ANY(%s::bigint[])
          AND (ordinal = {REPAID} OR (document_id, ordinal) = (lot_document_id, lot_ordinal))
        GROUP BY 1, 2, 3""",
        (array(wallets), array(documents)),
    ):
        wallets[wallet_id].repaid += (LotPart((document_id, ordinal), points),)


def lot_uses_of(
    connection: Connection, schema: str, document_id: int, ordinal: int
) -> list[tuple[LotUse, Lot]]:
    """The lots an entry drew on or gave back to (points below and above zero), and those it
    opened.
    """
    rows = connection.exec_driver_sql(
        f"""
        SELECT {LOT}, -u.points
        FROM {schema}.lot_uses u JOIN {schema}.lots l
          ON (l.wallet_id, l.document_id, l.ordinal)
             = (u.wallet_id, u.lot_document_id, u.lot_ordinal)
        WHERE u.document_id = %s AND u.ordinal = %s
        UNION ALL
        SELECT {LOT}, l.points
        FROM {schema}.lots l
        JOIN {schema}.journal j ON j.document_id = l.document_id AND j.wallet_id = l.wallet_id
        WHERE j.document_id = %s AND l.ordinal = %s""",
        (document_id, ordinal, document_id, ordinal),
    )
    return [(LotUse(ordinal, (row[0], row[1]), row[LOT_COLUMNS]), read_lot(row)) for row in rows]


def page(
    connection: Connection,
    schema: str,
    wallet_ids: Sequence[int],
    *,
    after: LotKey | None,
    limit: int,
) -> list[tuple[LotKey, Lot]]:
    """Lots of wallets that hold points, the soonest expiry first, with their keys. Their time is
    the one that activity gave them.
    """
    expires = f"coalesce({AS_MICROS.format(LIVES_UNTIL)}, {NEVER})"
    key = f"{expires}, {AS_MICROS.format('l.earn_time')}, l.document_id, l.ordinal, l.wallet_id"
    rows = connection.exec_driver_sql(
        f"""
        SELECT {LOT}, {key} FROM {schema}.lots l JOIN {schema}.wallets w USING (wallet_id)
        WHERE wallet_id = ANY(%s::bigint[]) AND remaining > 0
          AND (NOT %s OR ({key}) > (%s, %s, %s, %s, %s))
        ORDER BY {key} LIMIT %s""",
        (array(wallet_ids), after is not None, *(after or (0,) * 5), limit),
    )
    return [(tuple(row[LOT_COLUMNS:]), expiring(read_lot(row), row[LOT_COLUMNS])) for row in rows]


def expiring(lot: Lot, expire_time: int) -> Lot:
    """A lot with the time it expires, NEVER included."""
    known = None if expire_time == NEVER else expire_time
    return msgspec.structs.replace(lot, term=msgspec.structs.replace(lot.term, expire_time=known))


# Wallets with lots that a step of the night has something to do with by a time: a lot that is due
# no longer is when the step has been done, or a night would never end.
DUE_PENDING = "pending AND remaining > 0 AND available_time <= {cutoff}"
DUE_EXPIRY = "remaining > 0 AND expire_time <= {cutoff} AND remaining > held"


def due_wallets(
    connection: Connection, schema: str, due: str, cutoff: int, *, limit: int
) -> list[int]:
    """Wallets with lots that are due, in the order of their ids; none only where none is due.
    There may be fewer than the limit while more are due: lots are read, and wallets have several.
    """
    rows = connection.exec_driver_sql(
        f"SELECT DISTINCT wallet_id FROM (SELECT wallet_id FROM {schema}.lots"
        f" WHERE {due.format(cutoff=MICROS.format('%s'))} LIMIT %s) AS found ORDER BY wallet_id",
        (cutoff, limit),
    )
    return [row[0] for row in rows]
