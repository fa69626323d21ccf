"""`loyalty audit` names what does not fit in the journal, its batches and what they announced."""

import pytest

from tests.service.ledger_history import Audit

DEBITS = "debits_equal_credits"
SEQUENCE = "documents_in_sequence"
REQUESTS = "requests_applied_once"
BATCHES = "batches_match_journal"
OUTBOX = "outbox_complete"


def test_document_that_left_another_balance_is_named_with_the_next(audit_after: Audit) -> None:
    found = audit_after("UPDATE ledger_00.journal SET available = 18 WHERE document_id = 2")
    assert found == {
        SEQUENCE: [
            "wallet 2, document 2: it left 18 points, by its entries 17",
            "wallet 2, document 3: it left 7 points, by its entries 8",
        ]
    }


def test_gap_in_a_wallets_sequence_is_named(audit_after: Audit) -> None:
    found = audit_after(
        "UPDATE ledger_00.journal SET sequence = sequence + 1 WHERE wallet_id = 2 AND sequence > 6;"
        "UPDATE ledger_00.wallets SET sequence = 9 WHERE wallet_id = 2"
    )
    assert found == {
        SEQUENCE: [
            "wallet 2: its sequence is 9, its documents are 8",
            "wallet 2, document 7: its sequence is 8 after 6",
        ]
    }


def test_refused_document_with_a_sequence_is_named(audit_after: Audit) -> None:
    found = audit_after("UPDATE ledger_01.journal SET sequence = 3 WHERE document_id = 8")
    assert found == {SEQUENCE: ["wallet 3, document 8: it was refused and has a sequence"]}


def test_account_that_gave_another_number_is_named(audit_after: Audit) -> None:
    found = audit_after("UPDATE ledger_00.batches SET movements[1].points = 47 WHERE batch_id = 7")
    assert found == {
        DEBITS: ["shard 0, batch 7: adjustment gave 47 redeemable points, wallets got 50"]
    }


def test_batch_that_is_not_announced_is_named(audit_after: Audit) -> None:
    found = audit_after("DELETE FROM ledger_00.outbox WHERE id = '00-12'")
    assert found == {OUTBOX: ["shard 0, batch 12, event 00-12: it is not in the outbox"]}


def test_batches_from_before_the_outbox_was_pruned_need_not_be_announced(
    audit_after: Audit,
) -> None:
    prune = (
        "INSERT INTO ledger_00.outbox_pruning (before)"
        " SELECT post_time + interval '{}' FROM ledger_00.batches WHERE batch_id = 12;"
        "DELETE FROM ledger_00.outbox WHERE id = '00-12'"
    )
    assert audit_after(prune.format("1 microsecond")) == {}
    found = audit_after(prune.format("0"))
    assert found == {OUTBOX: ["shard 0, batch 12, event 00-12: it is not in the outbox"]}


def test_batch_that_is_announced_twice_is_named(audit_after: Audit) -> None:
    found = audit_after(
        "INSERT INTO ledger_00.outbox (id, type, subject, time, data)"
        " SELECT id, type, subject, time, data FROM ledger_00.outbox WHERE id = '00-12'"
    )
    assert found == {OUTBOX: ["shard 0, batch 12, event 00-12: it is in the outbox 2 times"]}


def test_announcement_of_other_documents_is_named(audit_after: Audit) -> None:
    found = audit_after(
        "UPDATE ledger_00.outbox o SET data = other.data FROM ledger_00.outbox other"
        " WHERE o.id = '00-12' AND other.id = '00-13'"
    )
    assert found == {
        OUTBOX: [
            (
                "shard 0, batch 12: wallet 4, document 12 is not announced;"
                " document 13 is announced, not posted"
            )
        ]
    }


def test_announcement_nobody_can_read_is_named(audit_after: Audit) -> None:
    found = audit_after(r"UPDATE ledger_00.outbox SET data = '\xff' WHERE id = '00-12'")
    assert found == {OUTBOX: ["shard 0, batch 12: its event cannot be read"]}


def test_policy_that_is_not_announced_is_named(audit_after: Audit) -> None:
    found = audit_after("DELETE FROM public.outbox WHERE id = 'policy-2'")
    assert found == {OUTBOX: ["policy 2, event policy-2: it is not in the outbox"]}


@pytest.mark.parametrize("document_id", [5, 6])
def test_request_applied_twice_is_named_refused_or_not(
    audit_after: Audit, document_id: int
) -> None:
    """Document 5 is a sale of wallet 1; document 6 a refused one of wallet 3."""
    found = audit_after(
        "DROP INDEX ledger_01.journal_request;"
        "UPDATE ledger_01.journal j SET request_id = later.request_id FROM ledger_01.journal later"
        f" WHERE j.document_id = {document_id} AND later.wallet_id = j.wallet_id"
        " AND later.document_id = CASE j.wallet_id WHEN 1 THEN 15 ELSE 8 END"
    )
    assert set(found) == {REQUESTS}
    (problem,) = found[REQUESTS]
    wallet, last = (1, 15) if document_id == 5 else (3, 8)
    assert problem.startswith(f"wallet {wallet}, request ")
    assert problem.endswith(f": it was applied 2 times, as documents {document_id} to {last}")


def test_batch_that_counts_otherwise_is_named(audit_after: Audit) -> None:
    found = audit_after(
        "UPDATE ledger_01.batches SET documents = 4, entries = 3 WHERE batch_id = 6"
    )
    assert found == {
        BATCHES: [
            (
                "shard 1, batch 6: it counts 4 documents, the journal 1;"
                " it counts 3 entries, the journal 2"
            )
        ]
    }


def test_batch_that_is_gone_is_named(audit_after: Audit) -> None:
    found = audit_after("DELETE FROM ledger_01.batches WHERE batch_id = 6")
    assert found == {
        BATCHES: ["shard 1, batch 6: it is not among the batches"],
        DEBITS: [
            "shard 1, batch 6: issuance gave 0 qualifying points, wallets got 15",
            "shard 1, batch 6: issuance gave 0 redeemable points, wallets got 15",
        ],
    }
