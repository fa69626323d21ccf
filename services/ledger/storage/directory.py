"""Which wallet a card credits, and whose wallets are whose. Lies outside the shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from services.ledger.domain.documents import CardState
from services.plumbing.database import text_array

# A server hears of a changed card here and forgets what it knew of it.
CHANNEL = "ledger_cards"


@dataclass(frozen=True, slots=True)
class Card:
    """A card as the till path sees it; known once a member holds it."""

    wallet_id: int
    state: int
    known: bool


def find_cards(connection: Connection, tokens: Sequence[str]) -> dict[str, Card]:
    rows = connection.exec_driver_sql(
        "SELECT card_token, wallet_id, state, known FROM cards WHERE card_token = ANY(%s::text[])",
        (text_array(tokens),),
    )
    return {row[0]: Card(row[1], row[2], row[3]) for row in rows}


def add_unknown_cards(connection: Connection, tokens: Sequence[str]) -> dict[str, Card]:
    """Give cards nobody knows a provisional wallet each; of servers that do so at once, one
    wins.
    """
    # In token order: two servers that insert the same cards the other way round would deadlock.
    connection.exec_driver_sql(
        "INSERT INTO cards (card_token, wallet_id, state, known)"
        f" SELECT token, nextval('wallet_ids'), {CardState.ACTIVE.value}, false"
        " FROM unnest(%s::text[]) AS token ORDER BY token ON CONFLICT DO NOTHING",
        (text_array(sorted(tokens)),),
    )
    return find_cards(connection, tokens)


def note_member(connection: Connection, member_id: str, enrol_time: datetime) -> None:
    connection.exec_driver_sql(
        "INSERT INTO members (member_id, enrol_time) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (member_id, enrol_time),
    )


def is_member(connection: Connection, member_id: str) -> bool:
    found = connection.exec_driver_sql(
        "SELECT 1 FROM members WHERE member_id = %s", (member_id,)
    ).one_or_none()
    return found is not None


def wallets_of_member(connection: Connection, member_id: str) -> list[int]:
    """The wallets of a member, the first attached first."""
    rows = connection.exec_driver_sql(
        "SELECT wallet_id FROM wallet_owners WHERE member_id = %s ORDER BY attach_time, wallet_id",
        (member_id,),
    )
    return [row[0] for row in rows]


def wallets_of_members(connection: Connection, member_ids: Sequence[str]) -> list[tuple[int, str]]:
    """The wallets of members, each with its member, in the order of wallets."""
    rows = connection.exec_driver_sql(
        "SELECT wallet_id, member_id::text FROM wallet_owners"
        " WHERE member_id = ANY(%s::uuid[]) ORDER BY wallet_id",
        (text_array(member_ids),),
    )
    return [(row[0], row[1]) for row in rows]


def owner_of(connection: Connection, wallet_id: int) -> str | None:
    found: str | None = connection.exec_driver_sql(
        "SELECT member_id::text FROM wallet_owners WHERE wallet_id = %s", (wallet_id,)
    ).scalar_one_or_none()
    return found


def lock_members(connection: Connection, member_ids: Sequence[str]) -> None:
    """One change of these members' wallets or tiers at a time, also before the first is there; in
    an order that cannot deadlock.
    """
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(hashtextextended('member ' || id, 0))"
        " FROM (SELECT id FROM unnest(%s::text[]) AS id"
        " ORDER BY hashtextextended('member ' || id, 0)) AS ordered",
        (text_array(member_ids),),
    )


def next_wallet(connection: Connection) -> int:
    """The id of a wallet that nobody has."""
    found: int = connection.exec_driver_sql("SELECT nextval('wallet_ids')").scalar_one()
    return found


def own(connection: Connection, wallet_id: int, member_id: str) -> None:
    """Give a wallet to a member, after those the member has."""
    connection.exec_driver_sql(
        # Not the transaction's time: one that waited for the member's lock began before its like.
        "INSERT INTO wallet_owners (wallet_id, member_id, attach_time)"
        " VALUES (%s, %s, clock_timestamp()) ON CONFLICT (wallet_id) DO NOTHING",
        (wallet_id, member_id),
    )


def add_card(connection: Connection, token: str, wallet_id: int) -> bool:
    """Let a card that is not there yet credit a member's wallet; whether it was not there."""
    added = connection.exec_driver_sql(
        "INSERT INTO cards (card_token, wallet_id, state, known) VALUES (%s, %s, %s, true)"
        " ON CONFLICT DO NOTHING",
        (token, wallet_id, CardState.ACTIVE.value),
    )
    if added.rowcount:
        announce(connection, token)
    return bool(added.rowcount)


def put_card(connection: Connection, token: str, wallet_id: int, state: CardState) -> None:
    """Let a card of a member credit a wallet, and tell every server."""
    connection.exec_driver_sql(
        "INSERT INTO cards (card_token, wallet_id, state, known) VALUES (%s, %s, %s, true)"
        " ON CONFLICT (card_token) DO UPDATE"
        " SET wallet_id = excluded.wallet_id, state = excluded.state, known = true",
        (token, wallet_id, state.value),
    )
    announce(connection, token)


def set_card_state(connection: Connection, token: str, state: CardState) -> None:
    connection.exec_driver_sql(
        "UPDATE cards SET state = %s WHERE card_token = %s", (state.value, token)
    )
    announce(connection, token)


def announce(connection: Connection, token: str) -> None:
    connection.exec_driver_sql(f"SELECT pg_notify('{CHANNEL}', %s)", (token,))
