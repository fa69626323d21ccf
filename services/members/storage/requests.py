"""What was asked under a request_id, so that a retry gets the first answer."""

from uuid import UUID

from sqlalchemy import Connection

from services.members.domain.refusals import RequestIdReused
from services.members.domain.requests import Request


def note(connection: Connection, request: Request, subject_id: UUID) -> UUID | None:
    """Remember a request about something. None where it is new, else what it was about before.

    Waits while another under the same request_id is under way. Refuses: RequestIdReused.
    """
    noted = connection.exec_driver_sql(
        "INSERT INTO requests (request_id, fingerprint, subject_id)"
        " VALUES (%s::uuid, %s, %s::uuid) ON CONFLICT DO NOTHING",
        (str(request.id), request.fingerprint, str(subject_id)),
    )
    if noted.rowcount:
        return None
    earlier: UUID
    earlier, fingerprint = connection.exec_driver_sql(
        "SELECT subject_id, fingerprint FROM requests WHERE request_id = %s::uuid",
        (str(request.id),),
    ).one()
    if bytes(fingerprint) != request.fingerprint:
        raise RequestIdReused
    return earlier


def note_request(
    connection: Connection, request_id: UUID, fingerprint: bytes, member_id: UUID
) -> int | None:
    """Reserve a request_id for a member to be. Returns the sequence to enrol them with.

    Waits while another enrolment under the same request_id is under way; None when it was done.
    """
    noted: int | None = connection.exec_driver_sql(
        "INSERT INTO enrolment_requests (request_id, fingerprint, member_id)"
        " VALUES (%s::uuid, %s, %s::uuid) ON CONFLICT DO NOTHING RETURNING nextval('enrolments')",
        (str(request_id), fingerprint, str(member_id)),
    ).scalar_one_or_none()
    return noted


def member_of_request(connection: Connection, request_id: UUID, fingerprint: bytes) -> UUID:
    """The id of the member enrolled under a request_id noted before. Refuses: RequestIdReused."""
    row = connection.exec_driver_sql(
        "SELECT member_id, fingerprint FROM enrolment_requests WHERE request_id = %s::uuid",
        (str(request_id),),
    ).one()
    if bytes(row[1]) != fingerprint:
        raise RequestIdReused
    member_id: UUID = row[0]
    return member_id
