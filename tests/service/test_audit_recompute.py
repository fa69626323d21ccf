"""`loyalty audit` recomputes every document from what was sold and the policy in force."""

import pytest

from tests.service.ledger_history import Audit

FORGIVEN = "forgiven_made_good"
RECOMPUTE = "entries_recompute"
OUTBOX = "outbox_complete"


def test_policy_that_was_tampered_with_no_longer_explains_its_sales(audit_after: Audit) -> None:
    """The documents of wallets 1 and 5 earned by the second version."""
    found = audit_after(
        "UPDATE earn_policies SET policy = replace(policy::text, '\"per_minor\":100',"
        " '\"per_minor\":90')::json WHERE version = 2"
    )
    assert set(found) == {RECOMPUTE}
    assert [problem.split(":")[0] for problem in found[RECOMPUTE]] == [
        "wallet 5, document 11",
        "wallet 5, document 14",
        "wallet 1, document 15",
        "wallet 5, document 13",
        "wallet 1, document 17",
    ]


def test_policy_that_took_effect_at_another_time_is_named_by_its_sales(audit_after: Audit) -> None:
    found = audit_after(
        "UPDATE earn_policies SET policy = jsonb_set(policy::jsonb, '{effective_time}',"
        " to_jsonb((policy->>'effective_time')::bigint + 30 * 86400000000))::json"
        " WHERE version = 2"
    )
    off = "it earned by policy version 2, in force was 1"
    assert found == {
        RECOMPUTE: [
            f"wallet 5, document 11: {off}",
            f"wallet 5, document 14: {off}",
            f"wallet 1, document 15: {off}",
        ]
    }


def test_policy_that_is_gone_is_named(audit_after: Audit) -> None:
    found = audit_after("DELETE FROM earn_policies WHERE version = 2")
    assert set(found) == {RECOMPUTE, OUTBOX}
    assert found[RECOMPUTE][0] == "wallet 5, document 11: policy version 2 does not exist"
    assert len(found[RECOMPUTE]) == 5
    assert found[OUTBOX] == ["policy , event policy-2: it announces no policy"]


def test_policies_nobody_can_read_are_said_so(audit_after: Audit) -> None:
    found = audit_after("UPDATE earn_policies SET policy = '{}' WHERE version = 2")
    assert set(found) == {RECOMPUTE}
    assert found[RECOMPUTE][0].startswith("earn policies: they cannot be read")


@pytest.mark.parametrize(
    ("old", "new", "off"),
    [
        (
            ",1500,",
            ",1600,",
            (
                "its amount is 1500, its lines' 1600; its entries are"
                " 15 redeemable by base for 1500 minor units of lines [1],"
                " 15 qualifying by base for 1500 minor units of lines [1], recomputed"
                " 16 redeemable by base for 1600 minor units of lines [1],"
                " 16 qualifying by base for 1600 minor units of lines [1]"
            ),
        ),
        ('["bread",', "[17,", "its lines cannot be read"),
    ],
)
def test_sale_with_other_lines_is_named(audit_after: Audit, old: str, new: str, off: str) -> None:
    found = audit_after(
        f"UPDATE ledger_01.journal SET lines = replace(lines::text, '{old}', '{new}')::json"
        " WHERE document_id = 7"
    )
    assert found == {RECOMPUTE: [f"wallet 3, document 7: {off}"]}


def test_lines_that_change_no_point_are_found_all_the_same(audit_after: Audit) -> None:
    """A cent more is no point more, but it is not what the entries say they are for."""
    found = audit_after(
        "UPDATE ledger_01.journal SET amount = 1501,"
        " lines = replace(lines::text, ',1500,', ',1501,')::json"
        " WHERE document_id = 7"
    )
    assert set(found) == {RECOMPUTE, OUTBOX}
    assert "for 1501 minor units of lines [1]" in found[RECOMPUTE][0]


def test_sale_in_another_currency_is_named(audit_after: Audit) -> None:
    found = audit_after("UPDATE ledger_01.journal SET currency = 'EUR' WHERE document_id = 7")
    assert found[RECOMPUTE] == ["wallet 3, document 7: its currency is EUR, the policy's USD"]
    assert set(found) == {RECOMPUTE, OUTBOX}


def test_sale_edited_after_its_return_is_named_by_both(audit_after: Audit) -> None:
    found = audit_after(
        "UPDATE ledger_00.journal SET lines = replace(lines::text, ',5000,', ',6000,')::json"
        " WHERE document_id = 12"
    )
    assert [problem.split(":")[0] for problem in found[RECOMPUTE]] == [
        "wallet 4, document 12",
        "wallet 4, document 14",
    ]
    assert found[RECOMPUTE][1].endswith("line 1: it takes back what was not bought so")


@pytest.mark.parametrize(
    ("lines", "off"),
    [
        (
            '[{"line":2,"quantity":1000,"amount":333},{"line":3,"quantity":2000,"amount":101}]',
            "line 3: it takes back more than was left",
        ),
        (
            '[{"line":2,"quantity":1000,"amount":333},{"line":4,"quantity":1000,"amount":101}]',
            "line 4: it takes back what was not bought so",
        ),
        (
            '[{"line":2,"quantity":1000,"amount":217},{"line":2,"quantity":1000,"amount":217}]',
            (
                "it takes a line back twice; line 2: it takes back what was not bought so;"
                " line 2: it takes back what was not bought so"
            ),
        ),
        (
            '[{"line":2,"quantity":1000,"amount":333}]',
            "its amount is -434, not what its lines sum to",
        ),
        ('[{"line":"two"}]', "its lines cannot be read"),
    ],
)
def test_return_of_what_was_not_there_is_named(audit_after: Audit, lines: str, off: str) -> None:
    """Document 4 is the last return of a sale, of which others had taken their part before."""
    found = audit_after(f"UPDATE ledger_00.journal SET lines = '{lines}' WHERE document_id = 4")
    assert found == {RECOMPUTE: [f"wallet 2, document 4: {off}"]}


def test_return_sees_its_sale_as_earlier_returns_left_it(audit_after: Audit) -> None:
    """With the second of three returns gone elsewhere, the third takes other points."""
    found = audit_after("UPDATE ledger_00.journal SET original_id = 5 WHERE document_id = 3")
    assert found[RECOMPUTE] == [
        "wallet 2, document 4: rule base: off by 1; 0 points forgiven, recomputed 2",
        "wallet 2, document 3: its sale is not in the journal, or cannot be read",
    ]


def test_points_forgiven_that_should_be_owed_are_named(audit_after: Audit) -> None:
    found = audit_after("UPDATE ledger_01.journal SET points_forgiven = 60 WHERE document_id = 13")
    assert found == {
        RECOMPUTE: [
            (
                "wallet 5, document 13: 60 points forgiven, recomputed 0;"
                " points are forgiven that the wallet should owe"
            )
        ],
        FORGIVEN: ["wallet 5: the 60 points that return 13 forgave are not kept"],
    }


@pytest.mark.parametrize("change", ["reason = ''", "actor = ''"])
def test_adjustment_nobody_answers_for_is_named(audit_after: Audit, change: str) -> None:
    found = audit_after(f"UPDATE ledger_00.journal SET {change} WHERE document_id = 7")
    assert found == {
        RECOMPUTE: ["wallet 2, document 7: an adjustment has one entry, a reason and an actor"]
    }
