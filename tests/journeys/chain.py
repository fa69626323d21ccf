"""A chain of stores as its tills, its service desk and its members call the platform."""

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.ledger.v1 import ledger_pb2, ledger_pb2_grpc, point_of_sale_pb2_grpc
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.members.v1 import members_pb2, members_pb2_grpc

from services.plumbing.grpc_client import error_info
from services.plumbing.timestamps import timestamp
from tests.faults.programme import Metadata, Programme
from tests.processes import wait_for

CALL_SECONDS_MAX = 30.0
BUS_SECONDS_MAX = 60.0
OPENING = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
BREAD = pos.Line(sku="bread", category_path=["BAKERY"], quantity_thousandths=1000, amount_minor=450)
APPLES = pos.Line(
    sku="apples", category_path=["PRODUCE"], quantity_thousandths=2000, amount_minor=320
)
CIGARETTES = pos.Line(
    sku="cigarettes", category_path=["TOBACCO"], quantity_thousandths=1000, amount_minor=900
)
CAKE = pos.Line(sku="cake", category_path=["BAKERY"], quantity_thousandths=1000, amount_minor=1200)
REDEEMABLE, QUALIFYING = pos.POINT_KIND_REDEEMABLE, pos.POINT_KIND_QUALIFYING

# Points by rule and kind.
Points = dict[tuple[str, "pos.PointKind.ValueType"], int]


@dataclass(frozen=True)
class Chain:
    """What it needs to call, and the tokens of who calls."""

    programme: Programme
    ledger_channel: grpc.Channel
    members_channel: grpc.Channel
    till: Metadata
    desk: Metadata

    def at_till(self, method: str, request: Any) -> Any:
        stub = point_of_sale_pb2_grpc.PointOfSaleServiceStub(self.ledger_channel)
        return getattr(stub, method)(request, metadata=self.till, timeout=CALL_SECONDS_MAX)

    def at_ledger(self, method: str, request: Any, token: Metadata | None = None) -> Any:
        stub = ledger_pb2_grpc.LedgerServiceStub(self.ledger_channel)
        return getattr(stub, method)(request, metadata=token or self.desk, timeout=CALL_SECONDS_MAX)

    def at_members(self, method: str, request: Any) -> Any:
        stub = members_pb2_grpc.MembersServiceStub(self.members_channel)
        return getattr(stub, method)(request, metadata=self.desk, timeout=CALL_SECONDS_MAX)

    def enrol(self, card_token: str) -> str:
        """Enrol a member with a card. Returns the member's name, once the ledger knows of it."""
        request = members_pb2.EnrolMemberRequest(
            request_id=str(uuid.uuid4()), given_name="Ada", card_token=card_token
        )
        member: str = self.at_members("EnrolMember", request).member.name

        def has_a_wallet() -> bool:
            # Known as a member, but not yet as a card's, it has one without a number.
            wallet = self.wallet(member)
            return wallet is not None and wallet.name.startswith("wallets/")

        wait_for(has_a_wallet, what="a wallet", seconds=BUS_SECONDS_MAX)
        return member

    def wallet(self, member: str) -> ledger_pb2.Wallet | None:
        request = ledger_pb2.GetWalletRequest(name=f"{member}/wallet")
        try:
            found: ledger_pb2.Wallet = self.at_ledger("GetWallet", request).wallet
        except grpc.RpcError as error:
            if reason_of(error) == "WALLET_NOT_FOUND":
                return None
            raise
        return found

    def points_of(self, member: str) -> tuple[int, int]:
        """What a member can spend, and what counts for status."""
        wallet = self.wallet(member)
        assert wallet is not None
        return wallet.available, wallet.qualifying

    def record(self, sale: pos.Sale) -> pos.RecordSaleResponse:
        request = pos.RecordSaleRequest(request_id=str(uuid.uuid4()), sale=sale)
        answer: pos.RecordSaleResponse = self.at_till("RecordSale", request)
        return answer

    def issued(self) -> Counter["pos.PointKind.ValueType"]:
        """What the programme's accounts gave in all, by kind of points."""
        answer = self.at_ledger("GetProgrammeAccounts", ledger_pb2.GetProgrammeAccountsRequest())
        given: Counter[pos.PointKind.ValueType] = Counter()
        for account in answer.accounts:
            given[account.kind] += account.issued
        return given


def at_hour(hour: int) -> Timestamp:
    return timestamp(OPENING + timedelta(hours=hour))


def basket(card_token: str, hour: int, *lines: pos.Line) -> pos.Sale:
    return pos.Sale(
        card_token=card_token,
        store="31",
        terminal="4",
        receipt_number=f"{card_token}/{hour}",
        business_time=at_hour(hour),
        currency_code="USD",
        lines=lines,
    )


def points(answer: Any) -> Points:
    found: Counter[tuple[str, pos.PointKind.ValueType]] = Counter()
    for each in answer.points:
        found[each.rule, each.kind] += each.points
    return dict(found)


def reason_of(error: grpc.RpcError) -> str:
    """Why a server of ours refused; empty where none said."""
    info = error_info(error)
    return str(info.reason) if info is not None else ""


def return_of(sale: str, *, line: int) -> pos.RecordReturnRequest:
    return pos.RecordReturnRequest(
        request_id=str(uuid.uuid4()),
        sale=sale,
        store="31",
        terminal="4",
        receipt_number="back/1",
        business_time=at_hour(2),
        lines=[pos.ReturnedLine(line=line)],
    )


def void_of(sale: str) -> pos.VoidSaleRequest:
    return pos.VoidSaleRequest(
        request_id=str(uuid.uuid4()),
        sale=sale,
        store="31",
        terminal="4",
        business_time=at_hour(4),
    )
