"""Write the programme's books for an accounting tool, as they stand at one moment."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, Engine

from services.ledger.domain.books import (
    ACCOUNTS,
    Notation,
    Posting,
    day_of,
    wallet_account,
)
from services.ledger.domain.documents import Account, Document
from services.ledger.domain.policy import PointKind
from services.ledger.storage import accounts, books
from services.ledger.storage.books import Held
from services.ledger.storage.shards import schemas
from services.ledger.storage.snapshot import take_snapshot
from services.plumbing.database import transaction

# Of books without a transaction.
NO_DAY = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Written:
    """How much the books hold."""

    transactions: int
    wallets: int


def write_books(engine: Engine, notation: Notation, write: Callable[[str], object]) -> Written:
    """Write the accounts, a transaction for each document with entries in the order of business
    time, and what every account holds on the day after the last. Written bit by bit.
    """
    with transaction(engine) as connection:
        take_snapshot(connection)
        shards = schemas(connection)
        first, after = days(connection, shards)
        write(notation.opening(first))
        for name in ACCOUNTS.values():
            write(notation.account(name, first))
        wallets = 0
        for held in all_wallets(connection, shards):
            write(notation.account(wallet_account(held.wallet_id), first))
            wallets += 1
        transactions = 0
        for shard, document in all_documents(connection, shards):
            write(notation.transaction(shard, document))
            transactions += 1
        write("\n")
        for holding in holdings(connection, shards):
            write(notation.assertion(holding, after))
    return Written(transactions, wallets)


def days(connection: Connection, shards: Sequence[str]) -> tuple[date, date]:
    """The day of the first transaction, and the day after the last."""
    periods = [found for shard in shards if (found := books.period(connection, shard))]
    first = min((day_of(period.first) for period in periods), default=NO_DAY)
    last = max((day_of(period.last) for period in periods), default=NO_DAY)
    return first, last + timedelta(days=1)


def all_wallets(connection: Connection, shards: Sequence[str]) -> Iterator[Held]:
    streams = [books.wallets(connection, shard) for shard in shards]
    return heapq.merge(*streams, key=lambda held: held.wallet_id)


def all_documents(connection: Connection, shards: Sequence[str]) -> Iterator[tuple[int, Document]]:
    """The documents of all shards in the order of business time, each with its shard's number."""

    def numbered(number: int, shard: str) -> Iterator[tuple[int, Document]]:
        return ((number, document) for document in books.documents(connection, shard))

    streams = [numbered(number, shard) for number, shard in enumerate(shards)]
    return heapq.merge(*streams, key=lambda found: found[1].business_time)


def holdings(connection: Connection, shards: Sequence[str]) -> Iterator[Posting]:
    """What every account holds by our balances, not by the transactions."""
    for held in all_wallets(connection, shards):
        account = wallet_account(held.wallet_id)
        yield Posting(account, -held.redeemable, PointKind.REDEEMABLE)
        yield Posting(account, -held.qualifying, PointKind.QUALIFYING)
    moved = accounts.all_movements(connection, shards)
    for account_number, kind in sorted(moved):
        name = ACCOUNTS[Account(account_number)]
        yield Posting(name, moved[account_number, kind], PointKind(kind))
