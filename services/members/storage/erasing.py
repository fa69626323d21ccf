"""What of a member goes when they are erased: everything that leads to a person."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.plumbing.database import array

# Cards before the identities they refer to. Of the proof of consents stays that, for what, by which
# way and when; the membership number is given up for one that was never printed. What was asked
# about them is not known again but by its id, since a hash of what can be guessed tells it.
STATEMENTS = """
    DELETE FROM invitations WHERE member_id = ANY(%(ids)s::uuid[]);
    DELETE FROM cards WHERE member_id = ANY(%(ids)s::uuid[]);
    DELETE FROM identities WHERE member_id = ANY(%(ids)s::uuid[]);
    DELETE FROM consents AS said USING consents AS earlier
        WHERE said.member_id = ANY(%(ids)s::uuid[]) AND earlier.member_id = said.member_id
        AND (earlier.time, earlier.purpose, earlier.channel, earlier.granted)
            = (said.time, said.purpose, said.channel, said.granted) AND earlier.id < said.id;
    UPDATE consents SET method = 'erased', source = 'erased'
        WHERE member_id = ANY(%(ids)s::uuid[]);
    UPDATE requests SET fingerprint = decode(repeat('00', 16), 'hex')
        WHERE subject_id = ANY(%(ids)s::uuid[]) AND note_time < now();
    UPDATE merges SET reason = ''
        WHERE source_id = ANY(%(ids)s::uuid[]) OR target_id = ANY(%(ids)s::uuid[]);
    UPDATE members SET given_name = '', family_name = '', preferences = '{}',
            sequence = nextval('enrolments'), block_time = NULL, block_reason = NULL,
            erase_time = %(now)s, erase_reason = %(reason)s, update_time = %(now)s,
            version = version + 1
        WHERE id = ANY(%(ids)s::uuid[])"""


def erase(
    connection: Connection, member_ids: Sequence[UUID], *, reason: str, now: datetime
) -> None:
    """Forget members who are locked and in no household."""
    values = {"ids": array(member_ids), "reason": reason, "now": now}
    connection.exec_driver_sql(STATEMENTS, values)
