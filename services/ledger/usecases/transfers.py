"""Transfers between members: agreed under both members' lock, before any point moves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine

from services.ledger.domain import refusals
from services.ledger.domain.refusals import MemberBlocked, TransferToSelf
from services.ledger.domain.transfer_rules import PERIOD, check_transfer
from services.ledger.domain.transferring import (
    AskedTransfer,
    Source,
    Transfer,
    TransferState,
    agreed,
    sources_of,
)
from services.ledger.storage import directory, merges, policies
from services.ledger.storage import transfers as stored
from services.ledger.storage.shards import count
from services.ledger.storage.transfers import TransferKey
from services.ledger.usecases.read import balances_of
from services.plumbing.database import transaction
from services.plumbing.errors import Refused


@dataclass(frozen=True, slots=True)
class Transfers:
    """clock answers microseconds since 1970-01-01 UTC."""

    engine: Engine
    clock: Callable[[], int]

    def agree(self, asked: AskedTransfer) -> Transfer:
        """Keep what is asked, once; from here on it counts against the limits. A refusal is kept
        too. Refuses: RequestIdReused, TransferToSelf, MemberBlocked, InsufficientPoints (of several
        wallets), and what check_transfer does.
        """
        with transaction(self.engine) as connection:
            # One transfer of either at a time: each counts those before it.
            persons = merges.roots_of(connection, {asked.sender, asked.receiver})
            directory.lock_members(connection, sorted(set(persons.values())))
            asked = replace(asked, sender=persons[asked.sender], receiver=persons[asked.receiver])
            wallets = directory.wallets_of_member(connection, asked.sender)
            found = stored.of_request(connection, wallets, asked.request_id)
            if found is None:
                found = decide(connection, asked, wallets, self.clock())
        return agreed(found, asked.body_hash)

    def note_done(self, transfer_id: int) -> None:
        self._settle(transfer_id, TransferState.DONE)

    def note_refusal(self, transfer_id: int, refusal: Refused) -> None:
        """Note that the sender's wallet did not give the points: they count no longer."""
        self._settle(transfer_id, TransferState.REFUSED, refusals.said(refusal))

    def _settle(self, transfer_id: int, state: TransferState, refusal: str = "") -> None:
        with transaction(self.engine) as connection:
            stored.settle(connection, transfer_id, state, refusal)

    def find(self, transfer_id: int) -> Transfer | None:
        """A transfer that was agreed."""
        with transaction(self.engine) as connection:
            return stored.find(connection, transfer_id)

    def page(self, wallet_ids: Sequence[int], *, before: TransferKey, limit: int) -> list[Transfer]:
        with transaction(self.engine) as connection:
            return stored.page(connection, wallet_ids, before=before, limit=limit)

    def left_under_way(self, *, older_than: int, limit: int) -> list[Transfer]:
        """Transfers that nobody finished in so many microseconds."""
        with transaction(self.engine) as connection:
            return stored.under_way(connection, until=self.clock() - older_than, limit=limit)


def decide(
    connection: Connection, asked: AskedTransfer, wallets: Sequence[int], now: int
) -> Transfer:
    """A transfer as it is agreed or refused; wallets are all of its sender."""
    try:
        check_members(connection, asked, wallets)
        check_limits(connection, asked, wallets, now)
        sources = find_sources(connection, asked)
    except Refused as refusal:
        said = refusals.said(refusal)
        return stored.add(connection, asked, (), now=now, refusal=said)
    return stored.add(connection, asked, sources, now=now)


def find_sources(connection: Connection, asked: AskedTransfer) -> list[Source]:
    """Which of the wallets named give the points; a single one says itself what it has. Refuses:
    InsufficientPoints.
    """
    if len(asked.wallets) == 1:
        return [Source(asked.wallets[0], asked.points)]
    balances = balances_of(connection, asked.wallets, count(connection))
    available = {wallet_id: balance.available for wallet_id, balance in balances.items()}
    return sources_of(asked.wallets, available, asked.points)


def check_members(connection: Connection, asked: AskedTransfer, wallets: Sequence[int]) -> None:
    """Refuses: TransferToSelf, MemberBlocked."""
    if asked.target in wallets:
        raise TransferToSelf("the points are the sender's already")
    blocked = merges.blocked_among(connection, [asked.sender, asked.receiver])
    if asked.sender in blocked:
        raise MemberBlocked("the member is blocked and sends nothing")
    if asked.receiver in blocked:
        raise MemberBlocked("the other member is blocked and is sent nothing")


def check_limits(
    connection: Connection, asked: AskedTransfer, wallets: Sequence[int], now: int
) -> None:
    """Refuses: what check_transfer does."""
    since = now - PERIOD
    targets = directory.wallets_of_member(connection, asked.receiver)
    check_transfer(
        policies.transfer_rules_at(connection, now),
        asked.points,
        sent=stored.sent_since(connection, wallets, since),
        received=stored.received_since(connection, targets, since),
        now=now,
    )
