"""Members who become one and part again, who are blocked and erased, and households, as `members`
tells of them. A merge moves nothing: only what is copied to wallets is copied anew.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from services.ledger.storage import directory, households, merges, posting, shards, transfers
from services.ledger.storage import tiers as stored_tiers
from services.ledger.storage.households import Share
from services.ledger.storage.merges import Merge

Mark = TypeVar("Mark")


def merge(connection: Connection, made: Merge, time: datetime) -> None:
    """Let the source's points, cards and wallets count for the target from now on."""
    directory.lock_merges(connection)
    merges.add(connection, made, time)
    count_anew(connection, made.source_id)


def undo_merge(connection: Connection, made: Merge, time: datetime) -> None:
    """Let the source count for itself again."""
    directory.lock_merges(connection)
    merges.undo(connection, made, time)
    count_anew(connection, made.source_id)


def block(connection: Connection, member_id: str, *, blocked: bool, time: datetime) -> None:
    """Let a member spend nothing, or spend again; earning goes on."""
    directory.lock_merges(connection)
    merges.note_block(connection, member_id, blocked=blocked, time=time)
    mark_members(connection, member_id)


def erase(connection: Connection, member_id: str, time: datetime) -> None:
    """Forget the tokens of cards that count for a member, which are refused from now on, and what
    was written to transfers; the books stay.
    """
    directory.lock_merges(connection)
    merges.note_erasure(connection, member_id, time)
    # Those of members merged into them are the same person's.
    wallets = directory.wallets_of_member(connection, member_id)
    directory.forget_cards(connection, wallets)
    transfers.forget_messages(connection, wallets)
    mark_members(connection, member_id)


def change_household(
    connection: Connection,
    household_id: str,
    *,
    revision: int,
    shares: Sequence[Share],
    time: datetime,
) -> None:
    households.put(connection, household_id, revision=revision, shares=shares, time=time)


def count_anew(connection: Connection, source_id: str) -> None:
    """Give the wallets of a member, and of all who count for them, the tiers and the marks of whom
    they count for now.
    """
    members = merges.sources_of(connection, [source_id])[source_id]
    wallets = directory.wallets_of_members(connection, members)
    root = merges.root_of(connection, source_id)
    for schema, found in by_schema(connection, wallets).items():
        # Before anything is changed, and in id order: as committers lock them.
        posting.lock_rows(connection, schema, [wallet for wallet, _ in found])
        stored_tiers.forget(connection, schema, [wallet for wallet, _ in found])
        stored_tiers.copy_to_wallets(connection, schema, [(wallet, root) for wallet, _ in found])
    mark_members(connection, source_id)


def mark_members(connection: Connection, member_id: str) -> None:
    """Let the wallets that count for a member know whether points of theirs may be spent."""
    members = merges.sources_of(connection, [member_id])[member_id]
    blocked = merges.blocked_among(connection, members)
    wallets = directory.wallets_of_members(connection, members)
    mark_wallets(connection, [(wallet, owner in blocked) for wallet, owner in wallets])


def mark_wallets(connection: Connection, marks: Sequence[tuple[int, bool]]) -> None:
    for schema, found in by_schema(connection, marks).items():
        posting.mark_spending(connection, schema, found)


def by_schema(
    connection: Connection, wallets: Sequence[tuple[int, Mark]]
) -> dict[str, list[tuple[int, Mark]]]:
    """Wallets with what is said of each, by the schema they lie in, in the order of shards."""
    count = shards.count(connection)
    found: dict[int, list[tuple[int, Mark]]] = {}
    for wallet, mark in wallets:
        found.setdefault(shards.shard_of(wallet, count), []).append((wallet, mark))
    return {shards.schema(shard): found[shard] for shard in sorted(found)}
