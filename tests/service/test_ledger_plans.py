"""How a committer's session looks things up: its plans are made once, on tables that are empty."""

import re

from services.ledger.storage.posting import finding_receipts, finding_requests
from services.plumbing.batch_session import batch_engine
from services.plumbing.database import transaction
from tests.service.databases import Databases


def test_empty_journal_is_planned_for_one_index_for_each_question(databases: Databases) -> None:
    """Any index seems as good on an empty table; the wrong one reads all that a wallet ever did."""
    url = databases.create("ledger")
    opened = batch_engine(url)
    plans = []
    try:
        with transaction(opened) as connection:
            for asked in finding_requests("ledger_00"), finding_receipts("ledger_00"):
                lists = ", ".join(["'{}'"] * len(asked.parameters.split(",")))
                connection.exec_driver_sql(
                    f"PREPARE {asked.name} ({asked.parameters}) AS {asked.text}"
                )
                plan = connection.exec_driver_sql(f"EXPLAIN EXECUTE {asked.name}({lists})")
                plans.append("\n".join(plan.scalars()))
    finally:
        opened.dispose()
        databases.give_back("ledger", url)
    scan = re.compile(r"using (\w+) on journal \w+ .*\n\s+Index Cond: (.*)")
    [(requests_index, requests)], [(receipts_index, receipts)] = map(scan.findall, plans)
    assert requests_index == "journal_request"
    assert "ROW(request_id, wallet_id) >=" in requests
    assert "ROW(request_id, wallet_id) <=" in requests
    assert receipts_index == "journal_statement"
    assert "(wallet_id = " in receipts
    assert "(business_time >= " in receipts
    assert "(business_time <= " in receipts
