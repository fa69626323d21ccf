"""What was asked under a request_id, so that a retry gets the first answer."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.refusals import RequestIdReused
from services.members.domain.requests import Request

# Waits while another under the same request_id is under way.
_NOTE = (
    "INSERT INTO requests (request_id, fingerprint, subject_id)"
    " VALUES (%s::uuid, %s, %s::uuid) ON CONFLICT DO NOTHING"
)


def note(connection: Connection, request: Request, subject_id: UUID) -> UUID | None:
    """Remember a request about something. None where it is new, else what it was about before.

    Refuses: RequestIdReused.
    """
    noted = connection.exec_driver_sql(
        _NOTE, (str(request.id), request.fingerprint, str(subject_id))
    )
    return None if noted.rowcount else subject_of(connection, request)


def note_enrolment(connection: Connection, request: Request, member_id: UUID) -> int | None:
    """Remember a request to enrol a member to be. Returns the sequence to enrol them with; None
    where it was done before.
    """
    sequence: int | None = connection.exec_driver_sql(
        f"{_NOTE} RETURNING nextval('enrolments')",
        (str(request.id), request.fingerprint, str(member_id)),
    ).scalar_one_or_none()
    return sequence


def subject_of(connection: Connection, request: Request) -> UUID:
    """What a request noted before was about. Refuses: RequestIdReused."""
    subject_id: UUID
    subject_id, fingerprint = connection.exec_driver_sql(
        "SELECT subject_id, fingerprint FROM requests WHERE request_id = %s::uuid",
        (str(request.id),),
    ).one()
    if bytes(fingerprint) != request.fingerprint:
        raise RequestIdReused
    return subject_id


def forget(connection: Connection, before: datetime, *, limit: int) -> int:
    """Drop some of the requests noted before a time, the oldest first. Returns how many."""
    return connection.exec_driver_sql(
        "DELETE FROM requests WHERE request_id IN ("
        " SELECT request_id FROM requests WHERE note_time < %s ORDER BY note_time LIMIT %s"
        " FOR UPDATE SKIP LOCKED)",
        (before, limit),
    ).rowcount
