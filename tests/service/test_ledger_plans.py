"""How a committer's session looks things up: its plans are made once, on tables that are empty."""

import re

from services.ledger.committing import committing_engine
from services.ledger.storage.posting import knowing
from services.plumbing.database import transaction
from tests.service.databases import Databases


def test_empty_journal_is_planned_for_one_index_for_each_question(databases: Databases) -> None:
    """Any index seems as good on an empty table; the wrong one reads all that a wallet ever did."""
    name, parameters, text = knowing("ledger_00")
    url = databases.create("ledger")
    opened = committing_engine(url)
    try:
        with transaction(opened) as connection:
            connection.exec_driver_sql(f"PREPARE {name} ({parameters}) AS {text}")
            lists = ", ".join(["'{}'"] * len(parameters.split(",")))
            rows = connection.exec_driver_sql(f"EXPLAIN EXECUTE {name}({lists})").scalars().all()
    finally:
        opened.dispose()
        databases.give_back("ledger", url)
    scans = re.findall(r"using (\w+) on journal \w+ .*\n\s+Index Cond: (.*)", "\n".join(rows))
    assert [index for index, _ in scans] == ["journal_request", "journal_statement"]
    requests, receipts = (condition for _, condition in scans)
    assert "ROW(request_id, wallet_id) >=" in requests
    assert "ROW(request_id, wallet_id) <=" in requests
    assert "(wallet_id = " in receipts
    assert "(business_time >= " in receipts
    assert "(business_time <= " in receipts
