"""`loyalty export-member`: all that a running platform keeps of a member, in one document."""

import json
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from loyalty.ledger.v1 import (
    ledger_pb2,
    ledger_pb2_grpc,
    point_of_sale_pb2_grpc,
    points_pb2,
    points_pb2_grpc,
)
from loyalty.ledger.v1 import point_of_sale_pb2 as pos
from loyalty.members.v1 import (
    households_pb2,
    households_pb2_grpc,
    members_pb2,
    members_pb2_grpc,
    merges_pb2,
    merges_pb2_grpc,
)
from typer.testing import CliRunner, Result

from services.cli.main import app
from tests.faults.programme import Metadata, Programme
from tests.faults.tills import points_of, sales
from tests.processes import wait_for
from tests.service.members_calls import consent

# More than a page of any list.
SALES = 120
CARD, MERGED_CARD = "export-0", "export-merged-0"
SECONDS_MAX = 60.0
SCOPES = (
    *("members.write", "members.merge", "households.write"),
    *("sales.write", "wallets.read", "points.hold"),
)
HELD = 5


@pytest.fixture(scope="module")
def name(running: Programme) -> str:
    """A member with sales, who others were merged into, in a household with somebody else."""
    token = running.bearer(*SCOPES)
    with ExitStack() as opened:
        members, ledger = (
            opened.enter_context(grpc.insecure_channel(running.platform.grpc_address(service)))
            for service in ("members", "ledger")
        )
        ada = a_member(members, token)
        earned = shop(ledger, token)
        reading = ledger_pb2_grpc.LedgerServiceStub(ledger)
        asking = ledger_pb2.GetWalletRequest(name=f"{ada}/wallet")

        def has_a_wallet() -> bool:
            try:
                found = reading.GetWallet(asking, metadata=token, timeout=SECONDS_MAX)
            except grpc.RpcError:
                return False
            return found.wallet.lifetime >= earned

        wait_for(has_a_wallet, what="a wallet with all points", seconds=SECONDS_MAX)
        holding = points_pb2.HoldPointsRequest(
            request_id=str(uuid.uuid4()), wallet=asking.name, points=HELD, purpose="a coffee"
        )
        spending = points_pb2_grpc.PointsServiceStub(ledger)
        spending.HoldPoints(holding, metadata=token, timeout=SECONDS_MAX)
    return ada


def a_member(members: grpc.Channel, token: Metadata) -> str:
    """Somebody whom another is merged into, who is a third, and who has company."""

    def asked(stub: Any, method: str, request: Any) -> Any:
        request.request_id = str(uuid.uuid4())
        return getattr(stub, method)(request, metadata=token, timeout=SECONDS_MAX)

    enrolling = members_pb2_grpc.MembersServiceStub(members)

    def enrol(**fields: Any) -> str:
        request = members_pb2.EnrolMemberRequest(**fields)
        enrolled: str = asked(enrolling, "EnrolMember", request).member.name
        return enrolled

    ada = enrol(given_name="Ada", card_token=CARD, consents=[consent()])
    merged, other = enrol(given_name="A. Lovelace", card_token=MERGED_CARD), enrol(given_name="Eve")
    merges = merges_pb2_grpc.MergeServiceStub(members)
    for source, target in ((enrol(given_name="Augusta"), merged), (merged, ada)):
        merging = merges_pb2.MergeMembersRequest(source=source, target=target, reason="twice")
        asked(merges, "MergeMembers", merging)
    households = households_pb2_grpc.HouseholdServiceStub(members)
    creating = households_pb2.CreateHouseholdRequest(owner=ada)
    household = asked(households, "CreateHousehold", creating).household.name
    inviting = households_pb2.CreateInvitationRequest(household=household, member=other)
    invitation = asked(households, "CreateInvitation", inviting).invitation.name
    accepting = households_pb2.AcceptInvitationRequest(member=other, invitation=invitation)
    asked(households, "AcceptInvitation", accepting)
    sharing = households_pb2.SetShareRequest(member=ada, points_limit=500)
    asked(households, "SetShare", sharing)
    return ada


def shop(ledger: grpc.Channel, token: Metadata) -> int:
    """More sales with the card than a page holds, and one with that of the merged member. Returns
    the points they are at least worth.
    """
    (requests,) = sales("export", tills=1, each=SALES, cards=1)
    ((merged,),) = sales("export-merged", tills=1, each=1, cards=1)
    requests.append(merged)
    recorded = point_of_sale_pb2_grpc.PointOfSaleServiceStub(ledger).BatchRecordSales(
        pos.BatchRecordSalesRequest(requests=requests), metadata=token, timeout=SECONDS_MAX
    )
    assert all(outcome.HasField("recorded") for outcome in recorded.outcomes)
    return sum(map(points_of, requests))


def export(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["export-member", *arguments, "--data", str(data_dir)])


def test_all_of_a_member_is_in_one_document(running: Programme, name: str, tmp_path: Path) -> None:
    file = tmp_path / "ada.json"
    answered = export(running.data_dir, name, "--out", str(file))
    assert (answered.exit_code, answered.output) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    document = json.loads(file.read_text())
    assert list(document) == [
        "member",
        "mergedMembers",
        "merges",
        "consents",
        "household",
        "shareConsents",
        "invitations",
        "wallet",
        "lots",
        "holds",
        "entries",
        "sales",
        "transfers",
        "tiers",
        "redemptions",
        "vouchers",
    ]
    assert document["member"]["givenName"] == "Ada"
    assert [each["givenName"] for each in document["mergedMembers"]] == [
        "A. Lovelace",
        "Augusta",
    ]
    assert [each["reason"] for each in document["merges"]] == ["twice"] * 2
    assert [each["purpose"] for each in document["consents"]] == ["marketing"]
    # What is the others' is not the member's.
    assert [each["member"] for each in document["household"]["members"]] == [name]
    assert [each["pointsLimit"] for each in document["shareConsents"]] == ["500"]
    receipts = [each["sale"]["receiptNumber"] for each in document["sales"]]
    expected = [f"export/0/{number}" for number in range(SALES)]
    assert sorted(receipts) == sorted([*expected, "export-merged/0/0"])
    assert all(each["sale"]["lines"] for each in document["sales"])
    credited = [e for e in document["entries"] if e["kind"] == "POINT_KIND_REDEEMABLE"]
    earned = sum(int(each["points"]) for each in credited)
    assert [(hold["points"], hold["purpose"]) for hold in document["holds"]] == [
        (str(HELD), "a coffee")
    ]
    assert earned == int(document["wallet"]["available"]) + HELD > HELD
    assert sum(int(lot["remainingPoints"]) for lot in document["lots"]) == earned
    printed = export(running.data_dir, name)
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == document


def test_member_who_is_unknown_or_merged_is_not_exported(
    running: Programme, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "nobody.json"
    unknown = export(running.data_dir, f"members/{uuid.uuid4()}", "--out", str(file))
    assert unknown.exit_code == 1
    assert "MEMBER_NOT_FOUND" in unknown.stderr
    document = json.loads(export(running.data_dir, name).stdout)
    merged = export(running.data_dir, document["mergedMembers"][0]["name"], "--out", str(file))
    assert (merged.exit_code, merged.stderr) == (
        1,
        f"loyalty export-member: the member is merged into {name}; export that one\n",
    )
    nothing_runs = export(tmp_path, name)
    assert nothing_runs.exit_code == 1
    assert "nothing runs on" in nothing_runs.stderr
    assert list(tmp_path.iterdir()) == []


def test_service_that_is_down_leaves_no_part_of_a_document(
    running: Programme, name: str, tmp_path: Path
) -> None:
    # As if the last that is asked had died: at its address nobody answers.
    data_dir, out = tmp_path / "data", tmp_path / "out"
    for folder in (data_dir, out):
        folder.mkdir()
    (data_dir / "issuer").symlink_to(running.data_dir / "issuer")
    processes = tuple(
        replace(process, grpc_address="127.0.0.1:1") if process.name == "rewards" else process
        for process in running.platform.processes
    )
    replace(running.platform, data_dir=data_dir, processes=processes).save()
    file = out / "ada.json"
    file.write_text("of yesterday")
    answered = export(data_dir, name, "--out", str(file))
    assert answered.exit_code == 1
    assert "rewards cannot be read" in answered.stderr
    assert "UNAVAILABLE" in answered.stderr
    assert list(out.iterdir()) == [file]
    assert file.read_text() == "of yesterday"
    assert export(data_dir, name).stdout == ""
