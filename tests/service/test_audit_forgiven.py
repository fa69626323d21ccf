"""The audit names points that come back without making good what returns forgave."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from services.ledger.domain.documents import Origin
from services.ledger.domain.policy import Clawback
from services.ledger.main import MIGRATIONS
from services.plumbing.database import engine, transaction
from tests.service.databases import Databases, upgrade
from tests.service.ledger_history import (
    DAY,
    NOON,
    Audit,
    Problems,
    Spender,
    audit_after,
    bread,
    policy,
)

FORGIVEN = "forgiven_made_good"
LOTS = "lots_add_up"
SEQUENCE = "documents_in_sequence"


def make_returns(tills: Spender) -> None:
    """Wallet 2 bought for ten points, burned six, held four and returned the goods; then one of
    the six came back, and all that was held.
    """
    tills.publish(policy(NOON - DAY, Clawback.WITHIN_BALANCE))
    sold = tills.do(tills.sale(2, bread(1_000)))
    burned = tills.capture(tills.hold(2, 6), 6)
    held = tills.hold(2, 4)
    tills.do(tills.take_back(2, Origin(sale_id=sold.document_id)))
    tills.refund(burned, 1)
    tills.release(held)


@pytest.fixture(scope="module")
def books(databases: Databases) -> Iterator[str]:
    url = databases.create("ledger")
    source = engine(url)
    with closing(Spender(source)) as tills:
        make_returns(tills)
    source.dispose()
    yield url
    databases.drop(url)


@pytest.fixture
def audit(books: str) -> Iterator[Audit]:
    source = engine(books, pool_size=1)
    yield lambda statements: audit_after(source, statements)
    source.dispose()


def test_books_of_returns_that_were_made_good_are_right(audit: Audit) -> None:
    assert audit("SELECT 1") == {}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "UPDATE ledger_00.forgiven SET points_left = 4",
            [
                "wallet 2: of 10 points that return 5 forgave 4 are left, by the documents of 10 5",
            ],
        ),
        (
            "DELETE FROM ledger_00.forgiven",
            ["wallet 2: the 10 points that return 5 forgave are not kept"],
        ),
        (
            "INSERT INTO ledger_00.forgiven VALUES (2, 99, 9, 1, 3, 3)",
            ["wallet 2: return 99 forgave nothing"],
        ),
        (
            "INSERT INTO ledger_00.forgiven VALUES (4, 99, 9, 1, 3, 3)",
            ["wallet 4: return 99 forgave nothing"],
        ),
    ],
)
def test_what_is_kept_of_forgiven_points_is_compared(
    audit: Audit, change: str, found: list[str]
) -> None:
    assert audit(change) == {FORGIVEN: found}


def test_points_that_came_back_and_made_nothing_good_are_named(audit: Audit) -> None:
    found: Problems = audit("UPDATE ledger_00.journal SET entries = '{}' WHERE document_id = 7")
    assert found[FORGIVEN] == [
        "wallet 2, document 7: it made 0 forgiven points good, due were 4",
    ]
    assert found[LOTS] == [
        "wallet 2, entry 7-1: lots were used, and it does not exist",
    ]
    assert SEQUENCE in found


def test_points_that_made_more_good_than_was_forgiven_are_named(audit: Audit) -> None:
    found = audit("UPDATE ledger_00.journal SET entries[2].points = -2 WHERE document_id = 6")
    assert found[FORGIVEN] == ["wallet 2, document 6: it made 2 forgiven points good, due were 1"]
    assert found[LOTS] == ["wallet 2, entry 6-2: it used 1 points of lots and moved -2"]


def test_what_returns_forgave_before_it_was_kept_is_kept(databases: Databases) -> None:
    """Unless the policy had only pending points taken back."""
    url = databases.create("ledger")
    source = engine(url)
    tills = Spender(source)
    tills.publish(policy(NOON - DAY, Clawback.WITHIN_BALANCE))
    tills.publish(policy(NOON + DAY, Clawback.PENDING_ONLY))
    for wallet_id in (2, 4):
        sold = tills.do(tills.sale(wallet_id, bread(1_000)))
        tills.capture(tills.hold(wallet_id, 6), 6)
        tills.do(tills.take_back(wallet_id, Origin(sale_id=sold.document_id)))
        tills.business_time += DAY
    tills.close()
    with transaction(source) as connection:
        kept = connection.exec_driver_sql("SELECT * FROM ledger_00.forgiven").all()
        connection.exec_driver_sql(
            "DROP TABLE ledger_00.forgiven, ledger_01.forgiven;"
            "UPDATE alembic_version SET version_num = '0007'"
        )
    upgrade(url, MIGRATIONS, "0008")
    with transaction(source) as connection:
        assert connection.exec_driver_sql("SELECT * FROM ledger_00.forgiven").all() == kept
    assert [(row.wallet_id, row.points, row.points_left) for row in kept] == [(2, 6, 6)]
    source.dispose()
    databases.drop(url)
