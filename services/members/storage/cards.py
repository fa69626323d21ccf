"""Members' cards."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.identities import Identity, IdentityKind
from services.members.domain.members import Card, CardState
from services.members.storage.identities import add_identities
from services.plumbing.database import array


def issue_card(connection: Connection, member_id: UUID, card: Card) -> None:
    """One more card of a member there is. Refuses: IdentityTaken."""
    add_identities(connection, member_id, [Identity(IdentityKind.CARD, card.token)])
    connection.exec_driver_sql(
        "INSERT INTO cards (token, member_id, state, issue_time) VALUES (%s, %s::uuid, %s, %s)",
        (card.token, str(member_id), card.state.value, card.issue_time),
    )


def end_card(connection: Connection, card: Card) -> None:
    connection.exec_driver_sql(
        "UPDATE cards SET state = %s, end_time = %s, replaced_by = %s, block_reason = %s"
        " WHERE token = %s",
        (card.state.value, card.end_time, card.replaced_by, card.block_reason, card.token),
    )


def cards_of(connection: Connection, member_ids: Sequence[UUID]) -> dict[UUID, list[Card]]:
    rows = connection.exec_driver_sql(
        "SELECT member_id, token, state, issue_time, end_time, replaced_by, block_reason FROM cards"
        " WHERE member_id = ANY(%s::uuid[]) ORDER BY issue_time, token",
        (array(member_ids),),
    )
    cards: dict[UUID, list[Card]] = {}
    for member_id, token, state, *rest in rows:
        cards.setdefault(member_id, []).append(Card(token, CardState(state), *rest))
    return cards
