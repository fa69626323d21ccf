"""A care agent: looks up what customers ask about their points, blocks, merges and undoes it."""

import random
import uuid

from locust import User, between, task
from locust.env import Environment
from loyalty.ledger.v1 import ledger_pb2, ledger_pb2_grpc, transfers_pb2, transfers_pb2_grpc
from loyalty.members.v1 import members_pb2, members_pb2_grpc, merges_pb2, merges_pb2_grpc

from loadtests.tills.calls import Calls
from loadtests.tills.family import DUE_TRANSFER_REFUSALS, transfer_of
from loadtests.tills.world import world

SCOPES = ("wallets.read", "members.write", "members.merge", "points.transfer")
# What comes of asking, "" being an answer.
SPENDS, BLOCKED = ("", *DUE_TRANSFER_REFUSALS), ("MEMBER_BLOCKED",)
READS, MERGED = ("",), ("MEMBER_MERGED",)

Outcomes = tuple[str, ...]

_draw = random.Random()  # noqa: S311 — a workload, no secret


class CareAgent(User):
    """The only one, so nobody else blocks or merges the members that are reserved for it."""

    fixed_count = 1
    wait_time = between(0.5, 2.0)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._calls = Calls(environment, world().token("care/1", *SCOPES))
        self._ledger = ledger_pb2_grpc.LedgerServiceStub(world().ledger)
        self._transfers = transfers_pb2_grpc.TransferServiceStub(world().ledger)
        self._members = members_pb2_grpc.MembersServiceStub(world().members)
        self._merges = merges_pb2_grpc.MergeServiceStub(world().members)

    def on_start(self) -> None:
        """Even the shortest load has merged two members and blocked one."""
        self.merge_and_undo()
        self.block_and_unblock()

    @task(20)
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

    @task(1)
    def block_and_unblock(self) -> None:
        """While a member is blocked they send no points; their card goes on earning."""
        member, another = _draw.sample(world().customers.reserved, 2)
        blocking = members_pb2.BlockMemberRequest(
            request_id=str(uuid.uuid4()), name=member, reason="cards under suspicion"
        )
        if self._calls.answer("BlockMember", self._members.BlockMember, blocking) is None:
            return
        self._send_once_heard(member, another, before=SPENDS, due=BLOCKED)
        unblocking = members_pb2.UnblockMemberRequest(request_id=str(uuid.uuid4()), name=member)
        self._calls.answer("UnblockMember", self._members.UnblockMember, unblocking)
        self._send_once_heard(member, another, before=BLOCKED, due=SPENDS)

    @task(1)
    def merge_and_undo(self) -> None:
        """While a member is merged their wallet is another's to read; undone, it is as it was."""
        source, target = _draw.sample(world().customers.reserved, 2)
        merging = merges_pb2.MergeMembersRequest(
            request_id=str(uuid.uuid4()), source=source, target=target, reason="enrolled twice"
        )
        merged = self._calls.answer("MergeMembers", self._merges.MergeMembers, merging)
        if merged is None:
            return
        self._read_once_heard(source, before=READS, due=MERGED)
        undoing = merges_pb2.UndoMergeRequest(request_id=str(uuid.uuid4()), name=merged.merge.name)
        self._calls.answer("UndoMerge", self._merges.UndoMerge, undoing)
        self._read_once_heard(source, before=MERGED, due=READS)

    def _send_once_heard(
        self, sender: str, receiver: str, *, before: Outcomes, due: Outcomes
    ) -> None:
        def request() -> transfers_pb2.TransferPointsRequest:
            return transfer_of(sender, receiver)

        method = self._transfers.TransferPoints
        self._calls.once_heard("TransferPoints", method, request, before=before, due=due)

    def _read_once_heard(self, member: str, *, before: Outcomes, due: Outcomes) -> None:
        request = ledger_pb2.GetWalletRequest(name=f"{member}/wallet")
        method = self._ledger.GetWallet
        self._calls.once_heard("GetWallet", method, lambda: request, before=before, due=due)
