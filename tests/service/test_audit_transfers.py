"""The audit names whatever is changed behind the back of transfers."""

import asyncio
from collections.abc import Iterator

import pytest

from services.plumbing.database import engine
from tests.service.databases import Databases
from tests.service.ledger_history import Audit, audit_after
from tests.service.ledger_transfer_steps import make_transfers

TRANSFERS = "transfers_arrive"
RECOMPUTE = "entries_recompute"
DEBITS = "debits_equal_credits"
LOTS = "lots_add_up"
GONE = """
    DELETE FROM transfer_sources WHERE transfer_id = 1;
    DELETE FROM transfers WHERE transfer_id = 1"""


@pytest.fixture(scope="module")
def transfers(databases: Databases) -> Iterator[str]:
    url = databases.create("ledger")
    asyncio.run(make_transfers(url))
    yield url
    databases.drop(url)


@pytest.fixture
def audit(transfers: str) -> Iterator[Audit]:
    source = engine(transfers, pool_size=1)
    yield lambda statements: audit_after(source, statements)
    source.dispose()


def test_books_of_transfers_are_right(audit: Audit) -> None:
    assert audit("SELECT 1") == {}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "UPDATE transfers SET points = 41 WHERE transfer_id = 1",
            ["transfer 1: it is of 41 points; 40 were sent, 0 came back, 40 arrived"],
        ),
        (
            "UPDATE transfer_sources SET points = 41 WHERE transfer_id = 1",
            ["transfer 1: a wallet sent other points than agreed"],
        ),
        (
            GONE,
            ["transfer 1: it is not among the transfers; a wallet sent other points than agreed"],
        ),
        (
            "UPDATE transfers SET state = 3, refusal = '{}' WHERE transfer_id = 1",
            ["transfer 1: it was refused; 40 points were sent, 0 came back, 40 arrived"],
        ),
        (
            "UPDATE transfers SET state = 2 WHERE transfer_id = 2",
            [
                "account transfer: it holds 10 points, 0 are under way",
                "transfer 2: it is of 10 points; 10 were sent, 0 came back, 0 arrived",
            ],
        ),
        (
            "UPDATE transfers SET state = 2, refusal = NULL WHERE transfer_id = 3",
            ["transfer 3: it is of 50 points; 0 were sent, 0 came back, 0 arrived"],
        ),
        (
            "UPDATE transfer_sources SET wallet_id = 4 WHERE transfer_id = 1",
            ["transfer 1: a wallet sent other points than agreed"],
        ),
        (
            "UPDATE transfers SET target_wallet = 4 WHERE transfer_id = 1",
            ["transfer 1: its points moved elsewhere or at another time"],
        ),
        (
            "UPDATE ledger_00.journal SET business_time = 'now' WHERE type = 13",
            ["transfer 1: its points moved elsewhere or at another time"],
        ),
    ],
)
def test_transfer_that_is_not_as_it_was_agreed_is_named(
    audit: Audit, change: str, found: list[str]
) -> None:
    assert audit(change)[TRANSFERS] == found


def test_points_that_live_longer_than_they_would_have_are_named(audit: Audit) -> None:
    assert audit(
        "UPDATE ledger_00.lots SET expire_time = expire_time + interval '1 day' WHERE ordinal = 1"
    ) == {TRANSFERS: ["wallet 2, document 1, part 1: its lot expires at another time"]}


def test_points_that_changed_on_their_way_are_named(audit: Audit) -> None:
    found = audit(
        "UPDATE ledger_00.journal SET"
        " lines = regexp_replace(lines::text, ',30,[0-9]+', ',30,1')::json WHERE type = 13"
    )
    assert found == {
        TRANSFERS: [
            "transfer 1: its points changed on their way",
            "wallet 2, document 1, part 1: its lot was earned otherwise",
        ]
    }


def test_points_that_were_not_taken_of_their_lots_are_named(audit: Audit) -> None:
    found = audit("UPDATE ledger_01.lot_uses SET points = 29 WHERE points = 30")
    assert found[TRANSFERS] == [
        "wallet 1, document 3, part 1: it is of 30 points, its lot of 29",
    ]
    assert set(found) == {TRANSFERS, LOTS}


def test_an_account_that_holds_something_else_is_named(audit: Audit) -> None:
    found = audit(
        "UPDATE ledger_01.batches SET movements[1].points = -11"
        " WHERE movements[1].account = 5 AND movements[1].points = -10"
    )
    assert found[TRANSFERS] == ["account transfer: it holds 11 points, 10 are under way"]
    assert set(found) == {TRANSFERS, DEBITS}


def test_a_document_that_says_other_points_than_it_moved_is_named(audit: Audit) -> None:
    found = audit("UPDATE ledger_00.journal SET lines = '[[[1,1],39,0,null,0]]' WHERE type = 13")
    assert found[RECOMPUTE] == ["wallet 2, document 1: it moved 40 points and says 39"]
