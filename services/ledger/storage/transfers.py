"""Points that members send each other, as they were agreed. They lie outside the shards: each is
about wallets of two.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.ledger.domain.transfer_rules import Sent
from services.ledger.domain.transferring import AskedTransfer, Source, Transfer, TransferState
from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.posting import MICROS
from services.plumbing.database import array

# A transfer's place among others: when it was agreed, and its id.
TransferKey = tuple[int, int]
TIME = MICROS.format("%s")
COLUMNS = f"""
    transfer_id, request_id::text, body_hash::text, target_wallet, points, message, actor,
    {AS_MICROS.format("create_time")}, state, coalesce(refusal::text, ''),
    (SELECT json_agg(json_build_array(s.wallet_id, s.points) ORDER BY s.ordinal)::text
     FROM transfer_sources s WHERE s.transfer_id = t.transfer_id)"""
UNDER_WAY, REFUSED = TransferState.UNDER_WAY.value, TransferState.REFUSED.value


def read(row: Sequence[Any]) -> Transfer:
    values = list(row)
    values[8] = TransferState(values[8])
    values[10] = msgspec.json.decode(values[10] or "[]", type=tuple[Source, ...])
    return Transfer(*values)


def add(
    connection: Connection,
    asked: AskedTransfer,
    sources: Sequence[Source],
    *,
    now: int,
    refusal: str = "",
) -> Transfer:
    """Keep what is asked, agreed or refused; what is refused takes points from nowhere."""
    state = TransferState.REFUSED if refusal else TransferState.UNDER_WAY
    transfer_id: int = connection.exec_driver_sql(
        f"""
        INSERT INTO transfers (source_wallet, target_wallet, request_id, body_hash, points, message,
            actor, create_time, state, refusal)
        VALUES (%s, %s, %s, %s, %s, %s, %s, {TIME}, %s, nullif(%s, '')::json)
        RETURNING transfer_id""",
        (
            sources[0].wallet_id if sources else asked.wallets[0],
            asked.target,
            asked.request_id,
            asked.body_hash,
            asked.points,
            asked.message,
            asked.actor,
            now,
            state.value,
            refusal,
        ),
    ).scalar_one()
    _add_sources(connection, transfer_id, sources, now)
    return Transfer(
        transfer_id,
        asked.request_id,
        asked.body_hash,
        asked.target,
        asked.points,
        asked.message,
        asked.actor,
        now,
        state,
        refusal,
        tuple(sources),
    )


def _add_sources(
    connection: Connection, transfer_id: int, sources: Sequence[Source], now: int
) -> None:
    connection.exec_driver_sql(
        "INSERT INTO transfer_sources (transfer_id, ordinal, wallet_id, points, create_time)"
        f" SELECT %s, ordinal, wallet_id, points, {TIME}"
        " FROM unnest(%s::bigint[], %s::bigint[])"
        " WITH ORDINALITY AS s (wallet_id, points, ordinal)",
        (
            transfer_id,
            now,
            array(source.wallet_id for source in sources),
            array(source.points for source in sources),
        ),
    )


def _one(connection: Connection, which: str, values: tuple[object, ...]) -> Transfer | None:
    row = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM transfers t WHERE {which}", values
    ).first()
    return read(row) if row else None


def of_request(
    connection: Connection, wallet_ids: Sequence[int], request_id: str
) -> Transfer | None:
    """What a request for any of a sender's wallets became."""
    return _one(
        connection,
        "source_wallet = ANY(%s::bigint[]) AND request_id = %s::uuid",
        (array(wallet_ids), request_id),
    )


def find(connection: Connection, transfer_id: int) -> Transfer | None:
    """A transfer that was agreed."""
    return _one(connection, f"transfer_id = %s AND state <> {REFUSED}", (transfer_id,))


def settle(
    connection: Connection, transfer_id: int, state: TransferState, refusal: str = ""
) -> None:
    """Note how a transfer ended; one that has ended stays as it is."""
    connection.exec_driver_sql(
        "UPDATE transfers SET state = %s, refusal = nullif(%s, '')::json"
        f" WHERE transfer_id = %s AND state = {UNDER_WAY}",
        (state.value, refusal, transfer_id),
    )


def sent_since(connection: Connection, wallet_ids: Sequence[int], since: int) -> list[Sent]:
    """What wallets sent after a time, the oldest first."""
    rows = connection.exec_driver_sql(
        f"SELECT {AS_MICROS.format('s.create_time')}, sum(s.points)::bigint"
        " FROM transfer_sources s JOIN transfers t USING (transfer_id)"
        f" WHERE s.wallet_id = ANY(%s::bigint[]) AND s.create_time > {TIME}"
        f" AND t.state <> {REFUSED} GROUP BY transfer_id, s.create_time ORDER BY s.create_time",
        (array(wallet_ids), since),
    )
    return [Sent(*row) for row in rows]


def received_since(connection: Connection, wallet_ids: Sequence[int], since: int) -> int:
    """How many points wallets were sent after a time."""
    found: int = connection.exec_driver_sql(
        "SELECT coalesce(sum(points), 0)::bigint FROM transfers"
        f" WHERE target_wallet = ANY(%s::bigint[]) AND create_time > {TIME}"
        f" AND state <> {REFUSED}",
        (array(wallet_ids), since),
    ).scalar_one()
    return found


def under_way(connection: Connection, *, until: int, limit: int) -> list[Transfer]:
    """Transfers agreed until a time that have not ended, the oldest first."""
    rows = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM transfers t WHERE state = {UNDER_WAY} AND create_time <= {TIME}"
        " ORDER BY transfer_id LIMIT %s",
        (until, limit),
    )
    return [read(row) for row in rows]


def page(
    connection: Connection, wallet_ids: Sequence[int], *, before: TransferKey, limit: int
) -> list[Transfer]:
    """What wallets sent and were sent, the newest first."""
    asked = array(wallet_ids), *before, limit
    # Each side by its own index; a transfer may stand on both, and on one several times.
    sent, received = (
        f"(SELECT DISTINCT {side}.create_time, transfer_id"
        " FROM transfer_sources s JOIN transfers t USING (transfer_id)"
        f" WHERE {wallet} = ANY(%s::bigint[])"
        f" AND ({side}.create_time, transfer_id) < ({TIME}, %s) AND state <> {REFUSED}"
        " ORDER BY 1 DESC, 2 DESC LIMIT %s)"
        for side, wallet in (("s", "s.wallet_id"), ("t", "t.target_wallet"))
    )
    rows = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM transfers t WHERE transfer_id IN"
        f" (SELECT transfer_id FROM ({sent} UNION {received}) AS found)"
        " ORDER BY create_time DESC, transfer_id DESC LIMIT %s",
        (*asked, *asked, limit),
    )
    return [read(row) for row in rows]


def forget_messages(connection: Connection, wallet_ids: Sequence[int]) -> None:
    """Drop what was written to transfers of wallets, by either side: their member is erased."""
    wallets = array(wallet_ids)
    connection.exec_driver_sql(
        "UPDATE transfers SET message = '' WHERE message <> ''"
        " AND (target_wallet = ANY(%s::bigint[]) OR source_wallet = ANY(%s::bigint[])"
        "  OR transfer_id IN (SELECT transfer_id FROM transfer_sources"
        "                     WHERE wallet_id = ANY(%s::bigint[])))",
        (wallets, wallets, wallets),
    )
