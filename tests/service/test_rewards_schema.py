"""The last guard: what the rewards database refuses, whoever writes."""

from collections.abc import Callable

from sqlalchemy.exc import IntegrityError

from services.plumbing.database import engine, transaction
from tests.service.contents import contents

SOME = """
    INSERT INTO rewards (reward_id, state, latest_version, published_version, stock, request_id,
        fingerprint, create_time)
    VALUES ('coffee', 'published', 1, 1, '{}', gen_random_uuid(), decode(repeat('00', 16), 'hex'),
        now());
    INSERT INTO reward_versions (reward_id, version, definition, creator, create_time)
    VALUES ('coffee', 1, '{}', 'tester', now());
    INSERT INTO publications (reward_id, version, start_time) VALUES ('coffee', 1, now());
    INSERT INTO vouchers (voucher_id, code_key, code, member_id, reward_id, version, redemption_id,
        issue_time, value_minor, balance_minor, currency_code, partial_use)
    VALUES (gen_random_uuid(), 'AAAA', 'AAAA', gen_random_uuid(), 'coffee', 1, gen_random_uuid(),
        now(), 100, 100, 'CHF', true);
    INSERT INTO code_pools VALUES ('cinema', now());
    INSERT INTO pool_codes (code_key, pool, code, redemption_id)
    VALUES ('BBBB', 'cinema', 'BBBB', '00000000-0000-4000-8000-000000000001'),
        ('CCCC', 'cinema', 'CCCC', NULL)
"""
VOUCHER = """
    INSERT INTO vouchers (voucher_id, code_key, code, member_id, reward_id, version, redemption_id,
        issue_time, value_minor, balance_minor, currency_code, partial_use)
    SELECT gen_random_uuid(), {code}, code, member_id, reward_id, {version}, {redemption},
        issue_time, value_minor, balance_minor, currency_code, partial_use FROM vouchers"""
REFUSED = {
    "two versions in force": """
        INSERT INTO publications (reward_id, version, start_time) VALUES ('coffee', 1, now())""",
    "a version in force that is not there": """
        UPDATE publications SET version = 2""",
    "a publication that ends before it begins": """
        UPDATE publications SET end_time = start_time - INTERVAL '1 second'""",
    "a published reward without a version": "UPDATE rewards SET published_version = NULL",
    "an unpublished reward with one": "UPDATE rewards SET state = 'ended'",
    "a reward with a name of capitals": "UPDATE rewards SET reward_id = 'Coffee'",
    "a balance below zero": "UPDATE vouchers SET balance_minor = -1",
    "a balance above the value": "UPDATE vouchers SET balance_minor = 101",
    "a redeemed voucher with a balance": """
        UPDATE vouchers SET state = 'redeemed', redeem_time = now()""",
    "a revoked voucher without a time": "UPDATE vouchers SET state = 'revoked'",
    "two vouchers of a code": VOUCHER.format(
        code="code_key", version="1", redemption="gen_random_uuid()"
    ),
    "two vouchers of a redemption": VOUCHER.format(
        code="'DDDD'", version="1", redemption="redemption_id"
    ),
    "a voucher of a version that is not there": VOUCHER.format(
        code="'DDDD'", version="2", redemption="gen_random_uuid()"
    ),
    "a code in two pools": """
        INSERT INTO code_pools VALUES ('theatre', now());
        INSERT INTO pool_codes (code_key, pool, code) VALUES ('CCCC', 'theatre', 'cc-cc')""",
    "two codes of a redemption": """
        UPDATE pool_codes SET redemption_id = '00000000-0000-4000-8000-000000000001'""",
}


def test_the_database_refuses(database: Callable[[str], str]) -> None:
    url = database("rewards")
    writing = engine(url, pool_size=1)
    with transaction(writing) as connection:
        connection.exec_driver_sql(SOME)
    before = contents(url)
    accepted = []
    for what, statement in REFUSED.items():
        try:
            with transaction(writing) as connection:
                connection.exec_driver_sql(statement)
        except IntegrityError:
            continue
        accepted.append(what)
    writing.dispose()
    assert accepted == []
    assert contents(url) == before
