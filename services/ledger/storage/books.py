"""What the books are written from: wallets, and documents with entries in the order of time."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from services.ledger.domain.documents import Balance, Document, DocumentType
from services.ledger.storage import entries
from services.ledger.storage.journal import AS_MICROS
from services.ledger.storage.streams import stream


@dataclass(frozen=True, slots=True)
class Period:
    """The first and the last business time with an entry, in microseconds since 1970."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Held:
    """What a wallet holds, whether it may be spent yet or not."""

    wallet_id: int
    redeemable: int
    qualifying: int


def period(connection: Connection, schema: str) -> Period | None:
    """From when to when a shard has entries; None where it has none."""
    first, last = connection.exec_driver_sql(
        f"SELECT {AS_MICROS.format('min(business_time)')}, {AS_MICROS.format('max(business_time)')}"
        f" FROM {schema}.journal WHERE refusal IS NULL"
    ).one()
    return None if first is None else Period(first, last)


def wallets(connection: Connection, schema: str) -> Iterator[Held]:
    """Every wallet of a shard, in the order of their ids."""
    for row in stream(
        connection,
        "SELECT wallet_id, available + pending + held, qualifying"
        f" FROM {schema}.wallets ORDER BY wallet_id",
    ):
        yield Held(*row)


def documents(connection: Connection, schema: str) -> Iterator[Document]:
    """Every document of a shard that has entries, in the order of business time."""
    for row in stream(
        connection,
        f"""
        SELECT document_id, wallet_id, type, {AS_MICROS.format("business_time")}, store, terminal,
               receipt_number, original_id, reason, {entries.ENTRIES}
        FROM {schema}.journal j WHERE entries <> '{{}}'
        ORDER BY business_time, document_id""",
    ):
        yield Document(
            row[0],
            row[1],
            "",
            "",
            DocumentType(row[2]),
            row[3],
            Balance(),
            store=row[4],
            terminal=row[5],
            receipt_number=row[6],
            original_id=row[7],
            reason=row[8],
            entries=entries.read(row[9]),
        )
