"""Requests are remembered in one table, for as long as a retry may come, and then forgotten."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from services.members.main import MIGRATIONS
from services.members.settings import MembersSettings
from services.members.usecases.prune import prune
from services.plumbing.database import engine, transaction
from services.plumbing.migrations import migrate
from tests.service.contents import contents
from tests.service.databases import Databases, upgrade
from tests.service.members_calls import Members
from tests.service.members_together import Together
from tests.service.refusals import refused

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOTED = """
    INSERT INTO requests (request_id, fingerprint, subject_id, note_time)
    VALUES (gen_random_uuid(), decode(repeat('00', 16), 'hex'), gen_random_uuid(), %s)"""


def test_a_request_is_remembered_for_ninety_days_unless_told_otherwise() -> None:
    assert MembersSettings.model_fields["requests_kept_days"].default == 90


async def test_a_request_id_serves_one_request_of_any_kind(members: Members) -> None:
    together, asking = Together(members), str(uuid.uuid4())
    name = (await members.enrol(request_id=asking)).name
    before = contents(members.database_url)
    blocking = together.ask("BlockMember", request_id=asking, name=name, reason="suspicion")
    assert (await refused(blocking)).reason == "REQUEST_ID_REUSED"
    assert contents(members.database_url) == before
    assert (await members.enrol(request_id=asking)).name == name


async def test_requests_of_long_ago_are_forgotten_the_oldest_first(members: Members) -> None:
    asking = str(uuid.uuid4())
    enrolled = (await members.enrol(request_id=asking)).name
    database = engine(members.database_url, pool_size=1)
    times = [NOW - timedelta(seconds=seconds) for seconds in (3, 2, 1, 0)]
    with transaction(database) as connection:
        connection.exec_driver_sql("UPDATE requests SET note_time = %s", (times[0],))
        for time in times[1:]:
            connection.exec_driver_sql(NOTED, (time,))
    assert prune(database, before=NOW, limit=2) == 2
    assert noted(database) == times[2:]
    assert prune(database, before=NOW, limit=2) == 1
    assert prune(database, before=NOW, limit=2) == 0
    assert noted(database) == times[3:]
    database.dispose()
    # It is a new one now.
    assert (await members.enrol(request_id=asking)).name != enrolled


async def test_of_what_was_asked_about_who_is_erased_no_hash_is_left(members: Members) -> None:
    together = Together(members)
    asking, erasing = str(uuid.uuid4()), str(uuid.uuid4())
    fields = {"request_id": asking, "card_token": "card-1"}
    name = (await members.enrol(**fields)).name
    erase = {"request_id": erasing, "name": name, "reason": "own_request"}
    erased = await together.ask("EraseMember", **erase)
    assert await together.ask("EraseMember", **erase) == erased
    assert (await refused(members.enrol(**fields))).reason == "REQUEST_ID_REUSED"
    database = engine(members.database_url, pool_size=1)
    with transaction(database) as connection:
        left = connection.exec_driver_sql(
            "SELECT request_id::text FROM requests WHERE fingerprint <> %s", (bytes(16),)
        ).scalars()
        assert list(left) == [erasing]
    database.dispose()


@pytest.fixture
def earlier_release(databases: Databases) -> Iterator[str]:
    """The URL of a database in which enrolments had a table of their own."""
    url = databases.create_empty()
    upgrade(url, MIGRATIONS, "0003")
    yield url
    databases.drop(url)


def test_what_two_tables_remembered_one_does(earlier_release: str) -> None:
    """Of a request_id that both had the enrolment is forgotten."""
    member, other, both, one = (str(uuid.uuid4()) for _ in range(4))
    database = engine(earlier_release, pool_size=1)
    with transaction(database) as connection:
        connection.exec_driver_sql(
            "INSERT INTO members (id, sequence, given_name, family_name, preferences, enrol_time,"
            " update_time, version) VALUES (%s, 1, '', '', '{}', now(), now(), 1)",
            (member,),
        )
        for table, subject, request_id in (
            ("enrolment_requests", "member_id", both),
            ("enrolment_requests", "member_id", one),
            ("requests", "subject_id", both),
        ):
            connection.exec_driver_sql(
                f"INSERT INTO {table} (request_id, fingerprint, {subject})"
                " VALUES (%s, decode(repeat('00', 16), 'hex'), %s)",
                (request_id, other if table == "requests" else member),
            )
    migrate(earlier_release, MIGRATIONS)
    with transaction(database) as connection:
        found = connection.exec_driver_sql(
            "SELECT request_id::text, subject_id::text FROM requests"
        ).all()
    database.dispose()
    assert dict(map(tuple, found)) == {both: other, one: member}


def noted(database: Engine) -> list[datetime]:
    with transaction(database) as connection:
        rows = connection.exec_driver_sql("SELECT note_time FROM requests ORDER BY note_time")
        return [row[0] for row in rows]
