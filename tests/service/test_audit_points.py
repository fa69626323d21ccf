"""The audit names whatever is changed behind the back of holds, pending points and refunds."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from services.ledger.domain.documents import (
    ActivatePoints,
    ExpirePoints,
)
from services.ledger.domain.point_life import Expiry, PointLife
from services.ledger.domain.policy import Clawback
from services.plumbing.database import engine
from tests.service.databases import Databases
from tests.service.ledger_history import (
    DAY,
    NOON,
    Audit,
    Problems,
    Spender,
    audit_after,
    bread,
    ids,
    policy,
)

BALANCES = "balances_equal_lots_and_entries"
SEQUENCE = "documents_in_sequence"
LOTS = "lots_add_up"
RECOMPUTE = "entries_recompute"
DEBITS = "debits_equal_credits"
OUTBOX = "outbox_complete"


def make_lives(tills: Spender) -> None:
    """Wallet 2 has ten points: two are held, three were burned, of which one came back, and one
    was held and released. Of wallet 4 ten points expired, and five are pending.
    """
    life = PointLife(pending_days=1, expiry=Expiry.DAYS, expiry_count=10)
    tills.publish(policy(NOON - DAY, Clawback.WITHIN_BALANCE, life=life))
    tills.do(tills.sale(2, bread(1_000)))
    tills.business_time += 2 * DAY
    tills.do(ActivatePoints(2, *ids(), tills.business_time))
    tills.hold(2, 2)
    burned = tills.capture(tills.hold(2, 4), 3)
    tills.refund(burned, 1)
    tills.release(tills.hold(2, 1))
    tills.do(tills.sale(4, bread(1_000)))
    tills.business_time += 11 * DAY
    tills.do(ActivatePoints(4, *ids(), tills.business_time))
    tills.do(ExpirePoints(4, *ids(), tills.business_time))
    tills.do(tills.sale(4, bread(500)))


@pytest.fixture(scope="module")
def lives(databases: Databases) -> Iterator[str]:
    url = databases.create("ledger")
    source = engine(url)
    with closing(Spender(source)) as tills:
        make_lives(tills)
    source.dispose()
    yield url
    databases.drop(url)


@pytest.fixture
def audit(lives: str) -> Iterator[Audit]:
    source = engine(lives, pool_size=1)
    yield lambda statements: audit_after(source, statements)
    source.dispose()


def test_books_of_points_that_live_are_right(audit: Audit) -> None:
    assert audit("SELECT 1") == {}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "state = 3 WHERE state = 1",
            {
                BALANCES: ["wallet 2: 2 points are held, of its lots 2, by its holds 0"],
                LOTS: ["wallet 2, lot 1-1: 2 are held, by holds 0"],
            },
        ),
        (
            "points = 3 WHERE state = 1",
            {
                BALANCES: ["wallet 2: 2 points are held, of its lots 2, by its holds 3"],
                LOTS: ["wallet 2, hold 3: it holds 3 points, of lots 2"],
            },
        ),
        (
            "captured = 4 WHERE state = 2",
            {LOTS: ["wallet 2, hold 4: burn 5 took 4 points of it, by the journal burn 5 took 3"]},
        ),
        (
            "burn_id = 1 WHERE state = 2",
            {LOTS: ["wallet 2, hold 4: burn 1 took 3 points of it, by the journal burn 5 took 3"]},
        ),
        (
            "state = 3, captured = 0, burn_id = 0 WHERE state = 2",
            {LOTS: ["wallet 2, hold 4: burn 0 took 0 points of it, by the journal burn 5 took 3"]},
        ),
    ],
)
def test_hold_that_says_something_else_is_named(audit: Audit, change: str, found: Problems) -> None:
    assert audit(f"UPDATE ledger_00.holds SET {change}") == found


def test_hold_that_is_gone_is_named(audit: Audit) -> None:
    assert audit("DELETE FROM ledger_00.holds WHERE state = 1") == {
        BALANCES: ["wallet 2: 2 points are held, of its lots 2, by its holds 0"],
        LOTS: [
            "wallet 2, hold 3: it does not exist",
            "wallet 2, lot 1-1: 2 are held, by holds 0",
        ],
    }
    assert audit("DELETE FROM ledger_00.holds WHERE state = 3") == {
        LOTS: ["wallet 2, hold 7: it does not exist"]
    }


def test_hold_that_nobody_asked_for_is_named(audit: Audit) -> None:
    assert audit(
        "INSERT INTO ledger_00.holds SELECT wallet_id, 99, points, captured, burn_id,"
        " business_time, expire_time, state, purpose, parts FROM ledger_00.holds WHERE state = 3"
    ) == {LOTS: ["wallet 2, hold 99: its document is not in the journal"]}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "lots SET held = 1 WHERE held = 2",
            {
                BALANCES: ["wallet 2: 2 points are held, of its lots 1, by its holds 2"],
                LOTS: ["wallet 2, lot 1-1: 1 are held, by holds 2"],
            },
        ),
        (
            "wallets SET held = 3, available = available - 1 WHERE held = 2",
            {BALANCES: ["wallet 2: 3 points are held, of its lots 2, by its holds 2"]},
        ),
        (
            "lots SET pending = false WHERE pending",
            {BALANCES: ["wallet 4: 5 points are pending, of its lots 0"]},
        ),
        (
            "wallets SET pending = 0, available = 5 WHERE pending = 5",
            {BALANCES: ["wallet 4: 0 points are pending, of its lots 5"]},
        ),
        (
            "wallets SET pending = 4 WHERE pending = 5",
            {
                BALANCES: [
                    (
                        "wallet 4: it holds 4 points, its lots 5 less 0 overdrawn;"
                        " it holds 4 points, its entries sum to 5;"
                        " 4 points are pending, of its lots 5"
                    )
                ],
                SEQUENCE: ["wallet 4: its balance is not what its document 12 left"],
            },
        ),
    ],
)
def test_points_held_or_pending_that_are_not_are_named(
    audit: Audit, change: str, found: Problems
) -> None:
    assert audit(f"UPDATE ledger_00.{change}") == found


def test_refund_of_more_than_was_burned_is_named(audit: Audit) -> None:
    found = audit(
        "UPDATE ledger_00.journal SET entries[1].points = 4 WHERE entries[1].rule = 'restored'"
    )
    assert found[LOTS] == [
        "wallet 2, entry 6-1: it used -1 points of lots and moved 4",
        "wallet 2, hold 4: 3 points were burned, 4 given back",
    ]
    assert found[RECOMPUTE] == ["wallet 2, document 6: it moved 4 points and says 1"]
    assert set(found) == {LOTS, RECOMPUTE, DEBITS, BALANCES, SEQUENCE, OUTBOX}


def test_refund_that_gave_a_lot_something_else_is_named(audit: Audit) -> None:
    assert audit("UPDATE ledger_00.lot_uses SET points = -2 WHERE points = -1") == {
        LOTS: [
            "wallet 2, entry 6-1: it used -2 points of lots and moved 1",
            "wallet 2, lot 1-1: it opened with 10, 1 were used, 8 remain",
        ]
    }


def test_expiry_that_took_of_no_lot_is_named(audit: Audit) -> None:
    assert audit("DELETE FROM ledger_00.lot_uses WHERE points = 10") == {
        LOTS: ["wallet 4, lot 9-1: it opened with 10, 0 were used, 0 remain"]
    }


def test_document_that_says_other_points_than_it_moved_is_named(audit: Audit) -> None:
    assert audit(
        "UPDATE ledger_00.journal SET lines = '[[[2,1],[2,1],2,null]]' WHERE type = 11"
    ) == {RECOMPUTE: ["wallet 2, document 6: it moved 1 points and says 2"]}
