"""Which wallet a card credits, and whose wallets are whose. Lies outside the shards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Connection

from services.ledger.domain.documents import CardState
from services.ledger.storage.merges import CLOSURE
from services.plumbing.database import array, text_array
from services.plumbing.prepared import Statement

# A server hears of a changed card here and forgets what it knew of it.
CHANNEL = "ledger_cards"
# Told apart from the locks of members: one merge at a time, and nothing of members meanwhile.
MERGING_CLASS = 7_106
# What is kept of the token of an erased member's card.
FORGOTTEN = "sha256((SELECT secret FROM public.card_secrets) || convert_to({}, 'UTF8'))"
COUNTING = Statement(
    "wallets_counting",
    "uuid[], uuid[]",
    # Most members were never merged, and following merges takes several times as long.
    "SELECT number, wallet_id, EXISTS (SELECT FROM merged_members WHERE source_id = member_id"
    "  AND undo_time IS NULL) OR EXISTS (SELECT FROM merged_members WHERE target_id = member_id"
    "  AND undo_time IS NULL), EXISTS (SELECT FROM shared_moves"
    "  WHERE shared_moves.request_id = asked.request_id)"
    " FROM unnest($1, $2) WITH ORDINALITY AS asked (member_id, request_id, number)"
    " LEFT JOIN wallet_owners USING (member_id) ORDER BY number, attach_time, wallet_id",
)


@dataclass(frozen=True, slots=True)
class Card:
    """A card as the till path sees it; known once a member holds it."""

    wallet_id: int
    state: int
    known: bool


def find_cards(connection: Connection, tokens: Sequence[str]) -> dict[str, Card]:
    """Cards by their tokens; one of an erased member is blocked for good, unless somebody got it
    anew.
    """
    rows = connection.exec_driver_sql(
        "SELECT card_token, wallet_id, state, known FROM cards WHERE card_token = ANY(%s::text[])",
        (text_array(tokens),),
    )
    found = {row[0]: Card(row[1], row[2], row[3]) for row in rows}
    missing = [token for token in tokens if token not in found]
    return found | forgotten_cards(connection, missing) if missing else found


def forgotten_cards(connection: Connection, tokens: Sequence[str]) -> dict[str, Card]:
    rows = connection.exec_driver_sql(
        "SELECT token, wallet_id FROM unnest(%s::text[]) AS token"
        f" JOIN forgotten_cards ON token_hash = {FORGOTTEN.format('token')}",
        (text_array(tokens),),
    )
    return {row[0]: Card(row[1], CardState.BLOCKED.value, known=True) for row in rows}


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


def note_members(connection: Connection, enrol_times: Mapping[str, datetime]) -> None:
    # In order: two that note the same members must not wait for each other.
    ids = sorted(enrol_times)
    connection.exec_driver_sql(
        "INSERT INTO members (member_id, enrol_time)"
        " SELECT * FROM unnest(%s::uuid[], %s::timestamptz[]) ON CONFLICT DO NOTHING",
        (array(ids), text_array(enrol_times[member_id].isoformat() for member_id in ids)),
    )


def is_member(connection: Connection, member_id: str) -> bool:
    found = connection.exec_driver_sql(
        "SELECT 1 FROM members WHERE member_id = %s", (member_id,)
    ).one_or_none()
    return found is not None


def wallets_of_member(connection: Connection, member_id: str) -> list[int]:
    """The wallets that count for a member: their own, then those of members merged into them."""
    return list(holding_of(connection, member_id).owners)


@dataclass(frozen=True, slots=True)
class Counting:
    """The wallets that count for a member, in order, each with its owner by origin; whom the member
    was merged into, if into anybody; and whether a request was about a shared hold before.
    """

    owners: dict[int, str]
    target_id: str | None
    shared_before: bool


def holding_of(connection: Connection, member_id: str) -> Counting:
    return holdings_of(connection, [(member_id, None)])[0]


def holdings_of(connection: Connection, asked: Sequence[tuple[str, str | None]]) -> list[Counting]:
    """What counts for members, in their order; each with the request that is at hand, if one is."""
    rows = COUNTING.run(
        connection,
        array(member_id for member_id, _ in asked),
        array(request_id or "NULL" for _, request_id in asked),
    )
    found: list[Counting] = []
    for number, of_member in groupby(rows, key=itemgetter(0)):
        member_id = asked[number - 1][0]
        wallets = [row[1:] for row in of_member]
        merged, shared_before = wallets[0][1:]
        if merged:
            found.append(merged_holding_of(connection, member_id, shared_before=shared_before))
        else:
            owners = {row[0]: member_id for row in wallets if row[0] is not None}
            found.append(Counting(owners, None, shared_before))
    return found


def merged_holding_of(connection: Connection, member_id: str, *, shared_before: bool) -> Counting:
    rows = connection.exec_driver_sql(
        f"WITH RECURSIVE {CLOSURE}"
        " SELECT wallet_id, closure.member_id::text, (SELECT target_id::text FROM merged_members"
        "  WHERE source_id = root AND undo_time IS NULL)"
        " FROM closure LEFT JOIN wallet_owners USING (member_id)"
        " ORDER BY closure.member_id <> root, attach_time, wallet_id",
        (text_array([member_id]),),
    ).fetchall()
    owners = {row[0]: row[1] for row in rows if row[0] is not None}
    return Counting(owners, rows[0][2], shared_before)


def own_wallets(connection: Connection, member_id: str) -> list[int]:
    """The wallets that a member was given, the first attached first."""
    rows = connection.exec_driver_sql(
        "SELECT wallet_id FROM wallet_owners WHERE member_id = %s ORDER BY attach_time, wallet_id",
        (member_id,),
    )
    return [row[0] for row in rows]


def wallets_counting_for(
    connection: Connection, member_ids: Sequence[str]
) -> list[tuple[int, str]]:
    """The wallets that count for members, each with whom it counts for, in the order of wallets. Of
    members who were merged into others there are none.
    """
    rows = connection.exec_driver_sql(
        f"WITH RECURSIVE {CLOSURE} SELECT wallet_id, root::text"
        " FROM closure JOIN wallet_owners USING (member_id)"
        " WHERE NOT EXISTS (SELECT FROM merged_members"
        "  WHERE source_id = root AND undo_time IS NULL) ORDER BY wallet_id",
        (text_array(member_ids),),
    )
    return [(row[0], row[1]) for row in rows]


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


def lock_merges(connection: Connection) -> None:
    """One merge at a time, and none while anybody's wallets or tiers change."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MERGING_CLASS}, 0)")


def lock_members(connection: Connection, member_ids: Sequence[str]) -> None:
    """One change of these members' wallets or tiers at a time, also before the first is there; in
    an order that cannot deadlock. Nobody is merged meanwhile.
    """
    connection.exec_driver_sql(
        f"SELECT pg_advisory_xact_lock_shared({MERGING_CLASS}, 0);"
        " SELECT pg_advisory_xact_lock(hashtextextended('member ' || id, 0))"
        " FROM (SELECT id FROM unnest(%s::text[]) AS id"
        " ORDER BY hashtextextended('member ' || id, 0)) AS ordered",
        (text_array(member_ids),),
    )


def next_wallet(connection: Connection) -> int:
    """The id of a wallet that nobody has."""
    return next_wallets(connection, 1)[0]


def next_wallets(connection: Connection, count: int) -> list[int]:
    rows = connection.exec_driver_sql(
        "SELECT nextval('wallet_ids') FROM generate_series(1, %s)", (count,)
    )
    return sorted(rows.scalars())


def own(connection: Connection, wallet_id: int, member_id: str) -> None:
    """Give a wallet to a member, after those the member has."""
    own_each(connection, [(wallet_id, member_id)])


def own_each(connection: Connection, wallets: Sequence[tuple[int, str]]) -> None:
    """The same of several wallets, each with its member."""
    connection.exec_driver_sql(
        # Not the transaction's time: one that waited for the member's lock began before its like.
        "INSERT INTO wallet_owners (wallet_id, member_id, attach_time)"
        " SELECT wallet, member, clock_timestamp()"
        " FROM unnest(%s::bigint[], %s::uuid[]) AS given (wallet, member)"
        " ON CONFLICT (wallet_id) DO NOTHING",
        (array(wallet for wallet, _ in wallets), array(member for _, member in wallets)),
    )


def add_card(connection: Connection, token: str, wallet_id: int) -> bool:
    """Let a card that is not there yet credit a member's wallet; whether it was not there."""
    return bool(add_cards(connection, {token: wallet_id}))


def add_cards(connection: Connection, wallets: Mapping[str, int]) -> set[str]:
    """Let cards credit members' wallets, unless they are there already; which were not."""
    # In token order: two that insert the same cards the other way round would deadlock.
    tokens = sorted(wallets)
    rows = connection.exec_driver_sql(
        "WITH added AS (INSERT INTO cards (card_token, wallet_id, state, known)"
        f" SELECT token, wallet, {CardState.ACTIVE.value}, true"
        " FROM unnest(%s::text[], %s::bigint[]) WITH ORDINALITY AS given (token, wallet, nth)"
        " ORDER BY nth ON CONFLICT DO NOTHING RETURNING card_token)"
        f" SELECT card_token, pg_notify('{CHANNEL}', card_token) FROM added",
        (text_array(tokens), array(wallets[token] for token in tokens)),
    )
    return {row[0] for row in rows}


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


def forget_cards(connection: Connection, wallet_ids: Sequence[int]) -> None:
    """Let the cards of wallets be blocked for good, without their tokens being known."""
    gone = connection.exec_driver_sql(
        "WITH gone AS (DELETE FROM cards WHERE wallet_id = ANY(%s::bigint[])"
        "  RETURNING card_token, wallet_id),"
        " kept AS (INSERT INTO forgotten_cards (token_hash, wallet_id)"
        f"  SELECT {FORGOTTEN.format('card_token')}, wallet_id FROM gone"
        "  ON CONFLICT (token_hash) DO UPDATE SET wallet_id = excluded.wallet_id)"
        " SELECT card_token FROM gone",
        (array(wallet_ids),),
    )
    for row in gone.fetchall():
        announce(connection, row[0])


def announce(connection: Connection, token: str) -> None:
    connection.exec_driver_sql(f"SELECT pg_notify('{CHANNEL}', %s)", (token,))
