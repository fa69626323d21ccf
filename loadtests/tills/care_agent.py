"""A care agent: looks up what customers ask about their points."""

import random

from locust import User, between, task
from locust.env import Environment
from loyalty.ledger.v1 import ledger_pb2, ledger_pb2_grpc

from loadtests.tills.calls import Calls
from loadtests.tills.world import world

_draw = random.Random()  # noqa: S311 — a workload, no secret


class CareAgent(User):
    """One of them, reading a statement every second or two."""

    fixed_count = 1
    wait_time = between(0.5, 2.0)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._calls = Calls(environment, world().token("care/1", "wallets.read"))
        self._ledger = ledger_pb2_grpc.LedgerServiceStub(world().ledger)

    @task
    def answer_a_customer(self) -> None:
        """The wallet, its last sales and entries, and why the newest of them is there."""
        member = _draw.choice(world().customers.members)
        wallet = f"{member}/wallet"
        call, ledger = self._calls.answer, self._ledger
        call("GetWallet", ledger.GetWallet, ledger_pb2.GetWalletRequest(name=wallet))
        call("ListSales", ledger.ListSales, ledger_pb2.ListSalesRequest(parent=wallet))
        listed = call(
            "ListEntries", ledger.ListEntries, ledger_pb2.ListEntriesRequest(parent=wallet)
        )
        if listed is not None and listed.entries:
            call(
                "ExplainEntry",
                ledger.ExplainEntry,
                ledger_pb2.ExplainEntryRequest(name=listed.entries[0].name),
            )
