"""The last guard: what the database refuses, whoever writes."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from services.plumbing.database import engine, transaction
from tests.service.contents import contents

ADA = "00000000-0000-4000-8000-000000000001"
EVE = "00000000-0000-4000-8000-000000000002"
TWO_MEMBERS = f"""
    INSERT INTO members (id, sequence, given_name, family_name, preferences, enrol_time,
        update_time, version)
    VALUES ('{ADA}', 1, '', '', '{{}}', now(), now(), 1),
        ('{EVE}', 2, '', '', '{{}}', now(), now(), 1);
    INSERT INTO identities (kind, value, member_id)
    VALUES ('email', 'ada@example.com', '{ADA}'), ('card_token', 'card-1', '{ADA}'),
        ('card_token', 'card-2', '{EVE}'), ('card_token', 'card-3', '{EVE}');
    INSERT INTO cards (token, member_id, state, issue_time)
    VALUES ('card-1', '{ADA}', 'active', now()), ('card-2', '{EVE}', 'active', now())
"""
REFUSED = {
    "an identity of two members": f"""
        INSERT INTO identities (kind, value, member_id)
        VALUES ('email', 'ada@example.com', '{EVE}')""",
    "two e-mails of a member": f"""
        INSERT INTO identities (kind, value, member_id)
        VALUES ('email', 'countess@example.com', '{ADA}')""",
    "an e-mail in capitals": f"""
        INSERT INTO identities (kind, value, member_id)
        VALUES ('email', 'Eve@example.com', '{EVE}')""",
    "a phone that is not E.164": f"""
        INSERT INTO identities (kind, value, member_id) VALUES ('phone', '0446681800', '{EVE}')""",
    "a short membership number": f"""
        INSERT INTO identities (kind, value, member_id)
        VALUES ('membership_number', '17', '{EVE}')""",
    "a token with spaces": f"""
        INSERT INTO identities (kind, value, member_id)
        VALUES ('card_token', '4111 1111', '{EVE}')""",
    "an unknown kind of identity": f"""
        INSERT INTO identities (kind, value, member_id) VALUES ('twitter', '@eve', '{EVE}')""",
    "an identity of nobody": """
        INSERT INTO identities (kind, value, member_id)
        VALUES ('email', 'x@example.com', '00000000-0000-4000-8000-000000000009')""",
    "a card without its identity": f"""
        INSERT INTO cards (token, member_id, state, issue_time)
        VALUES ('card-9', '{ADA}', 'active', now())""",
    "a card twice": f"""
        INSERT INTO cards (token, member_id, state, issue_time)
        VALUES ('card-1', '{EVE}', 'active', now())""",
    "an ended card without an end": "UPDATE cards SET state = 'blocked', block_reason = 'lost'",
    "an active card with an end": "UPDATE cards SET end_time = now()",
    "a blocked card without a reason": "UPDATE cards SET state = 'blocked', end_time = now()",
    "a card replaced by another member's": """
        UPDATE cards SET state = 'replaced', end_time = now(), replaced_by = 'card-2'
        WHERE token = 'card-1'""",
    "two members of one sequence": f"UPDATE members SET sequence = 1 WHERE id = '{EVE}'",
    "a request with half a fingerprint": """
        INSERT INTO requests (request_id, fingerprint, subject_id)
        VALUES (gen_random_uuid(), decode(repeat('00', 8), 'hex'), gen_random_uuid())""",
    "a consent without its proof": f"""
        INSERT INTO consents (member_id, purpose, channel, granted, time, method, source)
        VALUES ('{ADA}', 'marketing', 'email', true, now(), '', '')""",
    "a member blocked without a reason": "UPDATE members SET block_time = now()",
    "an erased member with a name": f"""
        UPDATE members SET given_name = 'Ada', erase_time = now(), erase_reason = 'inactive'
        WHERE id = '{ADA}'""",
    "an erasure with a sentence for a reason": f"""
        UPDATE members SET erase_time = now(), erase_reason = 'Ada called' WHERE id = '{ADA}'""",
    "a member merged with themselves": f"""
        INSERT INTO merges (id, source_id, target_id, reason, merge_time)
        VALUES (gen_random_uuid(), '{ADA}', '{ADA}', 'twice', now())""",
    "a member merged into two": f"""
        INSERT INTO merges (id, source_id, target_id, reason, merge_time)
        VALUES (gen_random_uuid(), '{ADA}', '{EVE}', 'twice', now()),
            (gen_random_uuid(), '{ADA}', '{EVE}', 'twice', now())""",
    "a household owned by who is not in it": f"""
        INSERT INTO households (id, owner_id, revision, create_time)
        VALUES ('{ADA}', '{ADA}', 1, now())""",
    "a household without an owner that goes on": f"""
        INSERT INTO households (id, revision, create_time) VALUES ('{ADA}', 1, now())""",
    "a member of two households": f"""
        INSERT INTO households (id, revision, create_time, end_time)
        VALUES ('{ADA}', 1, now(), now()), ('{EVE}', 1, now(), now());
        INSERT INTO household_members (member_id, household_id, points_limit, join_time)
        VALUES ('{ADA}', '{ADA}', 0, now()), ('{ADA}', '{EVE}', 0, now())""",
    "an invitation for nobody": f"""
        INSERT INTO households (id, revision, create_time, end_time)
        VALUES ('{ADA}', 1, now(), now());
        INSERT INTO invitations (id, household_id, state, create_time, expire_time)
        VALUES ('{ADA}', '{ADA}', 'open', now(), now() + interval '1 day')""",
    "a member deleted beneath their cards": f"DELETE FROM members WHERE id = '{ADA}'",
}


@pytest.fixture
def members_url(database: Callable[[str], str]) -> str:
    return database("members")


@pytest.fixture
def writing(members_url: str) -> Iterator[Engine]:
    made = engine(members_url, pool_size=1)
    with transaction(made) as connection:
        connection.exec_driver_sql(TWO_MEMBERS)
    yield made
    made.dispose()


@pytest.mark.parametrize("what", REFUSED)
def test_the_database_refuses(writing: Engine, members_url: str, what: str) -> None:
    before = contents(members_url)
    with pytest.raises(IntegrityError), transaction(writing) as connection:
        connection.exec_driver_sql(REFUSED[what])
    assert contents(members_url) == before
