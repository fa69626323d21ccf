"""What members said: a record that only grows."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.consents import Consent, Recorded
from services.plumbing.database import array


def add_consents(connection: Connection, member_id: UUID, said: Iterable[Consent]) -> int:
    """Record consents in the order given. Returns how many were not recorded before."""
    return sum(_add_consent(connection, member_id, consent) for consent in said)


def _add_consent(connection: Connection, member_id: UUID, said: Consent) -> int:
    return connection.exec_driver_sql(
        "INSERT INTO consents (member_id, purpose, channel, granted, time, method, source)"
        " VALUES (%s::uuid, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            str(member_id),
            said.purpose,
            said.channel,
            said.granted,
            said.time,
            said.method,
            said.source,
        ),
    ).rowcount


def consents_before(
    connection: Connection,
    member_ids: Sequence[UUID],
    before: tuple[datetime, int] | None,
    *,
    limit: int,
) -> list[Recorded]:
    """What members said, newest first, from before a time and the id recorded then."""
    time, recorded = before or (None, None)
    rows = connection.exec_driver_sql(
        "SELECT id, purpose, channel, granted, time, method, source FROM consents"
        " WHERE member_id = ANY(%s::uuid[])"
        " AND (%s::timestamptz IS NULL OR (time, id) < (%s, %s))"
        " ORDER BY time DESC, id DESC LIMIT %s",
        (array(member_ids), time, time, recorded, limit),
    )
    return [Recorded(row[0], Consent(*row[1:])) for row in rows]


def consents_in_force(
    connection: Connection, member_ids: Sequence[UUID]
) -> dict[UUID, list[Consent]]:
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT ON (member_id, purpose, channel)"
        " member_id, purpose, channel, granted, time, method, source FROM consents"
        " WHERE member_id = ANY(%s::uuid[])"
        " ORDER BY member_id, purpose, channel, time DESC, id DESC",
        (array(member_ids),),
    )
    consents: dict[UUID, list[Consent]] = {}
    for member_id, *said in rows:
        consents.setdefault(member_id, []).append(Consent(*said))
    return consents
