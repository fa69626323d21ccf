"""`loyalty audit` finds books that tills wrote right, and names whatever is changed behind their
back, a change at a time.
"""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import IntegrityError

from services.cli.audit import run_audit
from services.ledger.domain.audit import CHECKS, PROBLEMS_NAMED_MAX
from services.ledger.domain.policy import Clawback
from services.plumbing.database import engine
from tests.service.ledger_history import Audit, Tills, bread, policy, problems_of

DEBITS = "debits_equal_credits"
BALANCES = "balances_equal_lots_and_entries"
SEQUENCE = "documents_in_sequence"
LOTS = "lots_add_up"
RECOMPUTE = "entries_recompute"
FORGIVEN = "forgiven_made_good"
REQUESTS = "requests_applied_once"
BATCHES = "batches_match_journal"
TRANSFERS = "transfers_arrive"
SHARED = "shared_holds_agree"
MERGES = "merges_end"
OUTBOX = "outbox_complete"


def test_books_that_tills_wrote_are_right(ledger_with_history: str) -> None:
    report = run_audit(ledger_with_history)
    assert report.ok
    assert problems_of(report.checks) == {}
    assert {check.name: check.checked for check in report.checks} == {
        DEBITS: 38,
        # Five wallets.
        BALANCES: 5,
        # Thirty documents, three of them refused, and the wallets.
        SEQUENCE: 35,
        LOTS: 34,
        RECOMPUTE: 27,
        # The wallet of which a return forgave points, and its documents.
        FORGIVEN: 7,
        REQUESTS: 30,
        BATCHES: 23,
        # Nobody sent anybody points.
        TRANSFERS: 0,
        # Nobody has several wallets, or is merged into anybody.
        SHARED: 0,
        MERGES: 0,
        # Two policies, and each batch's event and what it says.
        OUTBOX: 48,
    }


def test_empty_books_are_right(database: Callable[[str], str]) -> None:
    report = run_audit(database("ledger"))
    assert report.ok
    assert [check.name for check in report.checks] == list(CHECKS)
    assert {check.checked for check in report.checks} == {0}


def test_books_are_right_at_any_moment_while_tills_go_on(database: Callable[[str], str]) -> None:
    url = database("ledger")
    source = engine(url)
    tills = Tills(source)
    tills.publish(policy(0, Clawback.WITHIN_BALANCE))
    ended = threading.Event()

    def sell() -> None:
        while not ended.is_set():
            tills.send(*(tills.sale(wallet, bread(700)) for wallet in (1, 3, 5)))

    seller = threading.Thread(target=sell)
    seller.start()
    reports = [run_audit(url) for _ in range(5)]
    ended.set()
    seller.join()
    tills.close()
    source.dispose()
    assert [problems_of(report.checks) for report in reports] == [{}] * 5
    documents = [report.checks[4].checked for report in reports]
    assert documents == sorted(documents)
    assert documents[-1] > documents[0]


def test_lot_that_holds_another_number_is_named(audit_after: Audit) -> None:
    assert audit_after(
        "UPDATE ledger_00.lots SET remaining = 24 WHERE wallet_id = 2 AND document_id = 7"
    ) == {
        LOTS: ["wallet 2, lot 7-1: it opened with 40, 15 were used, 24 remain"],
        BALANCES: ["wallet 2: it holds 25 points, its lots 24 less 0 overdrawn"],
    }


def test_lot_below_zero_is_named(audit_after: Audit) -> None:
    found = audit_after(
        "ALTER TABLE ledger_00.lots DROP CONSTRAINT lots_check,"
        " DROP CONSTRAINT lots_held_check;"
        "UPDATE ledger_00.lots SET remaining = -1 WHERE wallet_id = 4 AND document_id = 9"
    )
    assert found == {
        LOTS: ["wallet 4, lot 9-1: it holds -1; it opened with 25, 25 were used, -1 remain"],
        BALANCES: ["wallet 4: it holds 0 points, its lots -1 less 0 overdrawn"],
    }


def test_lot_that_is_gone_is_named(audit_after: Audit) -> None:
    assert audit_after("DELETE FROM ledger_01.lots WHERE wallet_id = 3") == {
        LOTS: ["wallet 3, lot 7-1: it does not exist"],
        BALANCES: ["wallet 3: it holds 15 points, its lots 0 less 0 overdrawn"],
    }


def test_lot_nobody_opened_is_named(audit_after: Audit) -> None:
    assert audit_after(
        "INSERT INTO ledger_01.lots (wallet_id, document_id, ordinal, points, remaining, earn_time)"
        " VALUES (3, 7, 2, 4, 4, now())"
    ) == {
        LOTS: ["wallet 3, lot 7-2: it opened with 4, its entry gave 0"],
        BALANCES: ["wallet 3: it holds 15 points, its lots 19 less 0 overdrawn"],
    }


def test_use_of_a_lot_that_its_entry_does_not_cover_is_named(audit_after: Audit) -> None:
    assert audit_after(
        "UPDATE ledger_00.lot_uses SET points = 16 WHERE wallet_id = 2 AND document_id = 8"
    ) == {
        LOTS: [
            "wallet 2, entry 8-1: it used 16 points of lots and moved -15",
            "wallet 2, lot 7-1: it opened with 40, 16 were used, 25 remain",
        ]
    }


def test_entry_with_other_points_is_named_by_everything_it_touches(audit_after: Audit) -> None:
    found = audit_after("UPDATE ledger_01.journal SET entries[1].points = 16 WHERE document_id = 7")
    assert found == {
        DEBITS: ["shard 1, batch 6: issuance gave 15 redeemable points, wallets got 16"],
        BALANCES: [
            (
                "wallet 3: it holds 15 points, its entries sum to 16;"
                " its lifetime points are 15, by its entries 16"
            )
        ],
        SEQUENCE: [
            (
                "wallet 3, document 7: it left 15 points, by its entries 16;"
                " it left 15 lifetime points, by its entries 16"
            )
        ],
        LOTS: ["wallet 3, lot 7-1: it opened with 15, its entry gave 16"],
        RECOMPUTE: [
            (
                "wallet 3, document 7: its entries are"
                " 16 redeemable by base for 1500 minor units of lines [1],"
                " 15 qualifying by base for 1500 minor units of lines [1], recomputed"
                " 15 redeemable by base for 1500 minor units of lines [1],"
                " 15 qualifying by base for 1500 minor units of lines [1]"
            )
        ],
        OUTBOX: [
            "shard 1, batch 6: wallet 3, document 7 is announced otherwise than it was posted"
        ],
    }


def test_entry_that_is_gone_is_named_by_everything_it_touches(audit_after: Audit) -> None:
    found = audit_after("UPDATE ledger_01.journal SET entries = entries[1:1] WHERE document_id = 7")
    assert found[DEBITS] == [
        "shard 1, batch 6: issuance gave 15 qualifying points, wallets got 0",
    ]
    assert found[BATCHES] == ["shard 1, batch 6: it counts 2 entries, the journal 1"]
    assert set(found) == {DEBITS, BALANCES, SEQUENCE, RECOMPUTE, BATCHES, OUTBOX}


def test_entry_of_a_refused_document_is_named(audit_after: Audit) -> None:
    """The sums of the wallet and of the account stay as they were."""
    found = audit_after(
        "UPDATE ledger_01.journal refused SET entries = posted.entries"
        " FROM ledger_01.journal posted"
        " WHERE refused.document_id = 6 AND posted.document_id = 7;"
        "UPDATE ledger_01.journal SET entries = '{}' WHERE document_id = 7"
    )
    assert "wallet 3, document 6: it was refused and has entries" in found[SEQUENCE]
    assert set(found) == {SEQUENCE, LOTS, RECOMPUTE, OUTBOX}


def test_document_that_is_gone_is_named(audit_after: Audit) -> None:
    found = audit_after("DELETE FROM ledger_01.journal WHERE document_id = 7")
    assert found == {
        DEBITS: [
            "shard 1, batch 6: issuance gave 15 redeemable points, wallets got 0",
            "shard 1, batch 6: issuance gave 15 qualifying points, wallets got 0",
        ],
        BALANCES: [
            (
                "wallet 3: it holds 15 points, its entries sum to 0;"
                " it has 15 qualifying points, its entries sum to 0;"
                " its lifetime points are 15, by its entries 0"
            )
        ],
        SEQUENCE: ["wallet 3: its sequence is 2, its documents are 1"],
        LOTS: ["wallet 3, lot 7-1: it opened with 15, its entry gave 0"],
        BATCHES: [
            (
                "shard 1, batch 6: it counts 1 documents, the journal 0;"
                " it counts 2 entries, the journal 0"
            )
        ],
        OUTBOX: ["shard 1, batch , event 01-7: it announces nothing that was posted"],
    }


@pytest.mark.parametrize(
    "entry",
    ["(0,1,1,1,1,base,{1})", "(1,1,1,3,1,base,{1})", "(1,1,1,1,6,base,{1})", "(1,1,1,1,1,base,)"],
)
def test_entry_that_none_can_be_is_refused_by_the_database(audit_after: Audit, entry: str) -> None:
    with pytest.raises(IntegrityError, match="posted_entry"):
        audit_after(f"UPDATE ledger_01.journal SET entries = '{{\"{entry}\"}}'")


@pytest.mark.parametrize(
    ("change", "off"),
    [
        (
            "available = 16",
            (
                "it holds 16 points, its lots 15 less 0 overdrawn;"
                " it holds 16 points, its entries sum to 15"
            ),
        ),
        ("qualifying = 14", "it has 14 qualifying points, its entries sum to 15"),
        ("lifetime = 20", "its lifetime points are 20, by its entries 15"),
    ],
)
def test_wallet_with_another_balance_is_named(audit_after: Audit, change: str, off: str) -> None:
    assert audit_after(f"UPDATE ledger_01.wallets SET {change} WHERE wallet_id = 3") == {
        BALANCES: [f"wallet 3: {off}"],
        SEQUENCE: ["wallet 3: its balance is not what its document 7 left"],
    }


def test_wallet_that_owes_another_number_is_named(audit_after: Audit) -> None:
    found = audit_after("UPDATE ledger_01.wallets SET overdrawn = 71 WHERE wallet_id = 1")
    assert found == {
        BALANCES: [
            (
                "wallet 1: it holds -70 points, its lots 0 less 71 overdrawn;"
                " it is overdrawn while a lot holds points"
            )
        ]
    }


def test_wallet_that_is_gone_is_named(audit_after: Audit) -> None:
    assert audit_after("DELETE FROM ledger_01.wallets WHERE wallet_id = 3") == {
        BALANCES: ["wallet 3: it is not among the wallets"],
        SEQUENCE: ["wallet 3: it has documents and is not among the wallets"],
    }


def test_wallet_in_a_foreign_shard_is_named(audit_after: Audit) -> None:
    found = audit_after("INSERT INTO ledger_00.wallets (wallet_id) VALUES (33)")
    assert found == {BALANCES: ["wallet 33: it belongs to another shard"]}


def test_problems_are_counted_and_the_first_are_named(audit_after: Audit) -> None:
    found = audit_after(
        "INSERT INTO ledger_00.wallets (wallet_id, available)"
        " SELECT 10 + 2 * n, 1 FROM generate_series(1, 130) n"
    )
    assert len(found[BALANCES]) == PROBLEMS_NAMED_MAX
    assert found[BALANCES][0].startswith("wallet 12: it holds 1 points")
